import json

import pytest

from widedeep.common.errors import InputError
from widedeep.schema.manifest import MANIFEST, read_manifest


def test_a_manifest_comes_back_as_it_was_written(small):
    assert read_manifest(small.path) == small.manifest
    assert small.manifest.ratings.rows("train") == len(small.ratings("train"))
    assert small.manifest.items.of_kind("numeric") == ("score", "popularity", "rank")


def test_a_directory_without_one_was_never_committed(tmp_path):
    with pytest.raises(InputError, match=r"holds no manifest\.json.*run: spark-submit jobs/prepare\.py"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format_version": 2}, "format_version is 2, this release reads 4"),
        ({"colour": 1}, "colour: Extra inputs are not permitted"),
        ({"digest": None}, "digest: Input should be a valid string"),
    ],
)
def test_a_manifest_of_another_shape_is_refused_by_field(small, tmp_path, change, said):
    (tmp_path / MANIFEST).write_text(json.dumps(small.manifest.model_dump(mode="json") | change))
    with pytest.raises(InputError, match=r"run jobs/prepare\.py again") as caught:
        read_manifest(tmp_path)
    assert f"{tmp_path}/{MANIFEST}: {said}" in str(caught.value)


def test_a_manifest_cut_short_is_refused_by_name(small, tmp_path):
    text = (small.path / MANIFEST).read_text()
    (tmp_path / MANIFEST).write_text(text[: len(text) // 2])
    with pytest.raises(InputError, match=r"manifest\.json: content: Invalid JSON"):
        read_manifest(tmp_path)
