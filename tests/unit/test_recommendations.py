"""The command recommendations; tests/spark/scoring/test_score_all.py runs it on what Spark has written."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.builders import MAL
from tests.spoil import spoil_other_groups
from widedeep.common.errors import InputError
from widedeep.recommendations import main, recommendations_of
from widedeep.schema.manifest import DataFile
from widedeep.schema.recommendations import RecommendationManifest, list_schema
from widedeep.schema.records import seal

ROWS = [
    {"user_id": 7, "rank": 2, "anime_id": 20, "title": "Gintama'", "affinity": 1.5},
    {
        **{"user_id": 7, "rank": 1, "anime_id": 10, "title": "Gintama", "affinity": 2.0, "predicted_rating": 8.5},
        **{"affinity_wide": 1.0, "affinity_content": 0.75, "affinity_deep": 0.25},
        "reasons": [{"anime_id": 20, "title": "Mushishi", "rating": 9.0, "share": 0.5}],
    },
    {"user_id": 8, "rank": 1, "anime_id": 20, "title": "Gintama'", "affinity": 1.5},
]


@pytest.fixture
def directory(tmp_path):
    pq.write_table(pa.Table.from_pylist(ROWS, list_schema(MAL.ids)), tmp_path / "part-00000.parquet")
    file = DataFile(path="part-00000.parquet", rows=3, bytes=1, sha256="", content="")
    counts = {"users": 2, "rows": 3, "distinct_items": 2}
    manifest = RecommendationManifest(config={}, data_digest="", model="", ids=MAL.ids, files=(file,), **counts)
    (tmp_path / "_manifest.json").write_text(manifest.seal())
    return tmp_path


def test_a_users_list_is_shown_in_order_with_reasons(directory, capsys):
    assert [row["rank"] for row in recommendations_of(directory, "7")[0]] == [1, 2]
    main(["--user", "7", "--recommendations", str(directory)])
    shown = capsys.readouterr().out
    assert "for user 7" in shown
    assert "because you rated Mushishi 9 " in shown
    assert shown.index("Gintama ") < shown.index("Gintama'")


def test_a_look_up_reads_the_users_row_group_alone(directory):
    """Row groups of others are zeros, which a reader of them would not survive."""
    rows = [{**ROWS[2], "user_id": user, "anime_id": user + 100} for user in range(12)]
    file = directory / "part-00000.parquet"
    pq.write_table(pa.Table.from_pylist(rows, list_schema(MAL.ids)), file, row_group_size=3)
    assert spoil_other_groups(file, 7) == 3
    assert [row["anime_id"] for row in recommendations_of(directory, "7")[0]] == [107]
    with pytest.raises(InputError, match="is damaged"):
        recommendations_of(directory, "2")


def test_lists_of_another_release_are_refused(directory):
    file = directory / "_manifest.json"
    file.write_text(seal("recommendations", 2, {}))
    with pytest.raises(InputError, match=r"format_version is 2, this release reads 5; .* jobs/score_all.py"):
        recommendations_of(directory, "7")


def test_a_directory_without_lists_and_a_user_without_a_list_are_named(directory, tmp_path):
    with pytest.raises(InputError, match="holds no recommendations"):
        recommendations_of(tmp_path / "none", "7")
    with pytest.raises(InputError, match=r"user 9 is not in .* holds 2 users"):
        recommendations_of(directory, "9")


@pytest.mark.parametrize("fault", ["gone", "half there"])
def test_lists_that_are_being_replaced_are_one_sentence(directory, fault):
    file = directory / "part-00000.parquet"
    if fault == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match=r"is damaged, or is being replaced .*: try again"):
        recommendations_of(directory, "7")
