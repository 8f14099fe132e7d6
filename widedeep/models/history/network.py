"""The trained part: attention over the history, a bag of the history, and two towers over all terms of a pair.

Legend: u users, T targets, L ratings of a history, A rated items and one row for all others, H heads, D embedding
width, G genres, F terms of a pair.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, hardtanh, silu

from widedeep.models.feature_inputs import EmbeddedColumns, FeatureLookup
from widedeep.models.history.lookups import rows_of
from widedeep.models.history.past import Past
from widedeep.models.history.statistics import PairEvidence

ROLES = 6  # vectors of an item: query, key, rating, bag of residuals, bag of items, affinity
KIND_WIDTH, KIND_SD = 8, 1.0  # of the embedding of an item's kind that the towers read, and of its initial values
TERM_SCALES = (0.3, 0.3, 2.0, 4.0, 0.3, 2.0, 0.3, 0.3)  # of the terms of the attention
LEAST_LOGIT, LOGIT_LIMIT = -20.0, 8.0  # attention weights are between exp of these
# Initial weights of log overlap, log agreement and similarity of titles in the attention of the first head.
SIMILARITY_WEIGHTS = (1.5, 1.5, 2.0)
OUTLIER = 6.0  # standardised terms are clipped to this


def versions(weights: Iterable[Tensor]) -> list[tuple[int, int]]:
    """Return what tells the values of weights from later ones, but for steps of fused optimizers, which are not seen.

    Weights that were made in inference mode never change.
    """
    return [(weight.data_ptr(), 0 if weight.is_inference() else weight._version) for weight in weights]


class Vectors(NamedTuple):
    """Vectors of items by role, each [..., D]."""

    query: Tensor
    key: Tensor
    rating: Tensor
    residual_bag: Tensor
    item_bag: Tensor
    affinity: Tensor

    def of_targets(self) -> "TargetVectors":
        """Return those of the roles that targets have."""
        return TargetVectors(self.query, self.rating, self.affinity)

    def of_past(self) -> "PastVectors":
        """Return those of the roles that items of a history have."""
        return PastVectors(self.key, self.residual_bag, self.item_bag)


class TargetVectors(NamedTuple):
    """Vectors of targets, each [..., D]."""

    query: Tensor
    rating: Tensor
    affinity: Tensor


class PastVectors(NamedTuple):
    """Vectors of items of a history, each [..., D]."""

    key: Tensor
    residual_bag: Tensor
    item_bag: Tensor


class Embedded(NamedTuple):
    """The embeddings of the m distinct items of a batch, and which of them the targets and the histories have."""

    of_targets: Tensor  # [m, 3, D] float32, `TargetVectors` side by side
    of_past: Tensor  # [m, 3, D] float32, `PastVectors` side by side
    kinds: Tensor  # [m, 8] float32
    target: Tensor  # [u, T] int64, from 0 to m - 1
    past: Tensor  # [u, L] int64, from 0 to m - 1

    def part(self, users: Tensor, length: int, targets: int) -> "Embedded":
        """Return that of the first targets of some of the users, whose histories have at most `length` ratings."""
        return self._replace(target=self.target[users, :targets], past=self.past[users, :length])

    def look_up(self) -> tuple[TargetVectors, PastVectors, Tensor]:
        """Return the vectors of the targets [u, T, D] and of the histories [u, L, D], and the targets' kinds."""
        of_target, of_past = rows_of(self.of_targets, self.target), rows_of(self.of_past, self.past)
        kind = rows_of(self.kinds, self.target)
        return TargetVectors(*of_target.unbind(2)), PastVectors(*of_past.unbind(2)), kind


class Attended(NamedTuple):
    """What the attention found in the history of a target, each [u, T, H]."""

    residual: Tensor  # mean residual of similar items
    support: Tensor  # log of the sum of weights
    preference: Tensor  # log of the sum of weights x preference


class ItemVectors(nn.Module):
    """Vectors of items: an embedding of the item plus embeddings of its attributes."""

    def __init__(self, rows: int, columns: FeatureLookup, kinds: Sequence[str], width: int, sd: float):
        """Build for `rows` rated items; unrated items have the vectors of their attributes alone."""
        super().__init__()
        self._columns, self._width = [columns], width  # in a list: the lookup belongs to another module
        self.items = nn.Embedding(rows + 1, ROLES * width, padding_idx=rows)
        nn.init.normal_(self.items.weight, std=sd)
        with torch.no_grad():
            self.items.weight[rows].zero_()
        names = list(columns.vocabularies)
        self.attributes = EmbeddedColumns(names, columns.vocabularies, ROLES * width, sd)
        self.kinds = EmbeddedColumns(kinds, columns.vocabularies, KIND_WIDTH, KIND_SD)

    def forward(self, item: Tensor, row: Tensor) -> tuple[Vectors, Tensor]:
        """Return the vectors of items and what kind they are: [m] item indexes and rows -> [m, D] each, [m, 8]."""
        values = self._columns[0].look_up_categories(item)
        total = torch.stack([self.items(row), *self.attributes(values)]).sum(0)
        none = total.new_zeros(len(item), KIND_WIDTH)
        return Vectors(*total.split(self._width, dim=-1)), torch.stack([none, *self.kinds(values)]).sum(0)


class Attention(nn.Module):
    """Weighs the ratings of a history by how much they say about a target."""

    def __init__(self, heads: int, hidden: int):
        super().__init__()
        sharpness = torch.linspace(1.0, 0.5, heads)[:, None]
        self.similarity = nn.Parameter(torch.tensor(SIMILARITY_WEIGHTS) * sharpness)  # [H, 3]
        first, last = nn.Linear(8, hidden), nn.Linear(hidden, max(1, heads), bias=False)
        with torch.no_grad():  # The terms have spreads of about 1 / TERM_SCALES.
            first.weight.mul_(torch.tensor(TERM_SCALES))
        self.hidden, self.hidden_bias = first.weight, first.bias
        self.output = last.weight if heads else nn.Parameter(torch.zeros(0, hidden))
        self.prior = nn.Parameter(torch.full((heads,), -6.0))  # log weight of a residual of 0

    def forward(
        self,
        past: Past,
        evidence: PairEvidence,
        content: tuple[Tensor, Tensor],
        rarity: tuple[Tensor, Tensor],
        match: Tensor,
    ) -> tuple[Attended, Tensor]:
        """Attend to histories.

        Args:
            past: the histories.
            evidence: of the ratings, [u, T, L] each.
            content: similarity of titles and of genres, [u, T, L] each.
            rarity: log numbers of ratings of the targets [u, T, 1] and of the items of the history [u, 1, L].
            match: query x key, [u, T, L].

        Returns:
            what was found, and the weights [H, u, T, L], of no meaning where there is no rating.

        """
        titles, genres = content
        # The terms come first and the pairs last: matrix products and sums are then several times faster on a CPU.
        # The last term is 1, so that the product adds the bias.
        terms = torch.stack(
            [
                evidence.overlap,
                evidence.log_agreement,
                titles,
                evidence.agreement,
                evidence.together.log1p_(),
                genres,
                *(of.expand_as(match) for of in (*rarity, match.new_ones(()))),
            ]
        ).flatten(1)  # [9, u T L]
        hidden = silu(torch.cat([self.hidden, self.hidden_bias[:, None]], dim=1) @ terms, inplace=True)
        logit = (self.output @ hidden).addmm_(self.similarity, terms[:3]).add_(match.flatten())
        weight = hardtanh(logit, LEAST_LOGIT, LOGIT_LIMIT).exp_().view(-1, *match.shape)  # [H, u, T, L]
        # All values are 0 where there is no rating.
        values = torch.stack([past.present, past.residual, past.weight], dim=-1)  # [u, L, 3]
        total, residual, preferred = (weight @ values).movedim(0, 2).unbind(-1)  # [u, T, H] each
        residual = residual / (total + self.prior.exp())
        return Attended(residual, (total + 1e-4).log(), (preferred + 1e-4).log()), weight


class Tower(nn.Module):
    """An MLP over the terms of a pair, with one answer, which is 0 before training."""

    def __init__(self, terms: int, hidden: Sequence[int], dropout: float, *, constant: bool):
        """Build; `dropout` is the share of hidden units dropped in training, `constant` adds one to all answers."""
        super().__init__()
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [nn.Linear(terms, width), nn.SiLU(), nn.Dropout(dropout)]
            terms = width
        last = nn.Linear(terms, 1, bias=constant)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.layers = nn.Sequential(*layers, last)

    def forward(self, terms: Tensor) -> Tensor:
        """Return the answers: [..., F] -> [...]."""
        return self.layers(terms)[..., 0]


class Terms(NamedTuple):
    """The terms of pairs, of which the answers are made."""

    expected: Tensor  # [u, T] mean + user bias + item bias
    wide: Tensor  # [u, T] standardised score of the item x item weights in closed form
    sparse: Tensor  # [u, T] standardised score of the sparse ones
    titles: Tensor  # [u, T] log of 1 + sum over the history of preference x similarity of titles ^ 2
    rating_dot: Tensor  # [u, T] bag of the history . rating vector
    affinity_dot: Tensor  # [u, T] bag of the history . affinity vector
    residual: Tensor  # [u, T, H] see `Attended`, and [u, T, 1] by latent factors if there are any
    support: Tensor  # [u, T, H]
    preference: Tensor  # [u, T, H]
    numbers: Tensor  # [u, T, numbers] what else the towers read, not standardised
    kind: Tensor  # [u, T, 8] what kind of item it is

    def of_targets(self, targets: slice) -> "Terms":
        """Return the terms of some of the targets."""
        return Terms(*(term[:, targets] for term in self))


class Parts(NamedTuple):
    """What an affinity is the sum of, each [u, T]."""

    wide: Tensor  # by the item x item weights
    content: Tensor  # by the titles
    deep: Tensor  # by the bag and the tower

    def affinity(self) -> Tensor:
        """Return the sum."""
        return self.wide + self.content + self.deep


class Heads(nn.Module):
    """Turns the terms of pairs into affinities and ratings."""

    centre: Tensor  # [numbers] float32
    spread: Tensor  # [numbers] float32
    level: Tensor  # [] float32, a usual rating

    def __init__(self, numbers: int, residuals: int, heads: int, hidden: Sequence[int], share: float):
        """Build.

        Args:
            numbers: width of `Terms.numbers`.
            residuals: width of `Terms.residual`.
            heads: of the attention.
            hidden: widths of the towers' hidden layers.
            share: of hidden units dropped in training.

        """
        super().__init__()
        self.mix = nn.Parameter(torch.full((residuals,), 1.0 / max(1, residuals)))
        self.wide = nn.Parameter(torch.tensor([1.0, 0.3, 0.3]))  # of the terms wide, titles and sparse
        terms = numbers + 1 + residuals + 2 * heads + KIND_WIDTH
        self.rating = Tower(terms, hidden, share, constant=True)
        # All losses compare affinities with each other, so a constant would have no effect.
        self.affinity = Tower(terms, hidden, share, constant=False)
        self.register_buffer("centre", torch.zeros(numbers))
        self.register_buffer("spread", torch.ones(numbers))
        self.register_buffer("level", torch.zeros(()))

    def score(self, terms: Terms) -> Tensor:
        """Return affinities, [u, T]."""
        return self.parts(terms).affinity()

    def parts(self, terms: Terms) -> Parts:
        """Return what the affinities are the sums of."""
        deep = terms.affinity_dot + self.affinity(self._inputs(terms))
        wide = self.wide[0] * terms.wide + self.wide[2] * terms.sparse
        return Parts(wide, self.wide[1] * terms.titles, deep)

    def rate(self, terms: Terms) -> Tensor:
        """Return predicted ratings, [u, T]."""
        return self._rating_of_sums(terms) + self.rating(self._inputs(terms))

    def _rating_of_sums(self, terms: Terms) -> Tensor:
        """Return the rating without the tower, [u, T]."""
        return terms.expected + terms.residual @ self.mix + terms.rating_dot

    def score_and_rate(self, terms: Terms) -> Tensor:
        """Return both answers, [2, u, T]."""
        return torch.stack([self.score(terms), self.rate(terms)])

    def parts_and_rate(self, terms: Terms) -> Tensor:
        """Return the `Parts` of the affinities, and predicted ratings, [4, u, T]."""
        return torch.stack([*self.parts(terms), self.rate(terms)])

    def _inputs(self, terms: Terms) -> Tensor:
        """Return what the towers read, [u, T, F]."""
        numbers = ((terms.numbers - self.centre) / self.spread).clamp(-OUTLIER, OUTLIER)
        rating = (self._rating_of_sums(terms) - self.level)[..., None]
        found = terms.residual, terms.support * 0.3, terms.preference * 0.3
        return torch.cat([numbers, rating, *found, terms.kind], dim=-1)

    @torch.no_grad()
    def standardise(self, numbers: Tensor, level: Tensor) -> None:
        """Take centre and spread from a sample of pairs, [m, numbers], and a usual rating, []."""
        self.level.copy_(level)
        self.centre.copy_(numbers.mean(0))
        self.spread.copy_(numbers.std(0, correction=0) + 1e-3)


def bag_of(past: Past, vectors: PastVectors, share: float, training: bool) -> Tensor:
    """Return the bag of each history, [u, D]: the user's profile + sum of item and residual vectors / sqrt(count)."""
    summed = torch.einsum("ul,uld->ud", past.present, vectors.item_bag)
    summed = summed + torch.einsum("ul,uld->ud", past.residual, vectors.residual_bag)
    return dropout(summed / past.count.sqrt() + past.profile, share, training)
