"""All that the model knows of a user and an item: the terms from which its two answers are made.

Legend: u users, T targets (items to be judged), L ratings of the longest history, I items, R rows (the rated items, and
the last one for all unrated items), D embedding width, m distinct items.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from widedeep.models.feature_inputs import FeatureLookup
from widedeep.models.history.inputs import Ledger
from widedeep.models.history.network import Attended, Attention, ItemVectors, Terms, Vectors, bag_of
from widedeep.models.history.past import Past
from widedeep.models.history.settings import WideDeepHistoryConfig
from widedeep.models.history.statistics import ItemStatistics
from widedeep.models.history.titles import TitleNeighbours
from widedeep.models.history.wide import WideCrosses, WideScores

# Elements u x T x L that are computed at once: their terms then stay in the cache.
ELEMENTS_AT_ONCE = 1 << 18
# Weights in the choice of candidates beside the item x item weights: of similar titles, and of the number of ratings,
# which only orders the items for an empty history.
TITLE_SHARE, POPULARITY_SHARE = 0.05, 1e-9
NEAR_TITLE = 0.6  # similarity from which two titles count as nearly the same
PLAIN_NUMBERS = 17  # of `Terms.numbers` beside those of the items' columns


class Targets(NamedTuple):
    """Items to be judged for each user."""

    item: Tensor  # [u, T] int64 item indexes
    row: Tensor  # [u, T] int64 rows
    own: Tensor  # [u, T] float32, 1.0 where the statistics hold the user's own rating of the item
    residual: Tensor  # [u, T] float32, the residual of that rating in the statistics
    bias: Tensor  # [u, 1] float32, the user's bias in the statistics

    def part(self, users: Tensor, count: int) -> "Targets":
        """Return the first `count` targets of some of the users."""
        return Targets(*(column[users, :count] for column in self))


class Survey(NamedTuple):
    """What the crosses make of all items for each user."""

    crossed: Tensor  # [u, R] float32, scores by which candidates are chosen; -inf for the history and unrated items
    candidates: Tensor  # [u, C] int64 rows of the highest scores, best first
    cutoffs: Tensor  # [u, C] float32, their scores
    mean: Tensor  # [u, 1] float32, mean of the wide scores without those of the history
    sd: Tensor  # [u, 1] float32, their standard deviation
    best: Tensor  # [u, 1] float32, the highest of them

    def part(self, users: Tensor) -> "Survey":
        """Return the survey of some of the users."""
        return Survey(*(column[users] for column in self))

    def rank(self, row: Tensor) -> Tensor:
        """Return how many candidates score higher than the targets: [u, T] rows -> [u, T] float32."""
        score = self.crossed.gather(1, row)
        return torch.searchsorted(-self.cutoffs, -score).float()


class Chunk(NamedTuple):
    """Users with histories of like length, who are answered together."""

    users: Tensor  # their numbers
    length: int  # of the longest history
    targets: int  # of the user who has most


def chunks(past: Past, targets: Tensor) -> Iterator[Chunk]:
    """Deal users to chunks: histories, and the number of targets of each user [u] int64.

    A user with many targets or a long history is a chunk alone.
    """
    length = past.present.sum(1).long().clamp(min=1)
    order = torch.argsort(length * (targets.max() + 1) + targets) if len(length) else length
    lengths, counts = length[order].tolist(), targets[order].tolist()
    low, most = 0, 0
    for high in range(1, len(lengths) + 1):
        most = max(most, counts[high - 1])
        full = high == len(lengths) or (high + 1 - low) * lengths[high] * max(most, counts[high]) > ELEMENTS_AT_ONCE
        if full:
            yield Chunk(order[low:high], lengths[high - 1], most)
            low, most = high, 0


class PairTerms(nn.Module):
    """Computes the terms of users and their targets."""

    def __init__(self, config: WideDeepHistoryConfig, shape: dict[str, int]):
        """Build with empty buffers."""
        super().__init__()
        rows, items = shape["rows"], shape["items"]
        self.unrated = rows - 1  # the row of all unrated items
        self.candidates = config.candidates
        self.bag_dropout, self.width = config.bag_dropout, PLAIN_NUMBERS + 2 * len(config.numbers)
        self.ledger = Ledger(shape)
        self.statistics, self.crosses = ItemStatistics(rows), WideCrosses(rows)
        self.titles = TitleNeighbours(items, config.titles)
        self.columns = FeatureLookup.from_shape("terms.columns", shape, items)
        self.vectors = ItemVectors(rows - 1, self.columns, config.kinds, config.embedding_dim, config.embedding_sd)
        self.attention = Attention(config.heads, config.attention_hidden)

    def forward(self, past: Past, wide: WideScores, survey: Survey, targets: Targets) -> Terms:
        """Return the terms of the targets.

        Args:
            past: the histories.
            wide: the users' scores of all rated items, [u, R] each.
            survey: of these scores.
            targets: the items to be judged.

        """
        past_item = self.ledger.item_of[past.row].long()
        of_target, of_past, kind = self._look_up(targets, past, past_item)
        titles = self._similar_titles(past, past_item, targets.item)  # [u, T, L]
        shared = torch.einsum("utg,ulg->utl", self.ledger.genres[targets.item], self.ledger.genres[past_item])
        genres = shared * past.present[:, None]
        match = torch.einsum("utd,uld->utl", of_target.query, of_past.key)
        attended = self._attend(past, targets, (titles, genres), match)
        bag = bag_of(past, of_past, self.bag_dropout, self.training)
        rating_dot, affinity_dot = (torch.einsum("ud,utd->ut", bag, v) for v in (of_target.rating, of_target.affinity))
        bias = self.statistics.bias_without(targets.row, targets.own, targets.residual)
        scores = self._standardised(wide, survey, targets)
        crossed = self._crossed(past, titles, genres)
        numbers = [*scores, *crossed, *self._facts(past, targets, bias), rating_dot, affinity_dot]
        stacked = torch.stack([number.expand_as(bias) for number in numbers], dim=-1)
        return Terms(
            expected=self.statistics.mean + past.bias + bias,
            wide=scores[0],
            titles=crossed[0],
            rating_dot=rating_dot,
            affinity_dot=affinity_dot,
            residual=attended.residual,
            support=attended.support,
            preference=attended.preference,
            numbers=torch.cat([stacked, *self._columns(past, past_item, targets.item)], dim=-1),
            kind=kind,
        )

    @torch.no_grad()
    def survey(
        self, past: Past, wide: WideScores, known: Tensor | None = None, held_out: Tensor | None = None
    ) -> Survey:
        """Score all rated items by the crosses, and choose the candidates of each user.

        Args:
            past: the histories.
            wide: the users' scores of all rated items.
            known: [u, K] rows that are no candidates; None: those of the histories. The last row fills up.
            held_out: [u, H] rows of ratings of the users that do not count, or None.

        """
        known = past.row if known is None else known
        crossed = self.crossed(past, wide)[:, self.ledger.item_of.long()]
        if held_out is not None:
            crossed.scatter_add_(1, held_out, torch.full(held_out.shape, -POPULARITY_SHARE, device=crossed.device))
        crossed.scatter_(1, known, -torch.inf)
        crossed[:, self.unrated] = -torch.inf
        best = crossed[:, : self.unrated].topk(min(self.candidates, self.unrated), dim=1)
        score = wide.preference.scatter(1, known, torch.nan)
        score[:, self.unrated] = torch.nan
        # Of somebody who has rated all items these numbers say nothing; they only have to be numbers.
        mean = score.nanmean(1, keepdim=True).nan_to_num(0.0)
        variance = (score - mean).square().nanmean(1, keepdim=True).nan_to_num(1.0)
        highest = score.nan_to_num(-torch.inf).amax(1, keepdim=True).nan_to_num(neginf=0.0)
        return Survey(crossed, best.indices, best.values, mean, variance.sqrt() + 1e-6, highest)

    def crossed(self, past: Past, wide: WideScores) -> Tensor:
        """Return the scores of all items by which candidates are chosen, [u, I]."""
        rated = wide.preference + POPULARITY_SHARE * self.statistics.count
        titles = self.titles.crosses(self.ledger.item_of[past.row].long(), past.weight)
        return titles.mul_(TITLE_SHARE).add_(rated[:, self.ledger.row_of.long()])

    def _attend(self, past: Past, targets: Targets, content: tuple[Tensor, Tensor], match: Tensor) -> Attended:
        """Return what the attention finds; for `content` and `match` see `Attention`."""
        residual = past.residual + past.bias - targets.bias  # as the statistics know it
        evidence = self.statistics.evidence(targets.row, targets.own, targets.residual, past.row, residual)
        count = (self.statistics.count[targets.row] - targets.own).log1p()
        rarity = count[:, :, None], self.statistics.count[past.row].log1p()[:, None]
        return self.attention(past, evidence, content, rarity, match)[0]

    @staticmethod
    def _standardised(wide: WideScores, survey: Survey, targets: Targets) -> list[Tensor]:
        """Return the standing of the targets: above the mean, below the best, by residuals, rank, and score."""
        score = wide.preference.gather(1, targets.row)
        others = (score - survey.mean, score - survey.best, wide.residual.gather(1, targets.row))
        return [*(other / survey.sd for other in others), survey.rank(targets.row).log1p(), score]

    def _facts(self, past: Past, targets: Targets, bias: Tensor) -> list[Tensor]:
        """Return what is known of the targets alone, given their biases [u, T], and of the users alone [u, 1]."""
        spread = (past.residual.square().sum(1, keepdim=True) / past.count).sqrt()
        count = (self.statistics.count[targets.row] - targets.own).log1p()
        return [count, bias, past.bias, past.count.log(), spread]

    def _look_up(self, targets: Targets, past: Past, past_item: Tensor) -> tuple[Vectors, Vectors, Tensor]:
        """Return the vectors of the targets [u, T, D] and of the histories [u, L, D], and the targets' kinds."""
        # Row R - 1 stands for different items, and an item can be a target as if unrated: both make a distinct pair.
        pairs = torch.cat([torch.stack(p).flatten(1) for p in ((targets.item, targets.row), (past_item, past.row))], 1)
        key, place = torch.unique(pairs[0] * len(self.ledger.item_of) + pairs[1], return_inverse=True)
        item, row = key // len(self.ledger.item_of), key % len(self.ledger.item_of)
        vectors, kinds = self.vectors(item, row)
        of_target, of_past = place[: targets.item.numel()], place[targets.item.numel() :]
        return (
            Vectors(*(v[of_target].view(*targets.item.shape, -1) for v in vectors)),
            Vectors(*(v[of_past].view(*past.row.shape, -1) for v in vectors)),
            kinds[of_target].view(*targets.item.shape, -1),
        )

    def _similar_titles(self, past: Past, past_item: Tensor, target: Tensor) -> Tensor:
        """Return the similarities of the titles of targets and histories, [u, T, L]."""
        length, items = past.row.shape[1], len(self.ledger.row_of)
        place = torch.full((len(target), items + 1), length, device=target.device)  # [u, I + 1]
        where = torch.where(past.present > 0, past_item, items)
        place.scatter_(1, where, torch.arange(length, device=target.device).expand_as(where))
        return self.titles.between(target, place, length)

    @staticmethod
    def _crossed(past: Past, titles: Tensor, genres: Tensor) -> list[Tensor]:
        """Return the crosses of histories with targets by content, [u, T] each."""
        squared = titles.square()
        shared = genres.sum(2)
        return [
            torch.einsum("utl,ul->ut", squared, past.weight).log1p(),
            torch.einsum("utl,ul->ut", squared, past.residual),
            (titles > NEAR_TITLE).float().sum(2).log1p(),
            shared / past.count,
            torch.einsum("utl,ul->ut", genres, past.residual) / (shared + 2.0),
        ]

    def _columns(self, past: Past, past_item: Tensor, target: Tensor) -> list[Tensor]:
        """Return the numbers of the targets, and their distance from the mean of the history, [u, T, F] each."""
        of_target = self.columns.numbers[target]
        mean = torch.einsum("ul,ulf->uf", past.present, self.columns.numbers[past_item]) / past.count
        return [of_target, of_target - mean[:, None]]
