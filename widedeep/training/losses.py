"""The losses that models train with. To add one, write a function and give it a line in LOSSES.

Legend: b ratings of a batch, S negatives beside each; u users of a batch, C candidates of each.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import binary_cross_entropy, softplus

from widedeep.common.errors import InputError
from widedeep.data.rating_matrices import preference
from widedeep.models import Recommender
from widedeep.models.base import Scores
from widedeep.schema.rating_scale import RatingScale
from widedeep.training.negatives import Negatives

# (scores of a batch, its true ratings [b], the scale of the ratings) -> the loss of each rating, [b]
RatingLoss = Callable[[Scores, Tensor, RatingScale], Tensor]
# (corrected affinities of the rated items, then of their negatives [b, 1 + S]) -> the loss of each rating, [b]
RankingLoss = Callable[[Tensor], Tensor]
# (affinities of each user's candidates, 1.0 for those that the user liked, log of how many candidates each stands for;
# [u, C] each) -> the loss of each user, [u]
ListLoss = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Loss:
    """What a training minimises: the loss of predicted ratings, that of the ranking, or both."""

    of_rating: RatingLoss | None = None
    of_ranking: RankingLoss | None = None
    of_list: ListLoss | None = None  # the ranking of models that are trained on histories

    def of_batch(
        self, scores: Scores, rating: Tensor, scale: RatingScale, negatives: Negatives | None, weight: float
    ) -> Tensor:
        """Return the loss of each rating of a batch. In the ranking a better rating counts more, by its `preference`.

        The log probability of being drawn is subtracted from each affinity (Bengio & Senecal, 2008; Yi et al., 2019).
        Whatever items are drawn, the best affinities are then those of the softmax over all items (Ma & Collins, 2018,
        arXiv:1809.01812), provided that a negative which happens to be the rated item stays in.

        Args:
            scores: the model's answers, with negatives if there is a loss of the ranking.
            rating: [b] the true ratings.
            scale: their scale.
            negatives: what was drawn for the batch; None without a loss of the ranking.
            weight: of the ranking beside the ratings, if there are both losses.

        """
        if negatives is None or self.of_ranking is None:
            assert self.of_rating is not None
            return self.of_rating(scores, rating, scale)
        ranked = self.of_ranking(scores.affinity - negatives.log_q) * preference(rating, scale)
        if self.of_rating is None:
            return ranked
        return self.of_rating(Scores(scores.affinity[:, 0], scores.rating), rating, scale) + weight * ranked


# --- losses of predicted ratings -----------------------------------------------------------------


def squared_error(scores: Scores, rating: Tensor, _: RatingScale) -> Tensor:
    """Return the squared error of each predicted rating."""
    return (scores.rating - rating).square()


def scaled_squared_error(scores: Scores, rating: Tensor, scale: RatingScale) -> Tensor:
    """Return the squared error of each predicted rating, both mapped from the scale to 0 … 1."""
    return (_share(scores.rating, scale) - _share(rating, scale)).square()


def cross_entropy(scores: Scores, rating: Tensor, scale: RatingScale) -> Tensor:
    """Return the cross-entropy between rating and prediction, both mapped from the scale to 0 … 1.

    It takes a rating as the probability of a like, as He et al. (2017, arXiv:1708.05031) take a click.
    """
    return binary_cross_entropy(_share(scores.rating, scale).clamp(0.0, 1.0), _share(rating, scale), reduction="none")


def _share(value: Tensor, scale: RatingScale) -> Tensor:
    return (value - scale.lowest) / scale.span


# --- losses of the ranking -----------------------------------------------------------------------


def bpr(affinity: Tensor) -> Tensor:
    """Return the mean over negatives j of -log sigmoid(affinity of the rated item - affinity of j).

    Bayesian personalised ranking (Rendle et al., 2009, arXiv:1205.2618); there, all items are drawn alike.
    """
    return softplus(affinity[:, 1:] - affinity[:, :1]).mean(1)


def softmax(affinity: Tensor) -> Tensor:
    """Return the cross-entropy of the rated item among itself and its negatives."""
    return affinity.logsumexp(1) - affinity[:, 0]


def softmax_of_list(affinity: Tensor, liked: Tensor, log_weight: Tensor) -> Tensor:
    """Return the cross-entropy of each user's liked candidates among all of them; each user has at least one."""
    log_share = affinity - (affinity + log_weight).logsumexp(1, keepdim=True)
    return -(log_share * liked).sum(1) / liked.sum(1)


def bpr_of_list(affinity: Tensor, liked: Tensor, log_weight: Tensor) -> Tensor:
    """Return the mean of -log sigmoid(affinity of a liked candidate - affinity of another one) over all such pairs."""
    user, place = liked.nonzero(as_tuple=True)  # [l] each: few candidates are liked
    other = log_weight.exp() * (1.0 - liked)
    margins = affinity.index_select(0, user) - affinity[user, place][:, None]  # [l, C]
    of_liked = (softplus(margins) * other.index_select(0, user)).sum(1)
    pairs = liked.sum(1) * other.sum(1)
    return affinity.new_zeros(len(affinity)).index_add(0, user, of_liked) / pairs.clamp(min=1.0)


LOSSES: dict[str, Loss] = {
    "mse": Loss(squared_error),
    "scaled_mse": Loss(scaled_squared_error),
    "cross_entropy": Loss(cross_entropy),
    "bpr": Loss(of_ranking=bpr, of_list=bpr_of_list),
    "softmax": Loss(of_ranking=softmax, of_list=softmax_of_list),
    "joint": Loss(squared_error, softmax, softmax_of_list),
    "joint_bpr": Loss(squared_error, bpr, bpr_of_list),
}


def find_loss(name: str | None, model: Recommender) -> Loss:
    """Return the loss of a name, or the architecture's own if it is None.

    Of data without ratings, an architecture's own loss is the part of it for the ranking, or softmax if it has none.

    Raises:
        InputError: there is no loss of this name, or it needs ratings and there are none.

    """
    implicit = model.scale.implicit
    name = name or (ranking_part(model.default_loss) if implicit else model.default_loss)
    if name not in LOSSES:
        raise InputError(f"loss: there is no {name!r}; choose one of {', '.join(LOSSES)}")
    if implicit and LOSSES[name].of_rating is not None:
        able = [other for other, loss in LOSSES.items() if loss.of_rating is None]
        raise InputError(f"loss: {name} needs ratings, and the data set has none: choose {' or '.join(able)}")
    return LOSSES[name]


def ranking_part(name: str) -> str:
    """Return the name of the loss that is the part of a loss for the ranking; softmax if that has none."""
    part = LOSSES[name].of_ranking
    alone = {loss.of_ranking: other for other, loss in LOSSES.items() if loss.of_rating is None}
    return alone.get(part, "softmax")
