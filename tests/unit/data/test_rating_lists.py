"""A person's list of ratings in all its forms."""

import gzip

import pytest

from tests.builders import MAL, TEN_POINTS
from widedeep.common.errors import InputError
from widedeep.data.rating_lists import MOST_BYTES, ListEntry, read_rating_list

CSV = 'anime_id,title,rating\n1,Cowboy Bebop,9\n,"Mononoke, Hime",7.5\n\n30,,\n31,,0\n32,,-1\n'
ENTRIES = [
    ListEntry("line 2", 1, "Cowboy Bebop", 9.0, False),
    ListEntry("line 3", None, "Mononoke, Hime", 7.5, False),
    *(ListEntry(f"line {line}", anime_id, "", None, False) for line, anime_id in ((5, 30), (6, 31), (7, 32))),
]
XML = """<?xml version="1.0" encoding="UTF-8" ?>
<!-- Created by the export feature -->
<myanimelist>
  <myinfo><user_id>7</user_id><user_export_type>1</user_export_type></myinfo>
  <anime><series_animedb_id>1</series_animedb_id><series_title><![CDATA[Bebop & Co]]></series_title>
    <my_score>9</my_score><my_status>Completed</my_status></anime>
  <anime><series_animedb_id>2</series_animedb_id><my_score>0</my_score><my_status>Dropped</my_status></anime>
  <anime><series_animedb_id>3</series_animedb_id><my_score>0</my_score><my_status>Plan to Watch</my_status></anime>
  <anime><series_animedb_id>4</series_animedb_id><my_score>6</my_score><my_status>6</my_status></anime>
</myanimelist>
"""
EXPORTED = [
    ListEntry("anime 1", 1, "Bebop & Co", 9.0, False),
    ListEntry("anime 2", 2, "", None, False),
    ListEntry("anime 3", 3, "", None, True),
    ListEntry("anime 4", 4, "", 6.0, True),
]
BOMB = '<!DOCTYPE m [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
LEAK = '<!DOCTYPE m [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


def read(tmp_path, name: str, content: str | bytes, scale=TEN_POINTS) -> list[ListEntry]:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_rating_list(tmp_path / name, MAL, scale)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("mine.csv", CSV),
        ("mine.csv", CSV.encode("utf-8-sig")),
        ("mine.csv", CSV.replace("\n", "\r\n")),
        ("mine.csv", CSV.replace("anime_id,title,rating", " Anime_ID, Title ,RATING")),
        ("mine.csv.gz", gzip.compress(CSV.encode())),
        ("mine.tsv", CSV.replace(",", "\t").replace("Mononoke\t", "Mononoke,")),
        ("mine.txt", CSV.replace(",", ";").replace("Mononoke;", "Mononoke,").replace("7.5", "7,5")),
    ],
    ids=["plain", "mark", "dos", "heading", "gz", "tabs", "semicolons"],
)
def test_csv_files_of_all_kinds(tmp_path, name, content):
    assert read(tmp_path, name, content) == ENTRIES


def test_other_columns_are_passed_over_and_one_identity_is_enough(tmp_path):
    assert read(tmp_path, "a.csv", "rating,note,title\n8,fine,K\n") == [ListEntry("line 2", None, "K", 8.0, False)]
    assert read(tmp_path, "a.csv", "anime_id,rating\n8,1\n") == [ListEntry("line 2", 8, "", 1.0, False)]


def test_a_zero_is_a_rating_where_the_scale_has_it(tmp_path):
    entries = read(tmp_path, "a.csv", CSV, TEN_POINTS.model_copy(update={"lowest": 0.0}))
    assert [entry.rating for entry in entries] == [9.0, 7.5, None, 0.0, None]


@pytest.mark.parametrize("name", ["list.xml", "list.XML.gz"])
def test_lists_that_myanimelist_exported(tmp_path, name):
    assert read(tmp_path, name, gzip.compress(XML.encode()) if name.endswith("gz") else XML) == EXPORTED


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", r"the header has \[\]: it needs the columns rating, and anime_id or title"),
        ("name,rating\n", "it needs the columns rating, and anime_id or title"),
        ("anime_id,score\n", "it needs the columns rating, and anime_id or title"),
        ("anime_id,rating\n1,9\n2,11\n", r"line 3: rating '11' is out of the scale: give a number of 1-10"),
        ("anime_id,rating\n1,nan\n", "line 2: rating 'nan' is out of the scale"),
        ("anime_id,rating\n1,good\n", "line 2: rating 'good' is no number: give a number of 1-10, or nothing"),
        ("anime_id,rating\n1.5,9\n", r"line 2: anime_id '1.5' is no whole number"),
        ("anime_id,title,rating\n, ,9\n", "line 2: neither anime_id nor title"),
        ("title,rating\nHime, Mononoke,9\n", "line 2: 3 cells instead of 2 in .*between double quotes"),
        ("title,rating\nHime".encode("utf-16"), "is not UTF-8"),
    ],
)
def test_what_is_wrong_in_a_csv_file_is_named(tmp_path, content, said):
    with pytest.raises(InputError, match=f"a.csv.*{said}"):
        read(tmp_path, "a.csv", content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("no xml", "is no XML"),
        (XML[:-20], "is no XML"),
        ("<myanimelist><manga/></myanimelist>", "has no <anime>"),
        (XML.replace("<my_score>9", "<my_score>90"), "anime 1: rating '90' is out of the scale"),
        (XML.replace("<myanimelist>", f"{BOMB}<myanimelist>").replace("Bebop & Co", "&b;"), "has a DOCTYPE"),
        (XML.replace("<myanimelist>", f"{LEAK}<myanimelist>"), "has a DOCTYPE"),
        (XML.replace("UTF-8", "UTF-16").replace("<myanimelist>", f"{BOMB}<myanimelist>").encode("utf-16"), "a DOCTYPE"),
    ],
    ids=["text", "cut", "manga", "scale", "bomb", "leak", "utf-16"],
)
def test_what_is_wrong_in_an_export_is_named(tmp_path, content, said):
    with pytest.raises(InputError, match=f"a.xml.*{said}"):
        read(tmp_path, "a.xml", content)


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(InputError, match=r"no\.csv cannot be read"):
        read_rating_list(tmp_path / "no.csv", MAL, TEN_POINTS)
    with pytest.raises(InputError, match=r"cut\.xml\.gz cannot be read"):
        read(tmp_path, "cut.xml.gz", gzip.compress(XML.encode())[:-30])
    with pytest.raises(InputError, match="has more than 64 MB"):
        read(tmp_path, "bomb.xml.gz", gzip.compress(bytes(MOST_BYTES + 1), 1))
