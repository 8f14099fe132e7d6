"""The nearest items of a history, against a loop over pairs."""

import torch

from widedeep.models.history.nearest import DAMPING, NUMBERS, POWERS, nearest


def test_the_nearest_items_are_found_among_those_of_the_history():
    torch.manual_seed(0)
    together = torch.randint(0, 30, (2, 3, 7)).float()
    target, past = torch.randint(0, 100, (2, 3)).float(), torch.randint(30, 100, (2, 7)).float()
    weight = torch.rand(2, 7)
    weight[1, 4:] = 0.0  # no ratings
    found = nearest(together, target, past, weight)
    assert len(found) == NUMBERS
    for user in range(2):
        for t in range(3):
            for place, power in enumerate(POWERS):
                of_target = max(1.0, float(target[user, t]))
                parts = sorted(
                    (
                        float(together[user, t, j])
                        / (of_target**power * float(past[user, j]) ** (1 - power) + DAMPING)
                        * float(weight[user, j])
                        for j in range(7)
                    ),
                    reverse=True,
                )
                expected = torch.tensor([parts[0], sum(parts[:5]), sum(parts)])
                got = torch.stack([column[user, t] for column in found[3 * place : 3 * place + 3]])
                torch.testing.assert_close(got, expected)


def test_a_short_history_has_fewer_nearest_items():
    one = torch.ones(1, 1)
    best, five, every = nearest(torch.full((1, 1, 1), 4.0), one * 9, one * 9, one)[:3]
    assert best == five == every == 4.0 / (9.0 + DAMPING)
