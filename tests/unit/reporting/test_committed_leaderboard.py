"""The leaderboards in docs/: page and data agree, and they say of published results what is known of them."""

import re
import tomllib
from collections.abc import Iterator

import pytest

from tests.training import ROOT
from widedeep.common.command import load_config
from widedeep.reporting.leaderboard.board import read_board
from widedeep.reporting.leaderboard.page import leaderboard_page
from widedeep.reporting.leaderboard.verbal_claims import verbal_claims
from widedeep.training.settings import TrainConfig

BOARD = read_board(ROOT / "docs" / "leaderboard.json")
PAGE = (ROOT / "docs" / "leaderboard.md").read_text()
TABLE = tomllib.loads((ROOT / "scripts" / "leaderboard.toml").read_text())
ENTRIES = {entry["system"]: entry for entry in BOARD.entries}


# Label in a table of results, without markup -> system.
LABELS = {
    "wide & deep over histories (best)": "best",
    "best": "best",
    "user + item biases, tuned on valid": "bias",
    "user and item biases": "bias",
    "wide & deep (wide_deep)": "wide_deep",
    "dot product + MLP with genres (genre_hybrid)": "genre_hybrid",
    "matrix factorisation, tuned on valid": "mf",
    "item-item kNN, tuned on valid": "item_knn",
    "item kNN": "item_knn",
    "EASE, tuned on valid": "ease",
    "EASE": "ease",
    "SLIM, tuned on valid": "slim",
    "SLIM": "slim",
    "most rated anime": "popularity",
}
COLUMNS = {"RMSE": "rmse", "NDCG@10": "ndcg_at_10", "Recall@20": "recall_at_20", "coverage@10": "coverage_at_10"}


def results_in(text: str) -> Iterator[tuple[str, str, str]]:
    """System, metric and figure of each cell of the tables that begin with RMSE, NDCG@10 and Recall@20."""
    tables = re.findall(r"^\| [^|]* \| RMSE \| NDCG@10 \| Recall@20 \|.*\n(?:\|.*\n)+", text, re.MULTILINE)
    for table in tables:
        head, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines())
        for label, *cells in rows:
            plain = re.sub(r"\]\([^)]*\)|[*`\[]", "", label)
            if plain in LABELS:
                yield from ((LABELS[plain], COLUMNS[name], cell) for name, cell in zip(head[1:], cells, strict=True))


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def row(title: str, label: str) -> list[str]:
    """The cells of the row of a table that begins with a label."""
    (line,) = (line for line in section(title).splitlines() if line.startswith(f"| {label} |"))
    return line.split(" | ")


@pytest.mark.parametrize("file", sorted((ROOT / "docs").glob("leaderboard*.json")), ids=lambda file: file.stem)
def test_the_page_is_what_its_data_give(file):
    assert leaderboard_page(read_board(file), file.stem) == file.with_suffix(".md").read_text()


@pytest.mark.parametrize("name", [name for name, entry in ENTRIES.items() if entry["kind"] != "baseline"])
def test_published_figures_are_those_of_the_settings(name):
    said = TABLE["presets"].get(name) or TABLE["presets"][name.removesuffix("_published")]
    assert ENTRIES[name]["published"] == said.get("published")


@pytest.mark.parametrize(
    ("page", "board", "systems"),
    [
        ("README.md", "leaderboard", 9),
        ("docs/model.md", "leaderboard", 4),
        ("docs/datasets.md", "leaderboard-movielens-100k", 5),
    ],
)
def test_tables_of_results_say_what_the_leaderboard_says(page, board, systems):
    entries = {entry["system"]: entry for entry in read_board(ROOT / "docs" / f"{board}.json").entries}
    text = (ROOT / page).read_text()
    if page == "docs/model.md":  # its other tables are of single seeds
        text = text.split("**Cold items")[0]
    found = list(results_in(text))
    assert len({system for system, _, _ in found}) == systems
    for system, metric, figure in found:
        value, spread = entries[system][metric], entries[system].get(f"{metric}_sd")
        expected = "" if value is None else f"{value:.3f}" + ("" if spread is None else f" ± {spread:.3f}")
        assert figure.replace("*", "") == expected, (system, metric)


def test_each_figure_belongs_to_its_notebook():
    _, published, measured, *_ = row("Published and measured", "wide & deep, as published")
    assert published == "RMSE 1.70 (train 1.50), of users' ratings"
    assert measured.startswith("RMSE 1.5651")
    _, published, measured, *_ = row("Published and measured", "wide & deep, rich features, as published")
    assert published == "RMSE 0.0729 (validation loss 0.0053), of mean scores scaled to 0-1"
    assert measured.startswith("RMSE 0.0099")
    assert "of mean scores scaled to 0-1, as published" in measured


def test_a_linear_model_is_no_run_of_the_notebook():
    assert "0.0717" not in section("Published and measured")
    _, published, computed, _, reason = row(
        "Arithmetic on published figures", "wide & deep, rich features: test RMSE 0.0729"
    )
    assert (published[:11], computed[:27]) == ("RMSE 0.0729", "0.0717 by a linear model of")
    assert "another sample and split" in computed
    assert "is chance" in reason


def test_a_run_as_published_stands_beside_the_honest_one_of_the_same_variant():
    assert "1.1724 ± 0.0039" in row("Published and measured", "dot product + MLP with genres, 32, as published")[3]
    for name, entry in ENTRIES.items():
        if entry["kind"] == "as published":
            preset = TABLE["presets"].get(entry["honest"], {}).get("preset", entry["honest"])
            flags = TABLE["presets"].get(entry["honest"], {}).get("flags", [])
            models = [
                load_config(TrainConfig, ["--config", str(ROOT / f"conf/train/{file}.toml"), *more], "train").model
                for file, more in ((name, []), (preset, flags))
            ]
            widths = [getattr(model, "embedding_dim", None) for model in models]
            assert models[0].name == models[1].name
            assert widths[0] == widths[1], name


def test_entries_without_a_score_are_said_to_be_generated():
    title = "Published and measured"
    _, published, measured, _, note = row(title, "dot product + MLP with genres, 32, as published")
    assert published.startswith("RMSE 2.7927, MAE 2.0191, R2 0.4896")
    assert "those without a score are generated" in measured
    assert "inferred from the published RMSE and R2" in note
    assert "our choice" in note
    assert row(title, "dot product + MLP, 128")[1].startswith("RMSE 2.8135, MAE 2.0294, R2 0.4819")
    assert row(title, "dot product + MLP, 32")[1].startswith("RMSE 2.7998, MAE 1.9619, R2 0.4870")


def test_verbal_claims_are_measured_on_the_entries():
    assert BOARD.verbal_claims == verbal_claims(TABLE, BOARD.entries)
    verdicts = {
        (claim.claim, claim.compared): claim.rmse.verdict if claim.rmse else None for claim in BOARD.verbal_claims
    }
    both = "wide & deep, crosses"
    assert verdicts["outperformed both standalone wide and deep", f"{both} - {both}: wide part alone"] == "holds"
    assert verdicts["outperformed both standalone wide and deep", f"{both} - {both}: deep part alone"] == "open"
    assert verdicts["RecommenderNet better than NCF", "cosine of embeddings - NCF (GMF + MLP)"] == "refuted"
    genres = "dot product + MLP with genres, 128"
    assert verdicts["all classic methods performed poorly", f"{genres} - item-item kNN"] == "refuted"
    assert verdicts['the top 5 of a user are "all above 9.0"', None] is None


def test_the_readme_counts_the_models_that_biases_beat():
    models = [e for e in BOARD.entries if e["kind"] == "model" and e["system"] != "best"]
    rating = [e for e in models if e["rmse"] is not None]
    worse = {e["system"] for e in rating if e["rmse"] > ENTRIES["bias"]["rmse"]}
    crosses = {"wide_deep_cross", "wide_deep_cross_wide_only", "wide_deep_cross_deep_only"}
    assert worse == {"recommender_net", "denoising_autoencoder", *crosses}
    assert all(e["rmse"] > ENTRIES["item_knn"]["rmse"] for e in rating)
    numbers = {9: "Nine", 14: "fourteen"}
    count = f"{numbers[len(rating) - len(worse)]} of the {numbers[len(rating)]}"
    readme = re.sub(r"\s+", " ", (ROOT / "README.md").read_text())
    assert f"{count} other models of ratings predict them better than biases do, none better than item" in readme
    by_rating = [e for e in rating if e["system"] != "denoising_autoencoder"]
    assert all(e["ndcg_at_10"] < ENTRIES["popularity"]["ndcg_at_10"] for e in by_rating)
    by_affinity = [e["ndcg_at_10"] for e in models if e not in by_rating]
    assert f"NDCG@10 of {min(by_affinity):.2f} to {max(by_affinity):.2f}." in readme
    assert f"{len(BOARD.data.empty_of_users)} of its 16 columns of users are empty" in readme
