import gzip

import pytest
from pyspark.errors import PySparkException

from tests.spark.dumps import ANIME_HEADER, BAD, GOOD, RATINGS_HEADER, write_dump
from widedeep.common.errors import DamagedFileError, InputError
from widedeep.data.dataset_descriptions import read_dataset
from widedeep.spark.filesystem import Files
from widedeep.spark.preparation.ingest import (
    copies,
    entity_rows,
    read_rows,
    repeated_pairs,
    typed_ratings,
    without_pairs,
)
from widedeep.spark.preparation.quarantine import CheckedFile, check_file
from widedeep.spark.session import bad_files_and_disks_named

MAL = read_dataset("mal2023")
ANIME_COLUMNS = ANIME_HEADER.split(",")


def ratings_of(spark, path, item_ids=(1, 5, 6)):
    items = spark.createDataFrame([(a, n) for n, a in enumerate(item_ids)], "item_id bigint, item int")
    raw = read_rows(spark, Files(spark), str(path), MAL.ratings, MAL.ratings.columns)
    return typed_ratings(raw, items, MAL, MAL.ratings.scale)


def test_every_bad_row_has_its_reason_and_content(spark, tmp_path):
    rows = ratings_of(spark, write_dump(tmp_path) / "users-score-2023.csv").where("_reason IS NOT NULL").collect()
    assert {r["_row"].replace('""', ""): r["_reason"] for r in rows} == BAD
    assert {r["_file"] for r in rows} == {"users-score-2023.csv"}


def test_good_rows_are_typed(spark, tmp_path):
    path = write_dump(tmp_path, ratings=GOOD) / "users-score-2023.csv"
    rows = ratings_of(spark, path).orderBy("_line").collect()
    found = [(r["user_id"], r["item_id"], r["item"], r["rating"]) for r in rows]
    assert found == [(1, 1, 0, 9.0), (1, 5, 1, 7.0), (2, 1, 0, 10.0), (2, 6, 2, 3.0), (3, 5, 1, 8.0), (3, 1, 0, 8.0)]
    assert {r["_row"] for r in rows} == {None}


def test_the_first_of_duplicates_in_file_order_is_copy_one(spark, tmp_path):
    folder = tmp_path / "ratings.csv"
    folder.mkdir()
    for part, rating in (("a.csv", 3), ("b.csv", 9)):
        filler = "\n".join(f"{user},n,5,t,5" for user in range(100, 100 + 50 * rating))
        (folder / part).write_text(f"{RATINGS_HEADER}\n{filler}\n1,n,1,t,{rating}\n1,n,1,t,{rating + 1}\n")
    ratings = ratings_of(spark, folder)
    repeated = repeated_pairs(ratings, 3)
    rows = copies(ratings, repeated, "first", MAL.ratings.scale).where("user_id = 1").orderBy("copy").collect()
    assert [(r["copy"], r["rating"]) for r in rows] == [(1, 3.0), (2, 4.0), (3, 9.0), (4, 10.0)]
    # users 100 to 249 are in both parts, those up to 549 in the second alone
    assert sorted(r["user_id"] for r in without_pairs(ratings, repeated).collect()) == list(range(250, 550))


def test_columns_may_come_in_another_order_and_with_others(spark, tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("rating,note,anime_id,user_id\n8,hello,5,12\n")
    row = ratings_of(spark, path).first()
    assert (row["user_id"], row["item_id"], row["rating"], row["_reason"]) == (12, 5, 8.0, None)


def test_a_byte_order_mark_and_windows_line_ends_are_no_fault(spark, tmp_path):
    path = tmp_path / "r.csv"
    path.write_bytes("\ufeffuser_id,anime_id,rating\r\n12,5,8\r\n".encode())
    row = ratings_of(spark, path).first()
    assert (row["user_id"], row["rating"], row["_reason"]) == (12, 8.0, None)


def test_a_missing_column_names_file_and_column(spark, tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("user_id,anime_id\n1,1\n")
    with pytest.raises(InputError, match=r"r\.csv.*\['rating'\]"):
        ratings_of(spark, path)


@pytest.mark.parametrize("name", ["a`b", "a.b", "file", "", " ", "a,b"])
def test_another_column_may_have_any_name(spark, tmp_path, name):
    path = tmp_path / "r.csv"
    path.write_text(f'user_id,anime_id,rating,"{name}"\n12,5,8,more\n12,5\n')
    rows = ratings_of(spark, path).orderBy("_line").collect()
    assert [row["_reason"] for row in rows] == [None, "wrong_arity"]
    assert (rows[0]["user_id"], rows[0]["item_id"], rows[0]["rating"]) == (12, 5, 8.0)


@pytest.mark.parametrize("name", ["rating", "Rating"])
def test_a_column_that_is_there_twice_is_named(spark, tmp_path, name):
    path = tmp_path / "r.csv"
    path.write_text(f"user_id,anime_id,rating,{name}\n12,5,8,8\n")
    with pytest.raises(InputError, match=rf"r\.csv: its header.* has the same column twice: .*'rating', '{name}'"):
        ratings_of(spark, path)


@pytest.mark.parametrize("name", ["_line", "_corrupt", "_File"])
def test_a_column_of_a_name_of_ours_is_named(spark, tmp_path, name):
    path = tmp_path / "r.csv"
    path.write_text(f"user_id,anime_id,rating,{name}\n12,5,8,8\n")
    with pytest.raises(InputError, match=rf"r\.csv: its header.* has \['{name.lower()}'\], which are names of our own"):
        ratings_of(spark, path)


def test_parts_with_other_columns_are_named(spark, tmp_path):
    (tmp_path / "r.csv").mkdir()
    (tmp_path / "r.csv" / "a.csv").write_text("user_id,anime_id,rating\n12,5,8\n")
    (tmp_path / "r.csv" / "b.csv").write_text("anime_id,user_id,rating\n12,5,8\n")
    with pytest.raises(InputError, match=r"b\.csv: its header has \['anime_id', .* in the same order"):
        ratings_of(spark, tmp_path / "r.csv")


def test_a_missing_or_empty_file_is_named(spark, tmp_path):
    with pytest.raises(InputError, match=r"nothing\.csv does not exist"):
        ratings_of(spark, tmp_path / "nothing.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InputError, match=r"empty\.csv is empty"):
        ratings_of(spark, tmp_path / "empty.csv")


def checked_anime(spark, path) -> CheckedFile:
    raw = read_rows(spark, Files(spark), str(path), MAL.items, MAL.items.columns)
    return check_file(str(path), entity_rows(raw, MAL.items, MAL.items.columns, MAL.ids))


def anime_rows(count: int) -> list[str]:
    """Rows without quotes whose identifiers are 1, 2, …"""
    return [
        ",".join([str(number), f"title {number}", *["x"] * (len(ANIME_COLUMNS) - 2)]) for number in range(1, count + 1)
    ]


@pytest.mark.parametrize("closed_at", [None, 700])
def test_a_stray_quote_does_not_swallow_rows_in_silence(spark, tmp_path, closed_at):
    rows = anime_rows(2000)
    rows[4] = rows[4].replace("title 5", '"title 5')
    if closed_at is not None:
        rows[closed_at - 1] = rows[closed_at - 1].replace(f"title {closed_at}", f'title {closed_at}"')
    path = tmp_path / "anime.csv"
    path.write_text("\n".join([ANIME_HEADER, *rows]) + "\n")
    found = checked_anime(spark, path)
    # The row that closes the quote is a part of the one that opens it.
    assert found.bad == {"unclosed_quote": (closed_at or 2001) - 5}
    assert found.read == (1999 if closed_at else 2000)
    assert found.good.count() == found.good_count


def test_newlines_and_commas_of_a_synopsis_are_no_rows(spark, tmp_path):
    lines = "\n".join(["1, 2, 3, and many more, he said, and went", "7, 8", "said" + ", one" * 30])
    rows = [f'1,t,e,o,8,g,"{lines}"' + ",x" * (len(ANIME_COLUMNS) - 7)]
    path = tmp_path / "anime.csv"
    path.write_text("\n".join([ANIME_HEADER, *rows]) + "\n")
    found = checked_anime(spark, path)
    assert (found.read, found.bad) == (1, {})


def test_bytes_of_another_encoding_are_counted(spark, tmp_path):
    rows = [row.encode() for row in anime_rows(5)]
    rows[1] = rows[1].replace(b"title 2", "Pokémon".encode("iso-8859-1"))
    rows[3] = rows[3].replace(b"title 4", "Pokémon".encode())
    path = tmp_path / "anime.csv"
    path.write_bytes(b"\n".join([ANIME_HEADER.encode(), *rows]) + b"\n")
    found = checked_anime(spark, path)
    assert (found.replaced, found.bad_count) == (1, 0)


def test_a_file_that_may_be_cut_off_is_named(spark, tmp_path, caplog):
    whole = write_dump(tmp_path) / "users-score-2023.csv"
    ratings_of(spark, whole)
    assert "newline" not in caplog.text
    cut = tmp_path / "cut.csv"
    cut.write_bytes(whole.read_bytes()[:-1])
    ratings_of(spark, cut)
    assert f"{cut} does not end with a newline: if its download was cut off, get it again" in caplog.text


def packed_and_cut_off(path, rows):
    packed = gzip.compress("\n".join([RATINGS_HEADER, *(f"{row},n,5,t,8" for row in range(rows))]).encode() + b"\n")
    path.write_bytes(packed[: len(packed) * 3 // 4])
    return path


def test_a_packed_file_that_is_cut_off_in_its_first_lines_is_named(spark, tmp_path):
    path = packed_and_cut_off(tmp_path / "ratings.csv.gz", 10)
    with pytest.raises(InputError, match=r"ratings\.csv\.gz cannot be unpacked: download it again"):
        ratings_of(spark, path)


def test_a_packed_file_that_is_cut_off_later_is_named(spark, tmp_path):
    path = packed_and_cut_off(tmp_path / "ratings.csv.gz", 60_000)
    told = r"ratings\.csv\.gz cannot be read \(Unexpected end of input stream\): it is damaged or cut off; get it again"
    with pytest.raises(DamagedFileError, match=told), bad_files_and_disks_named():
        check_file(str(path), ratings_of(spark, path))


def test_other_errors_of_spark_are_left_alone(spark):
    with pytest.raises(PySparkException, match="no_such_column"), bad_files_and_disks_named():
        spark.range(3).select("no_such_column").collect()
