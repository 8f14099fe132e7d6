"""All that the model knows of a user and an item: the terms from which its two answers are made.

Legend: u users, T targets (items to be judged), L ratings of the longest history, I items, R rows (the rated items, and
the last one for all unrated items), D embedding width, m distinct items.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from widedeep.models.feature_inputs import FeatureLookup
from widedeep.models.history.factors import LatentFactors, UserFactors
from widedeep.models.history.inputs import Ledger
from widedeep.models.history.lookups import rows_of
from widedeep.models.history.nearest import NUMBERS as NEAREST_NUMBERS
from widedeep.models.history.nearest import nearest
from widedeep.models.history.network import Attended, Attention, Embedded, ItemVectors, Terms, bag_of, versions
from widedeep.models.history.past import Past
from widedeep.models.history.people import NUMBERS as PEOPLE_NUMBERS
from widedeep.models.history.people import Neighbours, People
from widedeep.models.history.settings import WideDeepHistoryConfig
from widedeep.models.history.sparse import SparseCrosses
from widedeep.models.history.statistics import ItemStatistics, PairEvidence
from widedeep.models.history.targets import SPARSE, STANDINGS, WIDE, Survey, Targets
from widedeep.models.history.tastes import Tastes
from widedeep.models.history.timeline import NUMBERS as TIMELINE_NUMBERS
from widedeep.models.history.timeline import Timeline
from widedeep.models.history.titles import Similar, TitleNeighbours
from widedeep.models.history.wide import Bags, WideCrosses, WideScores

# Weights in the choice of candidates beside the item x item weights: of similar titles, and of the number of ratings,
# which only orders the items for an empty history.
SPARSE_SHARE, TITLE_SHARE, POPULARITY_SHARE = 1.0, 0.05, 1e-9
# Weight of similar titles in the choice of unrated candidates, beside their fame.
COLD_TITLES = 3.0
ITEMS_AT_ONCE = 1 << 13  # that are embedded together where all are
USERS_AT_ONCE = 16  # whose scores of all items are summarised while they are in the cache
# Numbers of `Terms.numbers` beside those of the items' columns.
PLAIN_NUMBERS = 13 + STANDINGS + NEAREST_NUMBERS + TIMELINE_NUMBERS


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
        self._every: tuple[list[tuple[int, int]], tuple[Tensor, Tensor, Tensor]] | None = None  # see `_embed_every`

    def forward(self, past: Past, targets: Targets, embedded: Embedded) -> Terms:
        """Return the terms of the targets.

        Args:
            past: the histories.
            targets: the items to be judged.
            embedded: the embeddings of both.

        """
        past_item = self.ledger.item_of[past.row].long()
        of_target, of_past, kind = embedded.look_up()
        evidence = self._evidence(past, targets)
        with torch.no_grad():
            bias = self.statistics.bias_without(targets.row, targets.own, targets.residual)
            content, crossed = self._content(past, past_item, targets.item)
            close = nearest(evidence.together, self._count(targets), self.statistics.count[past.row], past.weight)
            plain = [*crossed, *self._facts(past, targets, bias), *close]
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
            wide=targets.standings[:, :, WIDE],
            sparse=targets.standings[:, :, SPARSE],
            titles=crossed[0],
            rating_dot=rating_dot,
            affinity_dot=affinity_dot,
            residual=torch.cat([attended.residual, *self._by_factors(past, targets, expected)], dim=-1),
            support=attended.support,
            preference=attended.preference,
            numbers=torch.cat(
                [targets.standings, plain, torch.stack([rating_dot, affinity_dot], dim=-1), *columns], dim=-1
            ),
            kind=kind,
        )

    def wide_scores(self, past: Bags, residual: Tensor, known: bool) -> WideScores:
        """Score all rated items for histories; for the arguments see `WideCrosses.scores`."""
        return WideScores(*self.crosses.scores(past, residual, known), *self.sparse.scores(past, residual))

    def wide_scores_without(self, user: Tensor, others: Bags, past: Bags, residual: Tensor) -> WideScores:
        """Score all rated items as if users of the data, [u] indexes, had only a part of their ratings.

        For the other arguments see `WideCrosses.scores_without`.
        """
        closed = self.crosses.scores_without(others, past, residual)
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
        held_out: Tensor | None = None,
        cold: Tensor | None = None,
    ) -> Survey:
        """Score all rated items by the crosses, and choose the candidates of each user.

        Args:
            past: the histories, with all that the users have rated.
            wide: the users' scores of all rated items.
            held_out: [u, H] rows of ratings of the users that do not count, or None.
            cold: [R] bool, the rows that are treated as unrated; None: those that are.

        """
        assert past.rated is not None
        titles = self.titles.crosses(self.ledger.item_of[past.row].long(), past.weight)
        unrated = self._cold_candidates(titles, cold)
        crossed = self._rated_scores(wide).add_(titles.index_select(1, self.ledger.item_of), alpha=TITLE_SHARE)
        if held_out is not None:
            crossed.scatter_add_(1, held_out, torch.full(held_out.shape, -POPULARITY_SHARE, device=crossed.device))
        crossed.masked_fill_(past.rated, -torch.inf)
        crossed[:, self.unrated] = -torch.inf
        if cold is not None:
            crossed.masked_fill_(cold, -torch.inf)
        best = crossed[:, : self.unrated].topk(min(self.candidates, self.unrated), dim=1)
        parts = zip(
            *(column.split(USERS_AT_ONCE) for column in (wide.preference, wide.sparse, past.rated)), strict=True
        )
        return Survey(titles, crossed, best.indices, best.values, unrated, *_spreads(parts))

    def crossed(self, wide: WideScores, survey: Survey) -> Tensor:
        """Return the scores of all items by which candidates are chosen, [u, I]."""
        return (survey.titles * TITLE_SHARE).add_(self._rated_scores(wide).index_select(1, self.ledger.row_of))

    def _rated_scores(self, wide: WideScores) -> Tensor:
        """Return the part of these scores that needs no titles, [u, R]."""
        both = torch.add(wide.preference, wide.sparse, alpha=SPARSE_SHARE)
        return both.add_(POPULARITY_SHARE * self.statistics.count)

    def _cold_candidates(self, titles: Tensor, cold: Tensor | None) -> Tensor:
        """Return the unrated items of each user that the deep part ranks, best first: [u, K] item indexes.

        Args:
            titles: the crosses of histories with titles, [u, I].
            cold: [R] bool, the rows that are treated as unrated; None: those that are.

        """
        rated = self.ledger.row_of != self.unrated
        if cold is not None:
            rated = rated & ~cold[self.ledger.row_of.long()]
        score = titles.log1p().mul_(COLD_TITLES).add_(self.ledger.fame).masked_fill_(rated, -torch.inf)
        return score.topk(min(self.cold_candidates, int((~rated).sum())), dim=1).indices

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

    def embed(self, past: Past, targets: Targets) -> Embedded:
        """Embed all items of histories and targets, each once; for answers all items there are, until they change."""
        # An item can be a target as if it were unrated: it then counts as another one.
        pairs = ((targets.item, targets.row), (self.ledger.item_of[past.row].long(), past.row))
        target, read = (2 * item + (row == self.unrated) for item, row in pairs)
        if not self.training and not torch.is_grad_enabled():
            return Embedded(*self._embed_every(), target, read)
        self._every = None  # a step of an optimizer may follow
        there = torch.zeros(2 * len(self.ledger.row_of), dtype=torch.bool, device=past.row.device)
        there[target], there[read] = True, True
        place, distinct = there.cumsum(0) - 1, torch.nonzero(there)[:, 0]
        return Embedded(*self._embed(distinct), place[target], place[read])

    def _embed(self, number: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the first three columns of `Embedded` for items by number, [m]: 2 x item, or 1 more as if unrated."""
        item = number // 2
        row = torch.where(number % 2 > 0, self.unrated, self.ledger.row_of[item].long())
        vectors, kinds = self.vectors(item, row)
        return torch.stack(vectors.of_targets(), dim=1), torch.stack(vectors.of_past(), dim=1), kinds

    def _embed_every(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return what `_embed` returns for all numbers, which is kept until a weight changes."""
        state, every = versions(self.vectors.parameters()), self._every
        if every is None or every[0] != state:
            numbers = torch.arange(2 * len(self.ledger.row_of), device=self.ledger.row_of.device)
            of_targets, of_past, kinds = zip(*map(self._embed, numbers.split(ITEMS_AT_ONCE)), strict=True)
            self._every = every = state, (torch.cat(of_targets), torch.cat(of_past), torch.cat(kinds))
        return every[1]

    def _content(self, past: Past, past_item: Tensor, target: Tensor) -> tuple[tuple[Tensor, Tensor], list[Tensor]]:
        """Compare histories with targets by content.

        Args:
            past: the histories.
            past_item: [u, L] int64 item indexes.
            target: [u, T] int64 item indexes.

        Returns:
            the similarities of titles and of genres, [u, T, L] each; and the crosses by content, [u, T] each.

        """
        similar = self.titles.similar(past, past_item, target)
        of_target = rows_of(self.ledger.genres, target)
        of_past = rows_of(self.ledger.genres, past_item) * past.present[:, :, None]
        crossed = [*self._crossed_titles(past, similar), *self._crossed_genres(past, of_target, of_past)]
        crossed += self.timeline.in_time(past, past_item, target)
        crossed += self.timeline.of_franchise(past, target, similar, self.statistics.count[self.ledger.row_of.long()])
        return (similar.dense(), torch.einsum("utg,ulg->utl", of_target, of_past)), crossed

    @staticmethod
    def _crossed_titles(past: Past, similar: Similar) -> list[Tensor]:
        """Return the crosses of histories with targets by titles, [u, T] each."""
        squared = similar.similarity.square()
        weighted, residual = ((squared * similar.of_past(of)).sum(2) for of in (past.weight, past.residual))
        return [weighted.log1p(), residual, similar.rated_parts().sum(2).log1p()]

    @staticmethod
    def _crossed_genres(past: Past, of_target: Tensor, of_past: Tensor) -> list[Tensor]:
        """Return the crosses by genres, [u, T, G] of targets and [u, L, G] of histories: [u, T] each."""
        shared = torch.einsum("utg,ug->ut", of_target, of_past.sum(1))
        residual = torch.einsum("utg,ug->ut", of_target, torch.einsum("ulg,ul->ug", of_past, past.residual))
        return [shared / past.count, residual / (shared + 2.0)]

    def _columns(self, past: Past, past_item: Tensor, target: Tensor) -> list[Tensor]:
        """Return the targets' numbers, their distances from the history's mean, and tastes: [u, T, F] each."""
        of_target = rows_of(self.columns.numbers, target)
        mean = torch.einsum("ul,ulf->uf", past.present, rows_of(self.columns.numbers, past_item)) / past.count
        return [of_target, of_target - mean[:, None], self.tastes(past, past_item, target)]


def _spreads(parts: Iterable[tuple[Tensor, Tensor, Tensor]]) -> Iterator[Tensor]:
    """Return the last five columns of `Survey`.

    Args:
        parts: of some users each, scores of all rated items by the weights in closed form and by the sparse ones, and
            whether the items are rated, [u, R]; the last row never counts.

    """
    found = []
    for preference, sparse, rated in parts:
        score = preference.masked_fill(rated, torch.nan)
        score[:, -1] = torch.nan
        # Of somebody who has rated all items these numbers say nothing; they only have to be numbers.
        mean = score.nanmean(1, keepdim=True).nan_to_num(0.0)
        variance = (score - mean).square().nanmean(1, keepdim=True).nan_to_num(1.0)
        best = score.nan_to_num(-torch.inf).amax(1, keepdim=True).nan_to_num(neginf=0.0)
        others = sparse.masked_fill(rated, 0.0)
        spread = others.square().mean(1, keepdim=True).sqrt() + 1e-3
        found.append((mean, variance.sqrt() + 1e-6, best, spread, others.amax(1, keepdim=True)))
    return map(torch.cat, zip(*found, strict=True))
