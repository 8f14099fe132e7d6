"""Similar titles: the look-ups against loops, and the fit on titles made by hand."""

import math
from collections import Counter
from itertools import product

import numpy as np
import pytest
import torch

from widedeep.models.history.past import Past
from widedeep.models.history.titles import TitleNeighbours, fit_titles

ITEMS, KEPT, LENGTH = 9, 6, 4


@pytest.fixture
def titles() -> TitleNeighbours:
    """Random neighbours; item 0 has none and item 1 one."""
    random = np.random.default_rng(0)
    module = TitleNeighbours(ITEMS, KEPT)
    for item in range(1, ITEMS):
        count = 1 if item == 1 else KEPT
        others = random.choice(np.delete(np.arange(ITEMS), item), count, replace=False)
        module.neighbour[item, :count] = torch.from_numpy(others).int()
        module.similarity[item, :count] = torch.from_numpy(random.uniform(0.1, 1.0, count)).float()
    return module


def similarity(titles: TitleNeighbours, item: int, other: int) -> float:
    """How similar `other` is to `item` by the list of `item`; 0 if it is not in the list."""
    pairs = zip(titles.neighbour[item].tolist(), titles.similarity[item].tolist(), strict=True)
    return dict(pairs).get(other, 0.0) if other >= 0 else 0.0


def test_titles_of_targets_and_histories_are_compared_by_the_lists_of_the_targets(titles):
    target = torch.tensor([[0, 1, 2], [3, 8, 3]])
    items = torch.tensor([[5, 0, 7, 2], [4, 1, 6, 6]])
    present = torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0]])
    values, one = torch.arange(1.0, 9.0).view(2, LENGTH) * present, torch.ones(2, 1)
    similar = titles.similar(Past(items, *(present,) * 4, one, one, one), items, target)
    expected, of_past = torch.zeros(2, 3, LENGTH), torch.zeros(2, 3, KEPT)
    for user, t, column in product(range(2), range(3), range(LENGTH)):
        other = int(items[user, column]) if present[user, column] else -1
        expected[user, t, column] = similarity(titles, int(target[user, t]), other)
        listed = titles.neighbour[target[user, t]]
        if other >= 0:
            of_past[user, t][listed == other] = values[user, column]
        assert (similar.place[user, t] == column).tolist() == [other >= 0 and one == other for one in listed.tolist()]
        assert similar.neighbour[user, t].tolist() == listed.tolist()
    torch.testing.assert_close(similar.dense(), expected)
    torch.testing.assert_close(similar.of_past(values), of_past)
    assert (expected > 0).sum() > 4


def test_crosses_add_up_the_squared_similarities_of_a_history(titles):
    past, weight = torch.tensor([[1, 2, 3], [4, 0, 0]]), torch.tensor([[1.0, 2.0, 0.5], [1.5, 0.0, 0.0]])
    expected = torch.zeros(2, ITEMS)
    for user, item, column in product(range(2), range(ITEMS), range(3)):
        amount = similarity(titles, int(past[user, column]), item) ** 2
        expected[user, item] += weight[user, column] * amount
    torch.testing.assert_close(titles.crosses(past, weight), expected)
    assert (expected > 0).sum() > 4


def neighbours(fitted: dict[str, torch.Tensor], item: int) -> list[int]:
    return [other for other in fitted["neighbour"][item].tolist() if other >= 0]


def test_the_parts_of_a_franchise_have_similar_titles():
    titles = ["Naruto", "Cowboy Bebop", "Naruto: Shippuuden", "Paprika", "Cowboy Bebop: The Movie", "Naruto Movie 2"]
    fitted = fit_titles(titles, 3)
    assert set(neighbours(fitted, 0)) == {2, 5}
    assert neighbours(fitted, 1) == [4]
    assert neighbours(fitted, 4)[0] == 1
    assert neighbours(fitted, 3) == []
    value = fitted["similarity"]
    assert (value[fitted["neighbour"] < 0] == 0).all()
    assert (value[fitted["neighbour"] >= 0] >= 0.1).all()
    assert (value <= 1 + 1e-6).all()
    assert (value.diff(dim=1) <= 0).all()  # the most similar first
    first = dict(zip(fitted["neighbour"][0].tolist(), value[0].tolist(), strict=True))
    back = dict(zip(fitted["neighbour"][2].tolist(), value[2].tolist(), strict=True))
    assert first[2] == pytest.approx(back[0])


def test_equal_titles_are_similar_by_1_and_only_the_nearest_are_kept():
    fitted = fit_titles(["Gintama", "Gintama", "Gintama Movie", "Gintama Season Four", "Movie Four"], 2)
    assert fitted["neighbour"].shape == (5, 2)
    assert neighbours(fitted, 0)[0] == 1
    assert fitted["similarity"][0, 0].item() == pytest.approx(1.0)


def tf_idf(titles: list[str]) -> np.ndarray:
    """Unit vectors of titles of one word: 1 + ln of the count of what two titles share, weighed by its rarity."""
    grams = [Counter(f" {t} "[i : i + n] for n in (3, 4) for i in range(len(t) + 3 - n)) for t in titles]
    holders = Counter(gram for counts in grams for gram in counts)
    vectors = np.array(
        [
            [
                (1 + math.log(counts[gram])) * (1 + math.log((1 + len(titles)) / (1 + number))) if gram in counts else 0
                for gram, number in holders.items()
                if number > 1
            ]
            for counts in grams
        ]
    )
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_titles_are_as_similar_as_their_pieces_of_three_and_four_letters():
    titles = ["narutonaru", "narutoland", "borutoland", "landnaruto"]
    fitted, vectors = fit_titles(titles, 3), tf_idf(titles)
    expected = vectors @ vectors.T
    for item in range(4):
        others = neighbours(fitted, item)
        assert sorted([*others, item]) == [0, 1, 2, 3]
        assert fitted["similarity"][item].tolist() == pytest.approx(expected[item, others].tolist(), abs=1e-6)


@pytest.mark.parametrize("titles", [["", None, ""], ["abc", "xyz"], ["alone"], []])
def test_titles_that_share_nothing_have_no_neighbours(titles):
    fitted = fit_titles(titles, 2)
    assert fitted["neighbour"].tolist() == [[-1, -1]] * len(titles)
    assert not fitted["similarity"].any()


def test_items_without_a_title_are_no_neighbours():
    fitted = fit_titles(["", "Bleach", None, "Bleach Movie"], 2)
    assert [neighbours(fitted, item) for item in range(4)] == [[], [3], [], [1]]
