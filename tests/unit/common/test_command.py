"""Settings from TOML and flags, and what every command does at the command line."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training import ROOT
from widedeep.common.command import load_config, read_toml
from widedeep.common.errors import InputError
from widedeep.config.evaluate import EvaluateConfig
from widedeep.config.prepare import PrepareConfig
from widedeep.config.score import ScoreConfig
from widedeep.config.synthesize import SynthesizeConfig
from widedeep.models.genre_hybrid import GenreHybridConfig
from widedeep.models.ncf import NCFConfig
from widedeep.models.wide_deep import WideDeepConfig
from widedeep.models.wide_deep_cross import WideDeepCrossConfig
from widedeep.spark.baseline_fits.registry import config_class
from widedeep.training.settings import TrainConfig

PRESETS = sorted(file for kind in ("train", "prepare") for file in (ROOT / "conf" / kind).glob("*.toml"))
COMMANDS = [*sorted((ROOT / "jobs").glob("*.py")), ROOT / "widedeep" / "train.py"]


@pytest.fixture
def toml(tmp_path):
    """Write a TOML file; returns its path as text."""

    def write(text: str) -> str:
        file = tmp_path / "settings.toml"
        file.write_text(text)
        return str(file)

    return write


def load(*argv: str, cls=TrainConfig):
    return load_config(cls, argv, "test")


def mistakes(*argv: str, cls=TrainConfig) -> list[str]:
    """The lines of the error message, one for each mistake."""
    with pytest.raises(InputError) as caught:
        load(*argv, cls=cls)
    head, *lines = str(caught.value).splitlines()
    assert head.startswith(f"{len(lines)} mistake(s)")
    return [line.strip() for line in lines]


def test_flags_override_toml_which_overrides_the_defaults(toml):
    file = toml("epochs = 3\nseed = 4\n[model]\nembedding_dim = 5\nhidden = [7]")
    loaded = load("--config", file, "--seed", "9", "--model.hidden", "6,2")
    assert (loaded.epochs, loaded.model.embedding_dim) == (3, 5)  # TOML
    assert (loaded.seed, loaded.model.hidden) == (9, (6, 2))  # flags
    assert (loaded.patience, loaded.optim.name) == (3, "adam")  # defaults


def test_every_mistake_is_reported_with_its_place_field_and_value(toml):
    file = toml('epochs = "many"\ncolour = 1\n[model]\nwidht = 3\n[optim]\nlr = -1.0')
    found = mistakes("--config", file, "--batch-size", "0")
    assert len(found) == 5
    for place, field, value in [
        (file, "epochs", "'many'"),
        (file, "colour: unknown key", "1"),
        (file, "model.widht: unknown key", "3"),
        (file, "optim.lr", "-1.0"),
        ("flags", "batch_size", "0"),
    ]:
        assert any(line.startswith(f"{place}: {field}") and line.endswith(f"(got {value})") for line in found), field


def test_a_flag_that_replaces_a_value_of_the_file_is_blamed_itself(toml):
    (found,) = mistakes("--config", toml("epochs = 3"), "--epochs", "0")
    assert found.startswith("flags: epochs:")


def test_a_bad_value_of_the_file_that_a_flag_replaces_is_no_mistake(toml):
    assert load("--config", toml("epochs = 0"), "--epochs", "2").epochs == 2


@pytest.mark.parametrize(
    ("cls", "text", "said"),
    [
        (TrainConfig, "model.hidden = []", "hidden must name at least one width"),
        (TrainConfig, "model.hidden = [8, 0]", "hidden must name at least one width"),
        (TrainConfig, "model.dropout = 1.0", "less than 1"),
        (TrainConfig, 'model = { name = "recommender_net", dense = [0] }', "greater than or equal to 1"),
        (TrainConfig, 'model = { name = "wide_deep_cross", crosses = ["genres"] }', "are no crosses of two columns"),
        (TrainConfig, 'model = { name = "wide_deep_cross", wide_only = true, deep_only = true }', "leave nothing"),
        (TrainConfig, "epochs = 2.5", "valid integer"),
        (TrainConfig, "seed = -1", "greater than or equal to 0"),
        (TrainConfig, f"seed = {2**31}", "less than"),
        (PrepareConfig, "split.train = 0.9", "train + valid + test must be 1, not 1.1"),
        (PrepareConfig, "split = { train = 0.0, valid = 0.5, test = 0.5 }", "nothing could be learnt"),
        (PrepareConfig, "ranks = 2\nshards = 3", "shards (3) must be a multiple of ranks (2)"),
        (PrepareConfig, "max_bad_share = 1.5", "less than or equal to 1"),
        (config_class(), "ease.l2 = []", "l2 must name at least one value"),
        (config_class(), "ease.l2 = [0.0]", "greater than 0"),
        (config_class(), 'only = ["eas"]', "'item_knn'"),
    ],
)
def test_impossible_values_are_refused(toml, cls, text, said):
    file = toml(text)
    (found,) = mistakes("--config", file, cls=cls)
    assert found.startswith(f"{file}: ")
    assert said in found


def test_a_file_of_lists_that_is_too_large_is_refused():
    """2^25 rows of 64 bytes are 2 GiB, which is the most that Spark reads as one value."""
    load("--top-n", "2048", "--users-per-file", "16384", cls=ScoreConfig)
    with pytest.raises(InputError, match=r"users_per_file \(16385\) x top_n \(2048\) is above 33554432, .* lower"):
        load("--top-n", "2048", "--users-per-file", "16385", cls=ScoreConfig)


def test_counts_may_be_written_as_people_write_large_numbers(toml):
    assert load("--ratings", "24.3e6", cls=SynthesizeConfig).ratings == 24_300_000
    assert load("--config", toml("ratings = 1e6"), cls=SynthesizeConfig).ratings == 1_000_000


def test_none_takes_a_limit_away(toml):
    assert load().patience == 3
    assert load("--patience", "none").patience is None
    assert load("--config", toml('patience = "none"\noptim.clip_norm = "none"')).patience is None


def test_the_environment_changes_nothing(monkeypatch):
    for name in ("SEED", "EPOCHS", "WIDEDEEP_SEED", "MODEL", "model"):
        monkeypatch.setenv(name, "77")
    assert load() == TrainConfig()


def test_a_missing_or_malformed_file_is_named(toml):
    with pytest.raises(InputError, match=r"no\.toml does not exist"):
        load("--config", "no.toml")
    with pytest.raises(InputError, match=r"settings\.toml cannot be read as TOML: .*line 2"):
        load("--config", toml("epochs = 3\nseed = = 4\n"))


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        load().epochs = 5
    with pytest.raises(ValueError, match="frozen"):
        load().model.dropout = 0.5


def test_the_architecture_is_wide_deep_unless_another_is_named(toml):
    assert load("--model.dropout", "0.1").model == WideDeepConfig(dropout=0.1)
    assert load("--config", toml("[model]\nembedding_dim = 3")).model == WideDeepConfig(embedding_dim=3)
    assert TrainConfig.model_validate({"model": {"dropout": 0.1}}).model == WideDeepConfig(dropout=0.1)


def test_flags_override_the_file_of_any_architecture(toml):
    file = toml('[model]\nname = "ncf"\ngmf_dim = 3\ndropout = 0.2')
    loaded = load("--config", file, "--model.dropout", "0.1", "--model.hidden=9").model
    assert loaded == NCFConfig(gmf_dim=3, dropout=0.1, hidden=(9,))
    # Settings of one architecture say nothing of another.
    assert load("--config", file, "--model.name", "genre_hybrid", "--no-model.genres").model == GenreHybridConfig(
        genres=False
    )
    assert load("--model.name=wide_deep_cross", "--model.crosses=").model == WideDeepCrossConfig(crosses=())


def test_a_setting_of_another_architecture_is_named_with_the_one_that_lacks_it(toml):
    file = toml('[model]\nname = "ncf"\nwide_numeric = ["score"]')
    (found,) = mistakes("--config", file)
    assert found == f"{file}: model.wide_numeric: unknown key of ncf (got ['score'])"
    with pytest.raises(
        InputError, match=r"unrecognized arguments: --model\.gmf-dim 3; model is wide_deep here; see --help"
    ):
        load("--model.gmf-dim", "3")
    with pytest.raises(InputError, match=r"model\.name: there is no 'nfc'; choose one of wide_deep, .*, ncf, "):
        load("--model.name", "nfc")


def test_help_shows_the_settings_of_the_architecture_that_is_named(capsys):
    for name, shown, hidden in (
        ("ncf", "--model.gmf-dim", "--model.genres"),
        ("genre_hybrid", "--model.genres", "gmf"),
    ):
        with pytest.raises(SystemExit):
            load("--model.name", name, "--help")
        text = capsys.readouterr().out
        assert shown in text
        assert hidden not in text


def test_help_shows_the_defaults_that_apply_and_the_presets(capsys):
    for argv, shown in (
        (("--config", "ncf_published"), ("(default: 256)", "(default: ncf_published)")),
        ((), ("(default: 8192)", "(default: none)", "(default: 128,64)", "a preset (best, denoising_autoencoder, ")),
    ):
        with pytest.raises(SystemExit):
            load_config(TrainConfig, [*argv, "--help"], "train")
        text = " ".join(capsys.readouterr().out.split())
        assert all(part in text for part in shown)
        assert "--config" in text
        assert "None" not in text


@pytest.mark.parametrize("preset", PRESETS, ids=lambda file: file.stem)
def test_a_preset_is_valid_and_holds_only_what_differs_from_the_defaults(preset):
    cls = {"train": TrainConfig, "prepare": PrepareConfig}[preset.parent.name]
    content = read_toml(preset)
    loaded = load("--config", str(preset), cls=cls)
    model = content.get("model", {})
    default = cls.model_validate({"model": {"name": model.pop("name")}} if model else {})
    idle = [key for key, value in content.items() if not isinstance(value, dict)]
    idle = [key for key in idle if getattr(loaded, key) == getattr(default, key)]
    for name, section in content.items():
        if isinstance(section, dict):
            ours, theirs = getattr(loaded, name), getattr(default, name)
            idle += [f"{name}.{key}" for key in section if getattr(ours, key) == getattr(theirs, key)]
    assert idle == []


def test_the_defaults_are_the_wide_deep_preset():
    preset, none = (load_config(TrainConfig, argv, "train") for argv in (["--config", "wide_deep"], []))
    assert preset == none.model_copy(update={"run_dir": Path("runs/wide_deep")})


def test_a_command_can_have_a_preset_by_default():
    def load(*argv: str) -> TrainConfig:
        return load_config(TrainConfig, argv, "train", default="best")

    best = load_config(TrainConfig, ["--config", "best"], "train")
    assert load() == best
    assert load("--epochs", "2") == best.model_copy(update={"epochs": 2})
    assert load("--model.name", best.model.name) == best
    # The settings of one model are not meant for another one.
    assert load("--model.name", "ncf") == load_config(TrainConfig, ["--model.name", "ncf"], "train")
    assert load("--config", "ncf") == load_config(TrainConfig, ["--config", "ncf"], "train")


def python(*argv: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *argv], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--recommendations", "a"), "needs --output"),
        (("--output", "a"), "needs --output"),
        (("--predictions", "a", "--output", "b", "--against", "c"), "cannot go with a single system"),
    ],
)
def test_a_single_system_is_named_whole(argv, said):
    (line,) = mistakes(*argv, cls=EvaluateConfig)
    assert said in line


@pytest.mark.parametrize("command", COMMANDS, ids=lambda path: path.stem)
def test_help_of_every_command(command):
    done = python(str(command), "--help")
    assert done.returncode == 0, done.stderr
    assert "--config" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("print('answer')", 0, ""),
        ("raise InputError('users.csv: no such file')", 2, "error: users.csv: no such file\n"),
        ("raise OSError('disk full')", 1, "OSError: disk full"),
        ("raise KeyboardInterrupt", 1, "interrupted"),
    ],
)
def test_exit_codes_and_messages(body, code, said):
    imports = "from widedeep.common.command import run_command; from widedeep.common.errors import InputError"
    done = python("-c", f"{imports}\ndef main(argv): {body}\nrun_command(main)")
    assert done.returncode == code
    assert done.stdout == ("answer\n" if code == 0 else "")
    assert said in done.stderr
    assert ("Traceback" in done.stderr) == (code == 1 and "interrupted" not in said)


@pytest.mark.parametrize("flags", [("--epoch-count", "3"), ("--epoch", "3"), ("--epochs",), ("--device", "cpu", "gpu")])
def test_a_wrong_flag_is_named(flags):
    with pytest.raises(InputError, match=f"flags: .*{flags[-1]}.*; see --help"):
        load(*flags)


def test_a_mistake_of_a_whole_section_is_blamed_on_all_that_filled_it(toml):
    (found,) = mistakes("--config", toml("shards = 3"), "--ranks", "2", cls=PrepareConfig)
    assert re.match(r"flags and .*settings\.toml: settings: Value error, shards \(3\) must be a multiple", found)
