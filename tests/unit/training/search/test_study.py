"""A search as a user runs it, on a small prepared directory."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import create_trial

from tests.builders import write_prepared
from tests.training import ROOT, curve, train
from widedeep.common.command import load_config
from widedeep.common.errors import InputError
from widedeep.common.lock import Lock
from widedeep.parallel.world import ALONE
from widedeep.search import main
from widedeep.training import run as training
from widedeep.training.search.study import OUTCOME, open_study, prepare_search
from widedeep.training.settings import SearchConfig, TrainConfig

SPACE = """
optim.lr = { low = 1e-6, high = 0.05, log = true }
model.hidden = { choices = ["16,8", "8"] }
"""
SETTINGS = """
device = "cpu"
epochs = 2
batch_size = 512
ranking_users = 20
patience = "none"
[model]
name = "ncf"
gmf_dim = 4
mlp_dim = 4
hidden = [8]
[optim]
lr = 0.01
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("search") / "prepared"
    write_prepared(path, ratings=3000)
    return path


def command(data: Path, study: Path, **flags) -> list[str]:
    """The flags of a search whose settings and space lie beside its study."""
    settings, space = study.with_suffix(".settings.toml"), study.with_suffix(".space.toml")
    settings.write_text(SETTINGS)
    space.write_text(SPACE)
    named = {"config": settings, "space": space, "data": data, "study": study, "trials": 4} | flags
    return [part for name, value in named.items() for part in (f"--{name}".replace("_", "-"), str(value))]


def summary(study: Path) -> dict:
    return json.loads((study / "summary.json").read_text())


@pytest.fixture(scope="module")
def searched(data, tmp_path_factory) -> Path:
    """The study of a finished search, whose path no URL could hold."""
    study = tmp_path_factory.mktemp("searched") / "a?b#c"
    main(command(data, study))
    return study


def test_trials_are_runs_that_never_saw_the_test_split(searched):
    runs = sorted(path for path in searched.iterdir() if path.is_dir())
    assert [run.name for run in runs] == [f"trial-{number:04d}" for number in range(4)]
    for run in runs:
        assert len(curve(run)) == 2
        assert not (run / "metrics.json").exists()


def test_test_ratings_are_not_even_measured(data, tmp_path, monkeypatch):
    seen = []
    evaluate = training.evaluate
    monkeypatch.setattr(
        training,
        "evaluate",
        lambda model, loader, split, *rest: seen.append(split) or evaluate(model, loader, split, *rest),
    )
    main(command(data, tmp_path / "study", trials=1))
    assert seen == ["valid", "valid"]


def test_values_are_those_of_the_best_epoch_by_the_objective(searched):
    for trial in summary(searched)["trials"]:
        lines = [line["valid"] for line in curve(searched / trial["run"])]
        values = [line["rmse"] / rmse_of_biases(searched) - line["ndcg_at_10"] for line in lines]
        assert trial["value"] == pytest.approx(min(values))
        assert trial["best_epoch"] == values.index(min(values)) + 1
        assert trial["valid"] == lines[trial["best_epoch"] - 1]


def rmse_of_biases(study: Path) -> float:
    """By the reference models themselves, whose strength is the one that is best on valid."""
    from widedeep.data.rating_matrices import load_splits
    from widedeep.evaluation.rating_errors import RatingErrors
    from widedeep.evaluation.reference_models import fit_biases
    from widedeep.schema.manifest import read_manifest

    data = Path(summary(study)["data"])
    splits = load_splits(data, read_manifest(data))
    found = []
    for fit in fit_biases(splits, ALONE, splits.users, splits.items, splits.mean):
        errors = RatingErrors(ALONE.device, splits.scale)
        errors.add(fit.predict(splits.parts["valid"].user, splits.parts["valid"].item), splits.parts["valid"].rating)
        found.append(errors.result(ALONE)["rmse"])
    return min(found)


def test_the_first_trial_has_the_given_settings(searched):
    assert summary(searched)["trials"][0]["settings"] == {"optim.lr": 0.01, "model.hidden": "8"}


def test_the_preset_is_the_best_trial(searched, data):
    found = summary(searched)
    best = min(found["trials"], key=lambda trial: trial["value"])
    assert found["best"] == best["run"]
    preset = load_config(TrainConfig, ["--config", str(searched / "best.toml")], "train")
    assert preset.optim.lr == best["settings"]["optim.lr"]
    assert ",".join(map(str, preset.model.hidden)) == best["settings"]["model.hidden"]
    assert (preset.model.name, preset.epochs, preset.patience, preset.select_by) == ("ncf", 2, None, "both")
    assert "data" not in (searched / "best.toml").read_text()
    # It is the very run: training it in the same directory has nothing to do but to measure.
    run = searched / best["run"]
    before = curve(run)
    measured = train(
        ["", "--config", str(searched / "best.toml"), "--data", str(data), "--run-dir", str(run), "--device", "cpu"]
    )
    assert curve(run) == before
    assert measured["valid"] == best["valid"]
    assert measured["test"]["rmse"] > 0
    (run / "metrics.json").unlink()


def test_models_of_worse_trials_are_deleted(searched):
    assert [path.parent.name for path in searched.rglob("model.safetensors")] == [summary(searched)["best"]]
    assert [path.parent.name for path in searched.rglob("checkpoints")] == [summary(searched)["best"]]


def test_the_same_command_goes_on_to_more_trials(searched, data, capsys):
    before = summary(searched)["trials"]
    assert len(before) == 4
    argv = [*command(data, searched), "--trials", "6"]
    main(argv)
    after = summary(searched)["trials"]
    assert after[:4] == before
    assert len(after) == 6
    settings = [json.dumps(trial["settings"]) for trial in after]
    assert len(set(settings)) == 6  # the sampler does not begin again
    assert f"train the best: widedeep train --config {searched / 'best.toml'}" in capsys.readouterr().out.replace(
        "\n", ""
    )
    main(argv)
    assert summary(searched)["trials"] == after


def test_the_table_has_the_metrics_of_each_trial(searched, data, capsys):
    trials = summary(searched)["trials"]
    main([*command(data, searched), "--trials", str(len(trials))])
    lines = capsys.readouterr().out.splitlines()
    for trial in trials:
        (line,) = [line for line in lines if trial["run"] in line]
        values = trial["value"], trial["valid"]["rmse"], trial["valid"]["ndcg_at_10"]
        cells = [cell.strip() for cell in line.strip("│┃").split("│")]
        assert cells[1:5] == [*(f"{value:.4f}" for value in values), str(trial["best_epoch"])]


def test_another_search_in_the_same_directory_is_refused(searched, data, tmp_path):
    for flags, said in (
        ({"epochs": 3}, r"epochs \(2 there, 3 now\)"),
        ({"objective": "rmse"}, r"select_by \(both there"),
    ):
        with pytest.raises(InputError, match=rf"holds a search that differs in .*{said}.*choose another --study"):
            main(
                [
                    *command(data, searched),
                    *(part for name, value in flags.items() for part in (f"--{name}", str(value))),
                ]
            )
    write_prepared(tmp_path / "other", seed=1, ratings=3000)
    with pytest.raises(InputError, match="manifest_digest"):
        main(command(tmp_path / "other", searched))


def test_two_searches_at_once_are_refused(searched, data):
    said = rf"is in use by process {os.getpid()} .*choose another --study"
    with Lock(searched / "lock", "it", "wait"), pytest.raises(InputError, match=said):
        main(command(data, searched))


@pytest.mark.parametrize(("objective", "best"), [("rmse", min), ("ndcg", max)])
def test_the_objective_decides_what_is_minimised(data, tmp_path, objective, best):
    study = tmp_path / "study"
    main(command(data, study, objective=objective, trials=1))
    name = {"rmse": "rmse", "ndcg": "ndcg_at_10"}[objective]
    for trial in summary(study)["trials"]:
        expected = best(line["valid"][name] for line in curve(study / trial["run"]))
        assert trial["value"] == pytest.approx(expected if objective == "rmse" else -expected)


@pytest.mark.parametrize(("flag", "epochs", "state"), [("--prune", 3, "pruned"), ("--no-prune", 4, "complete")])
def test_a_bad_trial_ends_early_if_wanted(data, tmp_path, flag, epochs, state):
    argv = [*command(data, tmp_path / "study", trials=6, epochs=4, objective="rmse"), flag]
    values, outcome = {"optim.lr": 1e-6, "model.hidden": "8"}, {"epochs": 4, "best_epoch": 4, "valid": {"rmse": 0.1}}
    with open_study(prepare_search(load_config(SearchConfig, argv, "train"), ALONE)) as study:
        distributions = {
            "optim.lr": FloatDistribution(1e-6, 0.05, log=True),
            "model.hidden": CategoricalDistribution(("16,8", "8")),
        }
        for _ in range(5):
            done = create_trial(
                params=values | {"optim.lr": 0.02},
                distributions=distributions,
                value=0.1,
                intermediate_values=dict.fromkeys(range(4), 0.1),
                user_attrs={OUTCOME: outcome},
            )
            study.add_trial(done)
        study.enqueue_trial(values)
    main(argv)
    bad = summary(tmp_path / "study")["trials"][-1]
    assert bad["settings"] == values
    assert (bad["epochs"], bad["state"]) == (epochs, state)
    assert (bad["reason"] == "after 3 epochs it is worse than half of the other trials") == (state == "pruned")


def test_a_diverging_trial_counts_as_pruned(data, tmp_path):
    study = tmp_path / "study"
    argv = command(data, study, trials=1)
    study.with_suffix(".settings.toml").write_text(
        SETTINGS.replace("lr = 0.01", 'lr = 1e30\nname = "sgd"')
        .replace("ncf", "wide_deep")
        .replace("gmf_dim", "embedding_dim")
        .replace("mlp_dim = 4", "")
    )
    study.with_suffix(".space.toml").write_text("optim.lr = { low = 1e29, high = 1e31 }")
    main(argv)
    (trial,) = summary(study)["trials"]
    assert trial["state"] == "pruned"
    assert "diverged" in trial["reason"]
    assert not (study / "best.toml").exists()


def test_a_killed_trial_goes_on_from_its_checkpoint(data, tmp_path):
    study = tmp_path / "study"
    argv = command(data, study, trials=1, epochs=12, objective="rmse")
    program = [sys.executable, "-m", "widedeep", "search", *argv]
    process = subprocess.Popen(program, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    lines = study / "trial-0000" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (lines.exists() and lines.read_text().count("\n") >= 2):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    first = curve(study / "trial-0000")[0]
    main(argv)
    assert [trial["run"] for trial in summary(study)["trials"]] == ["trial-0000"]
    assert curve(study / "trial-0000")[0] == first  # its speed included, so it was not run again
    assert len(curve(study / "trial-0000")) == 12


def test_an_interrupted_search_shows_what_it_found_and_goes_on(data, tmp_path, monkeypatch, capsys):
    study, evaluate, evaluated = tmp_path / "study", training.evaluate, []

    def interrupt_the_second_trial(*arguments):
        evaluated.append(arguments)
        if len(evaluated) == 4:
            raise KeyboardInterrupt
        return evaluate(*arguments)

    monkeypatch.setattr(training, "evaluate", interrupt_the_second_trial)
    with pytest.raises(KeyboardInterrupt):
        main(command(data, study, trials=2))
    assert "best of 1 trials" in capsys.readouterr().out
    first = curve(study / "trial-0001")
    main(command(data, study, trials=2))
    assert [trial["run"] for trial in summary(study)["trials"]] == ["trial-0000", "trial-0001"]
    assert curve(study / "trial-0001")[0] == first[0]
    assert len(evaluated) == 5


def test_wrong_settings_are_refused_before_any_trial(data, tmp_path):
    study = tmp_path / "study"
    with pytest.raises(InputError, match="ranking_users: objective both needs users"):
        main(command(data, study, ranking_users=0))
    write_prepared(tmp_path / "unsplit", shards={"train": 2, "test": 1})
    with pytest.raises(InputError, match="has no valid ratings"):
        main(command(tmp_path / "unsplit", study))
    assert not study.exists()


def test_without_optuna_it_says_what_to_install(data, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("widedeep.training.search")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"a search needs Optuna and tomli-w: pip install -e '\.\[search\]'"):
        main(command(data, tmp_path / "study"))


def test_a_search_for_better_ratings_needs_a_loss_of_ratings(data, tmp_path):
    with pytest.raises(InputError, match=r"select_by: with loss bpr .*to a search --objective ndcg"):
        main(command(data, tmp_path / "study", loss="bpr"))
