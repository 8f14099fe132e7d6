import math

import pytest
import torch

from tests.builders import PLAYS, TEN_POINTS
from widedeep.common.errors import InputError
from widedeep.models.base import Recommender, Scores
from widedeep.models.ncf import NCF
from widedeep.models.wide_deep import WideDeep
from widedeep.models.wide_deep_history import WideDeepHistory
from widedeep.schema.rating_scale import RatingScale
from widedeep.training.losses import (
    LOSSES,
    Loss,
    bpr,
    bpr_of_list,
    cross_entropy,
    find_loss,
    scaled_squared_error,
    softmax,
    softmax_of_list,
    squared_error,
)
from widedeep.training.negatives import Negatives

ZERO_TO_TEN = TEN_POINTS.model_copy(update={"lowest": 0.0})


def scores(rating) -> Scores:
    return Scores(torch.full_like(rating, math.nan), rating)


def test_losses_by_hand():
    # On a scale of 1 to 10, 4 is a third of the way and 7 two thirds.
    given = scores(torch.tensor([4.0])), torch.tensor([7.0]), TEN_POINTS
    assert squared_error(*given).tolist() == [9.0]
    assert scaled_squared_error(*given).tolist() == pytest.approx([1 / 9])
    expected = -(2 / 3 * math.log(1 / 3) + 1 / 3 * math.log(2 / 3))
    assert cross_entropy(*given).tolist() == pytest.approx([expected], rel=1e-5)


@pytest.mark.parametrize("scale", [TEN_POINTS, ZERO_TO_TEN])
@pytest.mark.parametrize("loss", [squared_error, scaled_squared_error, cross_entropy])
def test_a_loss_is_least_where_the_prediction_is_the_rating(loss, scale):
    predicted = torch.linspace(scale.lowest, scale.highest, 91 if scale.lowest else 101)
    for true in (scale.lowest, 3.0, 10.0):
        losses = loss(scores(predicted), torch.full(predicted.shape, true), scale)
        assert predicted[losses.argmin()].item() == pytest.approx(true, abs=1e-5)


def unbuilt(architecture: type[Recommender], scale: RatingScale = TEN_POINTS) -> Recommender:
    """A model without weights, of which only the class and the scale matter."""
    model = architecture.__new__(architecture)
    object.__setattr__(model, "scale", scale)
    return model


@pytest.mark.parametrize(
    ("architecture", "name"), [(WideDeep, "mse"), (NCF, "cross_entropy"), (WideDeepHistory, "joint_bpr")]
)
def test_an_architecture_has_a_loss_of_its_own(architecture, name):
    model = unbuilt(architecture)
    assert find_loss(None, model) is LOSSES[name]
    assert find_loss("scaled_mse", model).of_rating is scaled_squared_error


@pytest.mark.parametrize(("architecture", "name"), [(NCF, "softmax"), (WideDeepHistory, "bpr")])
def test_without_ratings_the_ranking_is_trained(architecture, name):
    model = unbuilt(architecture, PLAYS.ratings.scale)
    assert find_loss(None, model) is LOSSES[name]
    assert find_loss("bpr", model) is LOSSES["bpr"]
    with pytest.raises(InputError, match="joint needs ratings, and the data set has none: choose bpr or softmax"):
        find_loss("joint", model)


def test_an_unknown_loss_is_refused_with_the_known_ones():
    with pytest.raises(
        InputError, match="loss: there is no 'hinge'; choose one of mse, scaled_mse, cross_entropy, bpr"
    ):
        find_loss("hinge", unbuilt(WideDeep))


def drawn(log_q: list[list[float]]) -> Negatives:
    return Negatives(torch.zeros(len(log_q), len(log_q[0]) - 1).int(), torch.tensor(log_q))


def test_bpr_by_hand():
    first = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(2))) / 2
    second = (math.log(2) + math.log(1 + math.exp(-2))) / 2
    assert bpr(torch.tensor([[2.0, 1.0, 4.0], [5.0, 5.0, 3.0]])).tolist() == pytest.approx([first, second])


def test_softmax_by_hand():
    assert softmax(torch.tensor([[4.0, 2.0, 1.0]]).log()).tolist() == pytest.approx([-math.log(4 / 7)])


def test_an_item_that_is_drawn_often_counts_less_each_time():
    """Odds of 4 : 2 : 1 whose items are drawn with odds of 2 : 1 : 1 become 2 : 2 : 1. A rating of 7 counts 1."""
    scores = Scores(torch.tensor([[4.0, 2.0, 1.0]]).log(), torch.tensor([math.nan]))
    log_q = [[math.log(0.5), math.log(0.25), math.log(0.25)]]
    found = LOSSES["softmax"].of_batch(scores, torch.tensor([7.0]), TEN_POINTS, drawn(log_q), 1.0)
    assert found.tolist() == pytest.approx([-math.log(2 / 5)], rel=1e-5)


@pytest.mark.parametrize(("loss", "count"), [("softmax", 1), ("softmax", 30), ("bpr", 3)])
def test_sampled_losses_learn_the_softmax_over_all_items(loss, count):
    """However items are drawn, the best affinities are the logs of how often users choose them."""
    chosen, share = torch.tensor([0.6, 0.3, 0.1]), torch.tensor([0.2, 0.3, 0.5])
    torch.manual_seed(0)
    affinity, sevens = torch.zeros(3, requires_grad=True), torch.full((2000,), 7.0)
    optimizer = torch.optim.Adam([affinity], lr=0.02)
    for _ in range(300):
        rated, others = chosen.multinomial(2000, True)[:, None], share.multinomial(2000 * count, True).view(2000, count)
        items = torch.cat([rated, others], dim=1)
        negatives, scores = Negatives(others, share.log()[items]), Scores(affinity[items], sevens)
        optimizer.zero_grad()
        LOSSES[loss].of_batch(scores, sevens, TEN_POINTS, negatives, 1.0).mean().backward()
        optimizer.step()
    torch.testing.assert_close(affinity.detach().softmax(0), chosen, atol=0.03, rtol=0)


def test_better_ratings_count_more_in_a_ranking_and_joint_adds_both():
    """On this scale a rating of 7 counts 1 and one of 9 counts 1.5, see `preference`."""
    answers = Scores(torch.tensor([[7.0, 7.0], [9.0, 9.0]]), torch.tensor([6.0, 9.0]))
    rating, none = torch.tensor([7.0, 9.0]), drawn([[0.0, 0.0]] * 2)
    ranked = LOSSES["softmax"].of_batch(answers, rating, TEN_POINTS, none, 9.0)
    assert ranked.tolist() == pytest.approx([math.log(2), 1.5 * math.log(2)])
    joint = LOSSES["joint"].of_batch(answers, rating, TEN_POINTS, none, 0.1)
    assert joint.tolist() == pytest.approx([1 + 0.1 * math.log(2), 0.15 * math.log(2)])


def test_a_loss_of_ratings_beside_a_ranking_sees_the_rated_item_alone():
    def on_affinity(scores: Scores, rating: torch.Tensor, _: object) -> torch.Tensor:
        return scores.affinity - rating

    answers = Scores(torch.tensor([[3.0, 3.0]]), torch.tensor([1.0]))
    both = Loss(on_affinity, bpr).of_batch(answers, torch.tensor([7.0]), TEN_POINTS, drawn([[0.0, 0.0]]), 1.0)
    assert both.tolist() == pytest.approx([3 - 7 + math.log(2)])


def test_softmax_of_lists_by_hand():
    """Odds of 4 : 2 : 1 : 1; the last stands for 3 others. The first user liked one candidate, the second two."""
    affinity = torch.tensor([[4.0, 2.0, 1.0, 1.0]] * 2).log()
    liked = torch.tensor([[0.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]])
    log_weight = torch.tensor([[1.0, 1.0, 1.0, 3.0]] * 2).log()
    found = softmax_of_list(affinity, liked, log_weight)
    assert found.tolist() == pytest.approx([-math.log(2 / 10), -(math.log(4 / 10) + math.log(2 / 10)) / 2])


def test_bpr_of_lists_by_hand():
    """The liked ones are compared with the others alone, of which one stands for 3."""
    affinity = torch.tensor([[2.0, 1.0, 0.0], [1.0, 5.0, 4.0]])
    liked = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    log_weight = torch.tensor([[1.0, 1.0, 3.0], [1.0, 1.0, 1.0]]).log()
    first = (math.log(1 + math.exp(-1)) + 3 * math.log(1 + math.exp(-2))) / 4
    second = (math.log(1 + math.exp(-4)) + math.log(1 + math.exp(-3))) / 2
    assert bpr_of_list(affinity, liked, log_weight).tolist() == pytest.approx([first, second])


@pytest.mark.parametrize("loss", [softmax_of_list, bpr_of_list])
def test_candidates_without_weight_do_not_count(loss):
    affinity = torch.tensor([[1.0, 2.0, 9.0]], requires_grad=True)
    liked, log_weight = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, -math.inf]])
    found = loss(affinity, liked, log_weight)
    assert found.item() == pytest.approx(math.log(1 + math.exp(1)))
    found.sum().backward()
    assert affinity.grad is not None
    assert affinity.grad[0, 2] == 0
    assert affinity.grad.isfinite().all()


def test_who_liked_all_candidates_has_no_pair_to_compare():
    assert bpr_of_list(torch.randn(1, 3), torch.ones(1, 3), torch.zeros(1, 3)).item() == 0
