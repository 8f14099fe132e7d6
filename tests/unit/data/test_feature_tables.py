import torch

from tests.builders import read_split, write_prepared
from widedeep.data.feature_tables import Tables


def test_histories_are_the_training_ratings_of_each_user(tmp_path):
    manifest = write_prepared(tmp_path)
    rows = read_split(tmp_path, manifest, "train")
    tables = Tables(tmp_path, manifest)
    for longest in (3, 100):
        items, ratings = tables.histories(longest)
        assert items.shape == ratings.shape == (tables.users.rows, longest)
        assert (items.dtype, ratings.dtype) == (torch.int32, torch.float32)
        for user in range(tables.users.rows):
            expected = rows[rows[:, 0] == user, 1:][:longest]
            known = items[user] >= 0
            assert known.tolist() == [place < len(expected) for place in range(longest)]
            assert items[user][known].tolist() == expected[:, 0].tolist()
            assert ratings[user][known].tolist() == expected[:, 1].tolist()
