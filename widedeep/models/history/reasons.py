"""Why an item has its affinity: the parts of the sum, and the ratings of the history that speak for it.

Legend: u users, T targets, L ratings of the longest history, R reasons of a target.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from widedeep.models.base import REASONS, Explanation
from widedeep.models.history.network import Heads, Parts
from widedeep.models.history.past import Past
from widedeep.models.history.targets import SCORE, Targets
from widedeep.models.history.terms import PairTerms


def explain(
    terms: PairTerms, heads: Heads, past: Past, targets: Targets, parts: Parts, spreads: tuple[Tensor, Tensor]
) -> Explanation:
    """Explain the affinities of the targets of each user, [u, T], by their `parts`.

    `spreads` are what the scores were divided by, those in closed form and the sparse ones, [u, 1] each.

    What each rating adds to the wide score is known; the mean that standardises it is subtracted from the part as a
    whole. The content is the logarithm of a sum, so it is shared out in proportion to the summands.
    """
    closed, by_sparse = spreads
    score = targets.standings[:, :, SCORE]
    crossed = terms.crosses.contributions(past.row, past.weight, targets.row, score) / closed[:, :, None]
    sparse = terms.sparse.contributions(past.row, past.weight, targets.row) / by_sparse[:, :, None]
    past_item = terms.ledger.item_of[past.row].long()
    titles = terms.titles.similar(past, past_item, targets.item).dense()  # [u, T, L]
    similar = titles.square() * past.weight[:, None]
    total = similar.sum(2, keepdim=True)
    content = similar * (total.log1p() / total.clamp(min=1e-9))
    added = heads.wide[0] * crossed + heads.wide[1] * content + heads.wide[2] * sparse
    return Explanation(*parts, *strongest(added, past_item, past.rating))


def strongest(contributions: Tensor, item: Tensor, rating: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the items that contribute most, their ratings, and their shares of all positive contributions.

    Args:
        contributions: of the ratings of a history, [u, T, L].
        item: [u, L] int64 the rated items.
        rating: [u, L] their ratings.

    Returns:
        [u, T, R] items, -1 where fewer contribute; [u, T, R] ratings and shares, 0 there.

    """
    positive = contributions.clamp(min=0.0)
    most, place = positive.topk(min(REASONS, positive.shape[2]), dim=2)
    items, ratings = (column[:, None].expand_as(positive).gather(2, place) for column in (item, rating))
    shares = most / positive.sum(2, keepdim=True).clamp(min=1e-12)
    missing = (0, REASONS - most.shape[2])
    return (
        pad(torch.where(most > 0.0, items, -1), missing, value=-1),
        pad(torch.where(most > 0.0, ratings, 0.0), missing),
        pad(shares, missing),
    )
