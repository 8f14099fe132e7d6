"""All that the model knows of a user and an item: the terms from which its two answers are made.

Legend: u users, T targets (items to be judged), L ratings of the longest history, I items, R rows (the rated items, and
the last one for all unrated items), D embedding width, m distinct items.
"""

import torch
from torch import Tensor, nn

from widedeep.models.feature_inputs import FeatureLookup
from widedeep.models.history.factors import LatentFactors, UserFactors
from widedeep.models.history.inputs import Ledger
from widedeep.models.history.nearest import NUMBERS as NEAREST_NUMBERS
from widedeep.models.history.nearest import nearest
from widedeep.models.history.network import Attended, Attention, ItemVectors, Terms, Vectors, bag_of
from widedeep.models.history.past import Past, places_of
from widedeep.models.history.people import NUMBERS as PEOPLE_NUMBERS
from widedeep.models.history.people import Neighbours, People
from widedeep.models.history.settings import WideDeepHistoryConfig
from widedeep.models.history.sparse import SparseCrosses
from widedeep.models.history.statistics import ItemStatistics, PairEvidence
from widedeep.models.history.targets import Survey, Targets
from widedeep.models.history.tastes import Tastes
from widedeep.models.history.timeline import NEAR_TITLE, Timeline
from widedeep.models.history.timeline import NUMBERS as TIMELINE_NUMBERS
from widedeep.models.history.titles import TitleNeighbours
from widedeep.models.history.wide import Bags, WideCrosses, WideScores

# Weights in the choice of candidates beside the item x item weights: of similar titles, and of the number of ratings,
# which only orders the items for an empty history.
SPARSE_SHARE, TITLE_SHARE, POPULARITY_SHARE = 1.0, 0.05, 1e-9
# Weight of similar titles in the choice of unrated candidates, beside their fame.
COLD_TITLES = 3.0
PLAIN_NUMBERS = 22 + NEAREST_NUMBERS + TIMELINE_NUMBERS  # of `Terms.numbers` beside those of the items' columns


class PairTerms(nn.Module):
    """Computes the terms of users and their targets."""

    def __init__(self, config: WideDeepHistoryConfig, shape: dict[str, int]):
        """Build with empty buffers."""
        super().__init__()
        rows, items = shape["rows"], shape["items"]
        self.unrated = rows - 1  # the row of all unrated items
        self.candidates, self.cold_candidates = config.candidates, config.cold_candidates
        self.bag_dropout = config.bag_dropout
        self.ledger = Ledger(shape)
        self.statistics, self.crosses = ItemStatistics(rows), WideCrosses(rows)
        self.sparse = SparseCrosses(rows, config.folds, config.sparse_kept)
        self.titles = TitleNeighbours(items, config.titles)
        self.columns = FeatureLookup.from_shape("terms.columns", shape, items)
        self.timeline, self.tastes = Timeline(items), Tastes(items, self.columns)
        self.people = People(rows, shape["people"], config.user_neighbours) if config.user_neighbours else None
        self.factors = LatentFactors(rows, config.factors, config.folds) if config.factors else None
        self.residuals = config.heads + (self.factors is not None)
        self.width = PLAIN_NUMBERS + PEOPLE_NUMBERS * (self.people is not None)
        self.width += 2 * len(config.numbers) + 2 * len(self.columns.values)
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
        evidence = self._evidence(past, targets)
        with torch.no_grad():
            bias = self.statistics.bias_without(targets.row, targets.own, targets.residual)
            scores, sparse = survey.standings(wide, targets.row), survey.sparse_standings(wide, targets.row)
            content, crossed = self._content(past, past_item, targets.item)
            close = nearest(evidence.together, self._count(targets), self.statistics.count[past.row], past.weight)
            plain = [*scores, *sparse, *crossed, *self._facts(past, targets, bias), *close]
            plain += self._said_by_people(past, targets, bias)
            plain = torch.stack([number.expand_as(bias) for number in plain], dim=-1)
            columns = self._columns(past, past_item, targets.item)
        match = torch.einsum("utd,uld->utl", of_target.query, of_past.key)
        attended = self._attend(past, targets, evidence, content, match)
        bag = bag_of(past, of_past, self.bag_dropout, self.training)
        rating_dot, affinity_dot = (torch.einsum("ud,utd->ut", bag, v) for v in (of_target.rating, of_target.affinity))
        expected = self.statistics.mean + past.bias + bias
        return Terms(
            expected=expected,
            wide=scores[0],
            sparse=sparse[0],
            titles=crossed[0],
            rating_dot=rating_dot,
            affinity_dot=affinity_dot,
            residual=torch.cat([attended.residual, *self._by_factors(past, targets, expected)], dim=-1),
            support=attended.support,
            preference=attended.preference,
            numbers=torch.cat([plain, torch.stack([rating_dot, affinity_dot], dim=-1), *columns], dim=-1),
            kind=kind,
        )

    def wide_scores(self, past: Bags, residual: Tensor, known: bool) -> WideScores:
        """Score all rated items for histories; for the arguments see `WideCrosses.scores`."""
        return WideScores(*self.crosses.scores(past, residual, known), *self.sparse.scores(past, residual))

    def wide_scores_without(self, user: Tensor, full: Bags, past: Bags, residual: Tensor) -> WideScores:
        """Score all rated items as if users of the data, [u] indexes, had only a part of their ratings.

        For the other arguments see `WideCrosses.scores_without`.
        """
        closed = self.crosses.scores_without(full, past, residual)
        return WideScores(*closed, *self.sparse.scores(past, residual, user))

    def neighbours(self, past: Bags, residual: Tensor, user: Tensor | None) -> Neighbours | None:
        """Return the people of like taste, or None if the model has none; for the arguments see `People.find`."""
        return self.people and self.people.find(past, residual, user)

    def latent_factors(self, past: Past, without: Tensor | None) -> UserFactors | None:
        """Return the users' latent factors, or None if the model has none; for `without` see `LatentFactors.find`."""
        return self.factors and self.factors.find(past.row, past.rating, past.present, without)

    @torch.no_grad()
    def survey(
        self,
        past: Past,
        wide: WideScores,
        known: Tensor | None = None,
        held_out: Tensor | None = None,
        cold: Tensor | None = None,
    ) -> Survey:
        """Score all rated items by the crosses, and choose the candidates of each user.

        Args:
            past: the histories.
            wide: the users' scores of all rated items.
            known: [u, K] rows that are no candidates; None: those of the histories. The last row fills up.
            held_out: [u, H] rows of ratings of the users that do not count, or None.
            cold: [R] bool, the rows that are treated as unrated; None: those that are.

        """
        known = past.row if known is None else known
        titles = self.titles.crosses(self.ledger.item_of[past.row].long(), past.weight)
        unrated = self._cold_candidates(titles, cold)
        crossed = self._crossed_scores(titles, wide)[:, self.ledger.item_of.long()]
        if held_out is not None:
            crossed.scatter_add_(1, held_out, torch.full(held_out.shape, -POPULARITY_SHARE, device=crossed.device))
        crossed.scatter_(1, known, -torch.inf)
        crossed[:, self.unrated] = -torch.inf
        if cold is not None:
            crossed[:, cold] = -torch.inf
        best = crossed[:, : self.unrated].topk(min(self.candidates, self.unrated), dim=1)
        score = wide.preference.scatter(1, known, torch.nan)
        score[:, self.unrated] = torch.nan
        # Of somebody who has rated all items these numbers say nothing; they only have to be numbers.
        mean = score.nanmean(1, keepdim=True).nan_to_num(0.0)
        variance = (score - mean).square().nanmean(1, keepdim=True).nan_to_num(1.0)
        highest = score.nan_to_num(-torch.inf).amax(1, keepdim=True).nan_to_num(neginf=0.0)
        sparse = wide.sparse.scatter(1, known, 0.0)
        return Survey(
            *(crossed, best.indices, best.values, unrated, mean, variance.sqrt() + 1e-6, highest),
            *(sparse.square().mean(1, keepdim=True).sqrt() + 1e-3, sparse.amax(1, keepdim=True)),
        )

    def crossed(self, past: Past, wide: WideScores) -> Tensor:
        """Return the scores of all items by which candidates are chosen, [u, I]."""
        return self._crossed_scores(self.titles.crosses(self.ledger.item_of[past.row].long(), past.weight), wide)

    def _crossed_scores(self, titles: Tensor, wide: WideScores) -> Tensor:
        """Return the scores by which candidates are chosen; `titles` are the crosses of titles, all [u, I]."""
        rated = wide.preference + SPARSE_SHARE * wide.sparse + POPULARITY_SHARE * self.statistics.count
        return (titles * TITLE_SHARE).add_(rated[:, self.ledger.row_of.long()])

    def _cold_candidates(self, titles: Tensor, cold: Tensor | None) -> Tensor:
        """Return the unrated items of each user that the deep part ranks, best first: [u, K] item indexes.

        Args:
            titles: the crosses of histories with titles, [u, I].
            cold: [R] bool, the rows that are treated as unrated; None: those that are.

        """
        unrated = self.ledger.row_of == self.unrated
        items = torch.nonzero(unrated if cold is None else unrated | cold[self.ledger.row_of.long()])[:, 0]
        score = self.ledger.fame[items] + COLD_TITLES * titles[:, items].log1p()
        return items[score.topk(min(self.cold_candidates, len(items)), dim=1).indices]

    def _evidence(self, past: Past, targets: Targets) -> PairEvidence:
        """Return what other users say of each target beside each item of the history."""
        residual = past.residual + past.bias - targets.bias  # as the statistics know it
        return self.statistics.evidence(targets.row, targets.own, targets.residual, past.row, residual)

    def _attend(
        self, past: Past, targets: Targets, evidence: PairEvidence, content: tuple[Tensor, Tensor], match: Tensor
    ) -> Attended:
        """Return what the attention finds; for `evidence`, `content` and `match` see `Attention`."""
        rarity = self._count(targets).log1p()[:, :, None], self.statistics.count[past.row].log1p()[:, None]
        return self.attention(past, evidence, content, rarity, match)[0]

    def _count(self, targets: Targets) -> Tensor:
        """Return how many other users rated the targets, [u, T]."""
        return self.statistics.count[targets.row] - targets.own

    def _facts(self, past: Past, targets: Targets, bias: Tensor) -> list[Tensor]:
        """Return what is known of the targets alone, given their biases [u, T], and of the users alone [u, 1]."""
        spread = (past.residual.square().sum(1, keepdim=True) / past.count).sqrt()
        fame = self.ledger.fame[targets.item]
        return [self._count(targets).log1p(), fame, bias, past.bias, past.count.log(), spread]

    def _said_by_people(self, past: Past, targets: Targets, bias: Tensor) -> list[Tensor]:
        """Return what people of like taste say of the targets, whose biases are [u, T]; [u, T] each."""
        if self.people is None:
            return []
        assert past.people is not None
        return self.people(past.people, targets.row, self.statistics.bias[targets.row] - bias)

    def _by_factors(self, past: Past, targets: Targets, expected: Tensor) -> list[Tensor]:
        """Return the residuals of the targets by latent factors, [u, T, 1]."""
        if self.factors is None:
            return []
        assert past.factors is not None
        return [(self.factors(past.factors, targets.row) - expected)[..., None]]

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

    def title_similarity(self, past: Past, past_item: Tensor, target: Tensor) -> Tensor:
        """Return the similarities of the titles of targets and histories, [u, T, L]."""
        return self.titles.between(target, self._places(past, past_item, target), past.row.shape[1])

    def _places(self, past: Past, past_item: Tensor, target: Tensor) -> Tensor:
        """Return where the items with similar titles are in the histories, [u, T, M]; see `TitleNeighbours.places`."""
        length, items = past.row.shape[1], len(self.ledger.row_of)
        place = places_of(torch.where(past.present > 0, past_item, items), items + 1)  # [u, I + 1]
        return self.titles.places(target, place, length)

    def _content(self, past: Past, past_item: Tensor, target: Tensor) -> tuple[tuple[Tensor, Tensor], list[Tensor]]:
        """Compare histories with targets by content.

        Args:
            past: the histories.
            past_item: [u, L] int64 item indexes.
            target: [u, T] int64 item indexes.

        Returns:
            the similarities of titles and of genres, [u, T, L] each; and the crosses by content, [u, T] each.

        """
        places = self._places(past, past_item, target)
        titles = self.titles.between(target, places, past.row.shape[1])
        shared = torch.einsum("utg,ulg->utl", self.ledger.genres[target], self.ledger.genres[past_item])
        genres = shared * past.present[:, None]
        near = (self.titles.similarity[target] > NEAR_TITLE).float()
        neighbour = self.titles.neighbour[target].long().clamp(min=0)
        known = self.statistics.count[self.ledger.row_of[neighbour].long()]
        crossed = self._crossed(past, titles, genres)
        crossed += self.timeline.in_time(past, past_item, target)
        crossed += self.timeline.of_franchise(past, target, neighbour, places, near, known)
        return (titles, genres), crossed

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
        """Return the targets' numbers, their distances from the history's mean, and tastes: [u, T, F] each."""
        of_target = self.columns.numbers[target]
        mean = torch.einsum("ul,ulf->uf", past.present, self.columns.numbers[past_item]) / past.count
        return [of_target, of_target - mean[:, None], self.tastes(past, past_item, target)]
