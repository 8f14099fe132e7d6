"""What a training step holds out of each history.

Legend: u users of the batch, n ratings of their histories, H held-out ratings of a user at most, C candidates, K
unrated candidates, R rows (the A rated items, and the last one for all unrated ones), L ratings of the longest
remaining history.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from widedeep.data.histories import UserHistories, starts_of
from widedeep.data.rating_matrices import preference
from widedeep.models.history.biases import USER_DAMPING
from widedeep.models.history.past import Past, bags_of, make_past, pad
from widedeep.models.history.settings import WideDeepHistoryConfig
from widedeep.models.history.targets import Survey, Targets
from widedeep.models.history.terms import PairTerms
from widedeep.models.history.wide import Bags, WideScores
from widedeep.schema.rating_scale import RatingScale

NOT_GIVEN = -torch.inf  # in place of a rating


class HeldOut(NamedTuple):
    """The histories without the held-out ratings, and these."""

    past: Past  # `rated` has all ratings that are not held out
    wide: WideScores
    bias: Tensor  # [u, 1] the users' biases by their whole histories, as the statistics know them
    row: Tensor  # [u, H] int64 rows of the held-out ratings
    rating: Tensor  # [u, H] float32, NOT_GIVEN where there are fewer
    cold: Tensor  # [R] bool, the rows that are judged as if they had no ratings

    def sample(self, candidates: Tensor, count: int, liked: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Choose some of the candidates: the held-out items that the user liked, the best ones, and others at random.

        Args:
            candidates: [u, C] rows, best first.
            count: how many to choose of each user's, half of them the best ones.
            liked: lowest rating of a liked item.
            generator: draws the others.

        Returns:
            the chosen rows [u, count], and the log of how many candidates each of them stands for [u, count].

        """
        total = candidates.shape[1]
        if total <= count:
            return candidates, torch.zeros(candidates.shape, device=candidates.device)
        certain = self._truth(candidates) >= liked
        certain[:, : count // 2] = True
        draws = torch.rand(candidates.shape, generator=generator).to(candidates.device)
        chosen = (certain + draws).topk(count, dim=1).indices
        sure = certain.sum(1, keepdim=True).clamp(max=count - 1)
        share = ((total - sure) / (count - sure)).log()
        return candidates.gather(1, chosen), torch.where(certain.gather(1, chosen), 0.0, share)

    def with_candidates(self, candidates: Tensor, survey: Survey, terms: PairTerms) -> tuple[Targets, Tensor]:
        """Return candidates, then held-out items as targets, [u, C + K + H]; and the true ratings where held out.

        Args:
            candidates: [u, C] rows.
            survey: of the wide scores, with the K candidates that have no ratings, or are judged so.
            terms: knows the items of rows, and the statistics.

        """
        unrated = survey.cold
        item = torch.cat([terms.ledger.item_of[candidates].long(), unrated, terms.ledger.item_of[self.row].long()], 1)
        row = torch.cat([candidates, terms.ledger.row_of[unrated].long(), self.row], dim=1)
        truth = self._truth(row)
        hidden = self.cold[row]
        own = ((truth > NOT_GIVEN) & ~hidden).float()
        residual = terms.statistics.deviations(row, torch.where(own > 0, truth, 0.0)) - self.bias
        judged = torch.where(hidden, terms.unrated, row)
        return Targets(item, judged, own, residual * own, self.bias, survey.standings(self.wide, judged)), truth

    def _truth(self, row: Tensor) -> Tensor:
        """Return the held-out ratings of items, NOT_GIVEN for all others: [u, T] rows -> [u, T]."""
        every = self.rating.new_full(self.wide.preference.shape, NOT_GIVEN)  # [u, R]
        return every.scatter_(1, self.row, self.rating).gather(1, row)


def hold_out(
    histories: UserHistories,
    generator: torch.Generator,
    config: WideDeepHistoryConfig,
    terms: PairTerms,
    scale: RatingScale,
) -> HeldOut:
    """Hold out ratings at random, of some users all.

    Args:
        histories: of users of the data.
        generator: draws, on its own device.
        config: how much is held out.
        terms: knows the rows of items, the statistics and the crosses.
        scale: of the ratings.

    """
    device, count = histories.item.device, histories.start.diff()
    user = histories.owner()  # [n]
    row = terms.ledger.row_of[histories.item].long()
    draws = torch.rand(len(row), 2, generator=generator).to(device)
    of_users = torch.rand(len(count), generator=generator).to(device)
    cold = torch.rand(terms.unrated + 1, generator=generator).to(device) < config.cold_items
    cold[terms.unrated] = False  # what stands there has no ratings anyway
    held = (draws[:, 0] < config.held_out) | (of_users < config.cold_histories)[user] | cold[row]
    # Of a very long history about `max_history` ratings are read; the others are neither read nor held out.
    read = draws[:, 1] * count[user] < config.max_history
    statistics = terms.statistics
    deviation = statistics.deviations(row, histories.rating)
    total = torch.zeros(len(count), device=device).index_add_(0, user, deviation)
    kept, held = read & ~held, read & held
    rows, ratings = pad(_starts(user[kept], len(count)), (row[kept], histories.rating[kept]), (terms.unrated, 0.0))
    past = make_past(rows, ratings, statistics, scale)
    bags, residual = bags_of(past)
    factors = terms.latent_factors(past, histories.user)
    rated = torch.zeros(len(count), terms.unrated + 1, dtype=torch.bool, device=device)
    rated[user[~held], row[~held]] = True
    past = past._replace(people=terms.neighbours(bags, residual, histories.user), factors=factors, rated=rated)
    gone = ~kept
    removed = Bags(_starts(user[gone], len(count)), row[gone], preference(histories.rating[gone], scale))
    wide = terms.wide_scores_without(histories.user.long(), removed, bags, residual)
    columns = row[held], histories.rating[held]
    held_rows, held_ratings = pad(_starts(user[held], len(count)), columns, (terms.unrated, NOT_GIVEN))
    return HeldOut(past, wide, (total / (count + USER_DAMPING))[:, None], held_rows, held_ratings, cold)


def unrated_log_weight(config: WideDeepHistoryConfig, count: Tensor) -> Tensor:
    """Return by how much too often a step's held-out ratings are of items that count as unrated, as a logarithm.

    How often a new rating is of an unrated item is estimated by the share of ratings that are their item's only one
    (Good, 1953, doi:10.1093/biomet/40.3-4.237). Affinities that are trained with this weight are as much lower.

    Args:
        config: how much is held out.
        count: [A] numbers of training ratings of the rated items.

    """
    expected = ((count == 1).sum() + 1) / count.sum()
    share = config.cold_items / max(config.held_out + config.cold_items, 1e-9)
    return (share / expected).log().clamp(min=0.0)


def _starts(user: Tensor, users: int) -> Tensor:
    """Return where the ratings of each user begin, [users + 1], given the users of all ratings in ascending order."""
    count = torch.bincount(user, minlength=users)
    return starts_of(count)
