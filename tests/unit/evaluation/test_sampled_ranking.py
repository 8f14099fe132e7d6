import numpy as np
import pytest
import torch

from tests.builders import read_split, write_prepared
from widedeep.config.train import LoaderConfig
from widedeep.data.feature_tables import Tables
from widedeep.data.resident_loader import ResidentLoader
from widedeep.evaluation.sampled_ranking import measure_ranking, sample_users
from widedeep.models import WideDeep
from widedeep.models.wide_deep import WideDeepConfig
from widedeep.parallel.world import World

ALONE = World(0, 1, torch.device("cpu"))
USERS, ITEMS = 40, 12  # so few anime that many users have little left


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("ranking")
    manifest = write_prepared(path, users=USERS, items=ITEMS, ratings=380)
    torch.manual_seed(0)
    model = WideDeep.from_tables(WideDeepConfig(embedding_sd=1.0), Tables(path, manifest))
    loader = ResidentLoader(path, manifest, ALONE, LoaderConfig(reader="pyarrow"), batch_size=10, seed=0)
    rows = {split: read_split(path, manifest, split) for split in ("train", "valid", "test")}
    return loader, model.eval(), Tables(path, manifest).items.values("train_ratings"), rows


def liked_in_test(rows) -> dict[int, set[int]]:
    test = rows["test"][rows["test"][:, 2] >= 8].astype(int)
    return {user: set(test[test[:, 0] == user, 1]) for user in set(test[:, 0].tolist())}


def by_hand(rows, scores: np.ndarray) -> dict[str, float]:
    """The three figures from [users, items] scores, each list cut out of a full sort."""
    seen = np.concatenate([rows["train"], rows["valid"]]).astype(int)
    ndcg, recall, shown, liked = [], [], set(), liked_in_test(rows)
    for user, relevant in liked.items():
        unseen = sorted(set(range(ITEMS)) - set(seen[seen[:, 0] == user, 1]), key=lambda i: (-scores[user, i], i))
        hits = np.array([item in relevant for item in unseen[:10]])
        ideal = (1 / np.log2(np.arange(min(10, len(relevant))) + 2)).sum()
        ndcg.append((hits / np.log2(np.arange(len(hits)) + 2)).sum() / ideal)
        recall.append(len(relevant & set(unseen[:20])) / len(relevant))
        shown |= set(unseen[:10])
    return {
        "ndcg_at_10": pytest.approx(np.mean(ndcg)),
        "recall_at_20": pytest.approx(np.mean(recall)),
        "coverage_at_10": pytest.approx(len(shown) / ITEMS),
        "users": len(liked),
    }


def test_both_rankings_by_hand(data):
    loader, model, popularity, rows = data
    found = measure_ranking(model, loader, ALONE, popularity, USERS, count=1000, seed=0)
    with torch.no_grad():
        pairs = torch.arange(USERS, dtype=torch.int32).repeat_interleave(ITEMS), torch.arange(ITEMS).int().repeat(USERS)
        predicted = model(*pairs).affinity.view(USERS, ITEMS).numpy()
    assert found["model"] == by_hand(rows, predicted)
    assert found["popularity"] == by_hand(rows, np.tile(popularity, (USERS, 1)))


def test_a_sample_is_drawn_by_the_seed_from_users_with_a_liked_test_item(data):
    loader, _, _, rows = data
    once, again, other = (sample_users(loader, ALONE, USERS, 8, seed).tolist() for seed in (1, 1, 2))
    assert once == again != other
    assert len(set(once)) == 8
    assert set(once) <= set(liked_in_test(rows))
