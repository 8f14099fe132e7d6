"""What a search may vary, and what is said of a space that is wrong."""

import optuna
import pytest

from tests.training import ROOT
from widedeep.common.command import load_config
from widedeep.common.errors import InputError
from widedeep.training.search.space import Choices, Range, read_space, value_of, with_values
from widedeep.training.settings import TrainConfig

NCF = load_config(TrainConfig, ["--config", "ncf"], "train")


def write(folder, text: str):
    file = folder / "space.toml"
    file.write_text(text)
    return file


def test_dotted_names_and_sections_mean_the_same(tmp_path):
    dotted = """
        optim.lr = { low = 1e-4, high = 1e-2, log = true }
        model.hidden = { choices = ["64,32", [8]] }
        epochs = { low = 2, high = 9 }
    """
    quoted = dotted.replace("optim.lr", '"optim.lr"').replace("model.hidden", '"model.hidden"')
    sections = """
        epochs = { low = 2, high = 9 }
        [optim]
        lr = { low = 1e-4, high = 1e-2, log = true }
        [model]
        hidden = { choices = ["64,32", [8]] }
    """
    expected = {
        "optim.lr": Range(low=1e-4, high=1e-2, log=True),
        "model.hidden": Choices(choices=("64,32", "8")),
        "epochs": Range(low=2, high=9),
    }
    for text in (dotted, quoted, sections):
        assert read_space(str(write(tmp_path, text)), NCF) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "optim.rate = {low = 1, high = 2}",
            r"optim\.rate: ncf has no such setting: name one that widedeep train --model",
        ),
        ("model.ridge = {low = 1, high = 2}", r"model\.ridge: ncf has no such setting"),
        ("optim = {choices = [1]}", r"optim\.choices: ncf has no such setting"),
        ("optim = 3", "optim: ncf has no such setting"),
        (
            "seed = {low = 1, high = 9}",
            "seed: trials that differ in it cannot be compared: remove it here, and give --seed",
        ),
        ('model.name = {choices = ["ncf"]}', r"model\.name: trials that differ"),
        ("optim.lr = 0.1", r"optim\.lr: write \{ low = ….*got 0\.1"),
        ("optim.lr = {low = 0.1}", r"optim\.lr\.high: Field required"),
        ("optim.lr = {low = 0.1, high = 0.2, steps = 2}", r"optim\.lr\.steps: Extra inputs"),
        ("optim.lr = {low = 0.2, high = 0.1}", "low must be below high, not 0.2 and 0.1"),
        ("optim.lr = {low = 0.0, high = 0.1, log = true}", "log needs a low above 0"),
        ("optim.lr = {low = -0.1, high = 0.1}", r"optim\.lr: Input should be greater than 0 \(got -0\.1\)"),
        ("epochs = {low = 1.0, high = 9.0}", r"epochs: Input should be a valid integer.*\(got 3\.5"),
        ('optim.name = {choices = ["adam", "adamx"]}', r"optim\.name: Input should be .*\(got 'adamx'\)"),
        ("model.hidden = {choices = [[64, 0]]}", r"model\.hidden: .*\(got '64,0'\)"),
        ("", "names no setting"),
        ("optim.lr = [", "cannot be read as TOML"),
    ],
)
def test_a_wrong_space_is_refused_by_file_and_field(tmp_path, text, said):
    with pytest.raises(InputError, match=said) as refused:
        read_space(str(write(tmp_path, text)), NCF)
    assert "space.toml" in str(refused.value)


def test_a_missing_space_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(InputError, match=r"space file nowhere does not exist: give --space one of the presets ncf,"):
        read_space("nowhere", NCF)


@pytest.mark.parametrize("file", sorted((ROOT / "conf/search").glob("*.toml")), ids=lambda file: file.stem)
def test_the_spaces_that_come_along_hold_their_presets(file):
    preset = {"wide_deep_history": "best"}.get(file.stem, file.stem)
    config = load_config(TrainConfig, ["--config", preset], "train")
    space = read_space(None, config)
    assert config.model.name == file.stem
    assert [setting for setting, values in space.items() if not values.has(value_of(config, setting))] == []


def test_values_are_of_the_kind_the_file_writes():
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    whole = Range(low=10, high=40, step=10).suggest(trial, "whole")
    assert isinstance(whole, int)
    assert whole in (10, 20, 30, 40)
    share = Range(low=0.0, high=1.0).suggest(trial, "share")
    assert isinstance(share, float)
    assert 0 <= share <= 1
    assert Range(low=0.0, high=1.0, step=0.25).suggest(trial, "quarter") % 0.25 == 0
    assert Choices(choices=(True,)).suggest(trial, "choice") is True


def test_values_replace_those_of_the_settings_and_are_checked_together():
    changed = with_values(NCF, {"optim.lr": 0.5, "model.hidden": "8,4", "patience": "none"})
    assert (changed.optim.lr, changed.model.hidden, changed.patience) == (0.5, (8, 4), None)
    assert value_of(changed, "model.hidden") == "8,4"
    assert value_of(changed, "patience") == "none"
    assert changed.optim.embedding_decay == NCF.optim.embedding_decay
    crossed = load_config(TrainConfig, ["--config", "wide_deep_cross"], "train")
    with pytest.raises(ValueError, match="together leave nothing"):
        with_values(crossed, {"model.wide_only": True, "model.deep_only": True})
