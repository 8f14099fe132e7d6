"""How a history stands to attributes, against loops over values."""

import math

import torch

from widedeep.models.feature_inputs import FeatureLookup
from widedeep.models.history.past import Past
from widedeep.models.history.tastes import DAMPING, LEAST_SHARE, Tastes, fit_tastes

# Items have up to two genres of three, and a type of two; item 3 has neither. 3 and 2: no value.
GENRES = [[0, 1], [1, 3], [2, 0], [3, 3]]
TYPES = [[0], [1], [1], [2]]
RATED = [True, True, True, False]


def tastes() -> Tastes:
    vocabularies, values = {"genre": 3, "type": 2}, {"genre": 2, "type": 1}
    module = Tastes(4, FeatureLookup(4, 0, vocabularies, values))
    codes = torch.cat([torch.tensor(GENRES), torch.tensor(TYPES)], dim=1).int()
    module.load_state_dict(fit_tastes(codes, vocabularies, values, torch.tensor(RATED)))
    return module


def test_histories_are_compared_with_targets_by_their_values():
    items, residuals = [0, 2], [1.0, -3.0]
    present = torch.tensor([[1.0, 1.0, 0.0]])
    residual = torch.tensor([[*residuals, 0.0]])
    zero = torch.zeros(1, 1)
    past = Past(torch.tensor([[0, 2, 1]]), present, present, residual, present, zero, zero + 2, zero)
    found = tastes()(past, past.row, torch.tensor([[0, 1, 2, 3]]))[0]
    rated = [item for item in range(4) if RATED[item]]
    for target in range(4):
        expected: list[float] = []
        for codes, none in ((GENRES, 3), (TYPES, 2)):
            values = [value for value in codes[target] if value != none]
            lifts, means = [0.0], [0.0]
            for value in values:
                share = sum(value in codes[item] for item in rated) / len(rated) + LEAST_SHARE
                having = [r for item, r in zip(items, residuals, strict=True) if value in codes[item]]
                lifts.append(math.log((len(having) + share) / (len(items) + 1) / share))
                means.append(sum(having) / (len(having) + DAMPING))
            expected += [sum(lifts) / max(1, len(values)), sum(means) / max(1, len(values))]
        torch.testing.assert_close(found[target], torch.tensor(expected))


def test_an_empty_history_has_no_tastes():
    none = torch.zeros(1, 1)
    past = Past(none.long(), none, none, none, none, none, none + 1, none)
    found = tastes()(past, past.row, torch.tensor([[0, 3]]))
    torch.testing.assert_close(found[..., 1::2], torch.zeros(1, 2, 2))
    # One rating at the usual shares is taken for granted.
    torch.testing.assert_close(found[0, 0, 0::2], torch.full((2,), math.log(0.5)))


def test_items_without_columns_are_not_compared():
    module = Tastes(2, FeatureLookup(2, 0, {}, {}))
    module.load_state_dict(fit_tastes(torch.zeros(2, 0, dtype=torch.int32), {}, {}, torch.ones(2, dtype=torch.bool)))
    one = torch.ones(1, 1)
    assert module(
        Past(one.long(), one, one, one, one, one, one, 0 * one), one.long(), torch.tensor([[0, 1]])
    ).shape == (1, 2, 0)
