import json

import pytest

from widedeep.common.errors import InputError
from widedeep.schema.manifest import MANIFEST, Manifest, read_manifest
from widedeep.schema.records import seal


def test_a_manifest_comes_back_as_it_was_written(small):
    assert read_manifest(small.path) == small.manifest
    assert small.manifest.ratings.rows("train") == len(small.ratings("train"))
    assert small.manifest.items.of_kind("numeric") == ("score", "popularity", "rank")


def test_a_directory_without_one_was_never_committed(tmp_path):
    with pytest.raises(InputError, match=r"holds no manifest\.json.*run: spark-submit jobs/prepare\.py"):
        read_manifest(tmp_path)


def resealed(manifest: Manifest, change: dict) -> str:
    """Return a manifest as somebody would write it who knows how to compute its digest."""
    content = manifest.model_dump(mode="json") | change
    return seal(content.pop("kind", Manifest.kind), content.pop("format_version", Manifest.written_format), content)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "recommendations"}, "kind is 'recommendations', not 'prepared ratings'"),
        ({"format_version": 2, "colour": 1}, "format_version is 2, this release reads 5"),
        ({"colour": 1}, "colour: Extra inputs are not permitted"),
        ({"digest": None}, "digest: Input should be a valid string"),
        ({"digest": "0" * 64}, "digest is 0000"),
    ],
)
def test_a_manifest_of_another_shape_is_refused_by_field(small, tmp_path, change, said):
    (tmp_path / MANIFEST).write_text(resealed(small.manifest, change))
    with pytest.raises(InputError) as caught:
        read_manifest(tmp_path)
    assert f"{tmp_path}/{MANIFEST}: {said}" in str(caught.value)
    assert "jobs/prepare.py" in str(caught.value)


def strike_out_a_shard(content: dict) -> None:
    content["ratings"]["shards"]["train"].pop()


def train_on_test(content: dict) -> None:
    shards = content["ratings"]["shards"]
    shards["train"], shards["test"] = [*shards["train"], *shards["test"]], []


def another_mean(content: dict) -> None:
    content["ratings"]["train_mean"] += 1


def another_scale(content: dict) -> None:
    content["ratings"]["scale"]["lowest"] = -5.0


@pytest.mark.parametrize("edit", [strike_out_a_shard, train_on_test, another_mean, another_scale])
def test_a_manifest_that_was_edited_is_refused(small, tmp_path, edit):
    content = json.loads((small.path / MANIFEST).read_text())
    edit(content)
    (tmp_path / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"manifest\.json was changed after it was written"):
        read_manifest(tmp_path)


def test_white_space_and_the_order_of_keys_do_not_matter(small, tmp_path):
    content = json.loads((small.path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps(dict(reversed(content.items())), indent=7))
    assert read_manifest(tmp_path) == small.manifest


def test_files_that_do_not_belong_to_the_digest_are_refused_even_if_the_seal_is_right(small, tmp_path):
    content = small.manifest.model_dump(mode="json")
    strike_out_a_shard(content)
    (tmp_path / MANIFEST).write_text(resealed(small.manifest, content))
    with pytest.raises(InputError, match=r"manifest\.json: digest is .*that of the files it lists"):
        read_manifest(tmp_path)


OUTSIDE = ("/etc/passwd", "../other/part.parquet", "ratings/../../x", "~/a", "s3://bucket/a")
ODD = ("", "a//b", "./a", "a/.", "a/", "a*", "a\n", "a\\b")


@pytest.mark.parametrize("path", [*OUTSIDE, *ODD])
def test_a_path_that_may_lead_out_of_the_directory_is_refused(small, tmp_path, path):
    content = small.manifest.model_dump(mode="json")
    content["users"]["files"][0]["path"] = path
    (tmp_path / MANIFEST).write_text(resealed(small.manifest, content))
    with pytest.raises(InputError, match=r"users\.files\.0\.path: .*is not a plain path below the directory"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("text", ["", "null", "[]", "3", "[" * 100_000, '{"kind": []}', "\x00", '{"a": 1e999}'])
def test_what_is_no_manifest_is_one_sentence(tmp_path, text):
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(InputError, match=r"manifest\.json: "):
        read_manifest(tmp_path)


def test_a_manifest_cut_short_is_refused_by_name(small, tmp_path):
    text = (small.path / MANIFEST).read_text()
    (tmp_path / MANIFEST).write_text(text[: len(text) // 2])
    with pytest.raises(InputError, match=r"manifest\.json: content: it is not readable as JSON"):
        read_manifest(tmp_path)
