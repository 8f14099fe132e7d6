import pytest

from tests.spark.dumps import BAD, GOOD, RATINGS_HEADER, write_dump
from widedeep.common.errors import InputError
from widedeep.data.dataset_descriptions import read_dataset
from widedeep.spark.filesystem import Files
from widedeep.spark.preparation.ingest import (
    copies,
    read_rows,
    repeated_pairs,
    typed_ratings,
    without_pairs,
)

MAL = read_dataset("mal2023")


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


def test_a_missing_or_empty_file_is_named(spark, tmp_path):
    with pytest.raises(InputError, match=r"nothing\.csv does not exist"):
        ratings_of(spark, tmp_path / "nothing.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InputError, match=r"empty\.csv is empty"):
        ratings_of(spark, tmp_path / "empty.csv")
