"""The cards of a prepared directory and of a run."""

import json

import pyarrow.parquet as pq
import pytest
import yaml

from tests.builders import PLAYS, write_prepared
from tests.training import command, metrics, train
from widedeep.reporting.data_card import data_card
from widedeep.reporting.markdown import code, table
from widedeep.reporting.model_card import as_yaml, model_card
from widedeep.schema.manifest import Audit, AuditedFeature, Manifest, read_manifest
from widedeep.schema.run_report import RunReport

FEATURE = AuditedFeature(
    table="items",
    name="dump_score",
    kind="numeric",
    source="Score",
    used=False,
    ratings_in_it="all",
    train_rmse=1.5,
    train_r2=0.25,
    held_out_rmse=1.25,
    held_out_r2=0.125,
    slope=1.75,
    slope_error=0.1,
    leaks=True,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Prepared data whose users have texts as identifiers and names, and a run on them."""
    folder = tmp_path_factory.mktemp("cards")
    named = PLAYS.model_copy(update={"ratings": PLAYS.ratings.model_copy(update={"rating": "stars"})})
    write_prepared(folder / "prepared", features=True, dataset=named)
    train(command(folder / "prepared", folder / "run", epochs=1))
    return folder


def cells(card: str, first: str) -> list[str]:
    """The cells of the row that begins with `first`."""
    (row,) = (line for line in card.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in row.strip("|").split(" | ")]


def sections(card: str) -> list[str]:
    return [line.removeprefix("## ") for line in card.splitlines() if line.startswith("## ")]


def full_manifest(manifest: Manifest) -> Manifest:
    """A manifest with everything in it that a card tells of."""
    ratings = manifest.ratings.model_copy(update={"quarantined": {"wrong_arity": 1234}, "not_sampled": 5})
    return manifest.model_copy(
        update={
            "ratings": ratings,
            "config": {"seed": 7, "split": {"kind": "random", "train": 0.8}},
            "quarantined": {"items": {}, "users": {"id_missing": 2}},
            "leaks": {
                "Score": {"file": "items", "why": "of all ratings", "used": False},
                "Rank": {"file": "items", "why": "of all ratings", "used": True},
            },
            "audit": Audit(split="valid", items=(FEATURE,), users=()),
            "inputs": {"ratings": {"name": "a|b.csv", "bytes": 12345}},
        }
    )


def test_the_data_card_has_what_the_manifest_says(trained):
    manifest = full_manifest(read_manifest(trained / "prepared"))
    card, rows = data_card(manifest), {split: manifest.ratings.rows(split) for split in ("train", "valid", "test")}
    assert cells(card, "valid")[1:] == [f"{rows['valid']:,}", f"{rows['valid'] / sum(rows.values()):.1%}"]
    files = manifest.ratings.shards["train"]
    assert cells(card, "`ratings/split=train/`")[1:3] == [str(len(files)), f"{rows['train']:,}"]
    assert cells(card, "`genres`") == ["`genres`", "multi-hot", "", "none", "3"]
    assert cells(card, "`Score`")[1:3] == ["items", "left out"]
    assert cells(card, "`Rank`")[2] == "**used all the same**"
    assert cells(card, "items")[1:] == ["`dump_score`", "0.250", "0.125", "1.750", "left out", "yes"]
    assert cells(card, "ratings | `wrong_arity`")[2] == "1,234"
    assert cells(card, "users | `id_missing`")[2] == "2"
    assert "5 good ones were not sampled" in card
    assert "`a\\|b.csv` | 12,345 |" in card
    assert f"`{manifest.digest}`" in card
    assert json.loads(card.split("```json\n")[1].split("```")[0]) == manifest.config


def test_a_data_card_of_little_says_so(trained):
    card = data_card(read_manifest(trained / "prepared"))
    assert "No row was refused." in card
    assert "No feature was audited" in card
    assert "names no column that is computed from held-out ratings" in card
    assert sections(card) == sections(data_card(full_manifest(read_manifest(trained / "prepared"))))


def test_the_front_matter_is_what_the_hub_reads(trained):
    card, found = (trained / "run" / "README.md").read_text(), metrics(trained / "run")
    _, head, _ = card.split("---\n", 2)
    matter = yaml.safe_load(head)
    assert {"license", "license_name", "library_name", "tags", "model-index"} == set(matter)
    assert matter["library_name"] == "widedeep"
    assert "wide_deep" in matter["tags"]
    (entry,) = matter["model-index"]
    (result,) = entry["results"]
    assert entry["name"] == "run"
    assert set(result["task"]) == {"type", "name"}
    assert (result["dataset"]["type"], result["dataset"]["split"]) == ("plays", "test")
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert values["rmse"] == pytest.approx(found["test"]["rmse"], abs=1e-6)
    assert values["ndcg_at_10"] == pytest.approx(found["ranking"]["model"]["ndcg_at_10"], abs=1e-6)


def test_the_model_card_stands_beside_the_reference_models(trained):
    card, found = (trained / "run" / "README.md").read_text(), metrics(trained / "run")
    assert sections(card) == ["Quality", "Intended use", "Limits", "How to load it", "Training"]
    assert cells(card, "this model")[1] == f"{found['test']['rmse']:.4f}"
    assert cells(card, "user + item biases")[1] == f"{found['reference_models']['bias']['rmse']:.4f}"
    assert cells(card, "most rated items")[4] == f"{found['ranking']['popularity']['ndcg_at_10']:.4f}"


def test_cards_name_no_user(trained):
    users = pq.read_table(trained / "prepared" / "users").to_pydict()
    cards = (trained / "run" / "README.md").read_text() + data_card(read_manifest(trained / "prepared"))
    report = (trained / "run" / "report.json").read_text()
    texts = {"user_id", "username"} & set(users)
    assert texts == {"user_id", "username"}
    for name in texts:
        assert not [user for user in users[name] if f"{user}" in cards.replace("`user_id`", "")][:3]
        assert not [user for user in users[name] if f'"{user}"' in report][:3]


def test_a_leak_and_a_refit_are_told(trained):
    report = RunReport.model_validate_json((trained / "run" / "report.json").read_text())
    manifest = read_manifest(trained / "prepared")
    plain = model_card(report, manifest)
    assert "errors are too low" not in plain
    assert "learnt from train and valid" not in plain
    told = model_card(report.model_copy(update={"refit": True}), full_manifest(manifest))
    assert "**The errors are too low**: features were computed from held-out ratings (`Rank`)." in told
    assert "learnt from train and valid" in told
    assert f"on {report.ratings['train'] + report.ratings['valid']:,} ratings" in told


@pytest.mark.parametrize(
    "value",
    [
        {"a": 'quote " and: colon # no comment', "b": [1.5, None, True, "- x"], "c": {"d": [], "e": {}}},
        {"text": "é 🎬 <b>", "many": [{"x": 1, "y": [2]}, {"x": "---"}], "lines": "one\ntwo"},
    ],
)
def test_yaml_is_read_as_it_was_meant(value):
    assert yaml.safe_load(as_yaml(value)) == value


def test_texts_of_the_data_stay_text():
    assert code("a|b`c\n<script>") == "`a\\|b'c <script>`"
    assert code("") == ""
    assert table(("n", "text"), [(1234, "x"), (5, None)]) == "| n | text |\n| ---: | --- |\n| 1,234 | x |\n| 5 |  |"
