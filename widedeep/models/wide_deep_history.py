"""Wide & deep over histories: what a user has rated is crossed with what is shown. It needs no embedding of each user.

docs/model.md has the picture and the formulas; models/history/ has the parts.

Legend: B pairs, U users, u users of a block, I items, R rows (the rated items, and the last one for all unrated items),
L ratings of the longest history, T targets (items to be judged) of a user, C candidates, n ratings of a batch.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from widedeep.data.feature_tables import Tables
from widedeep.data.histories import UserHistories, starts_of
from widedeep.models.base import Explanation, Histories, MakeEmbedding, Scores
from widedeep.models.feature_inputs import merge_inputs
from widedeep.models.history.encodings import Encoded, Layout
from widedeep.models.history.inputs import fit_inputs, with_known_columns
from widedeep.models.history.learning import NOT_GIVEN, hold_out, unrated_log_weight
from widedeep.models.history.ledger import evenly_spaced
from widedeep.models.history.network import Embedded, Heads, Parts, PastVectors, Terms, bag_of, versions
from widedeep.models.history.past import Past, bags_of, make_past, pad
from widedeep.models.history.profile import SIDE, UserProfile, profile_inputs, with_known_profile
from widedeep.models.history.reasons import explain
from widedeep.models.history.settings import WideDeepHistoryConfig
from widedeep.models.history.targets import (
    ELEMENTS_AT_ONCE,
    ELEMENTS_OF_ANSWERS,
    Chunk,
    Survey,
    Targets,
    chunks,
)
from widedeep.models.history.terms import PairTerms
from widedeep.models.history.wide import WideScores
from widedeep.models.history_learner import HistoryLearner, Learned
from widedeep.models.labels import DataNames, Labels
from widedeep.parallel.row_embeddings import RowEmbedding
from widedeep.schema.rating_scale import RatingScale

SAMPLE_USERS = 256  # from whom the spread of the terms is taken
USERS_AT_ONCE = 128  # whose pairs are answered together


class Opened(NamedTuple):
    """What encodings of users hold, and what the crosses make of all items."""

    past: Past
    wide: WideScores
    survey: Survey


Head = Callable[[Terms], Tensor]  # a method of `Heads`: terms of [u, T] -> [u, T], or both answers [2, u, T]


class WideDeepHistory(HistoryLearner):
    """affinity = crosses with the history + bag . item + MLP(terms); rating = biases + attention + bag . item + MLP."""

    config_class = WideDeepHistoryConfig
    affinity_is_rating = False
    explains = True
    chooses_candidates = True
    default_loss = "joint_bpr"

    def __init__(
        self,
        config: WideDeepHistoryConfig,
        shape: dict[str, int],
        scale: RatingScale,
        embedding: MakeEmbedding = RowEmbedding,
    ):
        """Build with empty buffers. There is no table that could be sharded, so `embedding` is not used."""
        super().__init__()
        self.config, self.shape, self.scale, self.rows = config, shape, scale, shape["rows"]
        self.terms = PairTerms(config, shape)
        self.heads = Heads(self.terms.width, self.terms.residuals, config.heads, config.hidden, config.dropout)
        known = f"{SIDE}.numbers" in shape
        self.profile = UserProfile(shape, config.embedding_dim, config.embedding_sd) if known else None
        self.cold_users_alike = not known
        self._last_opened: tuple[Tensor, Opened] | None = None
        self._last_answered: tuple[Tensor, list[tuple[int, int]], Tensor, Tensor] | None = None

    @classmethod
    def from_tables(cls, config: Any, tables: Tables, embedding: MakeEmbedding = RowEmbedding) -> "WideDeepHistory":
        """Fit what has a closed form, and build the network untrained."""
        config = with_known_profile(with_known_columns(config, tables.items), tables.users)
        shape, buffers = merge_inputs(fit_inputs(config, tables), profile_inputs(config, tables.users))
        model = cls(config, shape, tables.scale, embedding)
        model.load_state_dict(buffers, strict=False)
        model._standardise_terms()
        return model

    @torch.no_grad()
    def _standardise_terms(self) -> None:
        """Take the spread of the terms from the candidates of some users."""
        users = torch.nonzero(self.terms.ledger.start.diff() > 1)[:, 0]
        users = users[torch.linspace(0, len(users) - 1, min(SAMPLE_USERS, len(users)), dtype=torch.float64).long()]
        opened = self._unpack(self.encode_users(users.int()))
        targets = self._candidate_targets(opened)
        numbers = [self.terms(*part).numbers.flatten(0, 1) for _, part in self._in_chunks(opened.past, targets)]
        if numbers:
            self.heads.standardise(torch.cat(numbers), self.terms.statistics.mean)

    def item_embeddings(self) -> list[Tensor]:
        """Return the weights of the embeddings of items and their attributes, and of what is known of users."""
        of_users = self.profile.parameters() if self.profile else ()
        return [self.terms.vectors.items.weight, *self.terms.vectors.attributes.parameters(), *of_users]

    def labels(self, names: DataNames) -> Labels:
        """Return the labels of the embeddings of items and attributes; the towers keep the scale of their inputs."""
        vectors, rated = self.terms.vectors, self.terms.ledger.item_of[:-1].cpu().numpy()
        return {
            "terms.vectors.items.weight": {0: names.item_id[rated]},
            **vectors.attributes.labels("terms.vectors.attributes", names.items),
            **vectors.kinds.labels("terms.vectors.kinds", names.items),
            **(self.profile.labels(names.users) if self.profile else {}),
            **{f"heads.{name}": {} for name, _ in self.heads.named_buffers()},
        }

    # --- encoding ------------------------------------------------------------------------------------

    def encode_users(self, user: Tensor) -> Tensor:
        """Encode users of the data by their training ratings: [B] int32 user indexes -> [B, C] float32."""
        ledger = self.terms.ledger
        return self._encode(*ledger.history(user, self.config.max_history), ledger.rated(user), user)

    def encode_histories(self, histories: Histories) -> Tensor:
        """Encode people by their ratings, as if these were in the data: histories of U people -> [U, C] float32.

        Nothing else is known of them.
        """
        item = histories.items.long()
        none = self.rows - 1  # the row of what fills up, and of items without ratings
        row = torch.where(item >= 0, self.terms.ledger.row_of[item.clamp(min=0)].long(), none)
        rated = torch.zeros(len(row), self.rows, dtype=torch.bool, device=row.device).scatter_(1, row, True)
        rated[:, none] = False
        unrated = row == none
        place, inside = evenly_spaced((~unrated).sum(1), self.config.max_history)
        chosen = torch.argsort(unrated, dim=1, stable=True).gather(1, place) if row.shape[1] else place[:, :0]
        row, rating = row.gather(1, chosen), histories.ratings.gather(1, chosen)
        return self._encode(torch.where(inside, row, none), rating, rated, None)

    def _encode(self, row: Tensor, rating: Tensor, rated: Tensor, user: Tensor | None) -> Tensor:
        """Return histories with what follows from them: wide scores, and people of like taste.

        Args:
            row: [u, L] int64 rows of the histories.
            rating: [u, L] float32.
            rated: [u, R] bool, rows of all ratings.
            user: [u] int32 user indexes, for profiles, too; None: these people are not in the data.

        """
        bags, residual = bags_of(make_past(row, rating, self.terms.statistics, self.scale))
        wide = self.terms.wide_scores(bags, residual, known=user is not None)
        people = self.terms.neighbours(bags, residual, user)
        profile = None if user is None else self._profiles(user)
        if profile is None:
            profile = torch.zeros(len(row), self._layout.profile, device=row.device)
        return self._layout.pack(Encoded(row, rating, rated, wide, people, profile))

    def _profiles(self, user: Tensor) -> Tensor | None:
        """Return the profiles of users of the data, [B, D]; None if nothing is known of users."""
        return None if self.profile is None else self.profile(user)

    @property
    def _layout(self) -> Layout:
        neighbours = self.terms.people.neighbours if self.terms.people else 0
        return Layout(self.config.max_history, self.rows, neighbours, self.config.embedding_dim if self.profile else 1)

    def _unpack(self, encodings: Tensor) -> Opened:
        """Unpack encodings and survey all items."""
        row, rating, rated, wide, people, profile = self._layout.unpack(encodings)
        past = make_past(row, rating, self.terms.statistics, self.scale, profile)
        past = past._replace(people=people, factors=self.terms.latent_factors(past, None), rated=rated)
        return Opened(past, wide, self.terms.survey(past, wide))

    def _open(self, users: Tensor) -> Opened:
        """Unpack encodings, or return what was made of them, if they are the last ones.

        Scores, ratings and reasons are asked for one after the other. All that is kept follows from the encodings and
        from what is fitted, not trained.
        """
        last = self._last_opened
        if last is None or last[0] is not users:
            self._last_opened = last = users, self._unpack(users)
        return last[1]

    def train(self, mode: bool = True) -> "WideDeepHistory":
        """Set the mode, and forget what was made of the last encodings, which would take memory."""
        self._last_opened = self._last_answered = None
        return super().train(mode)

    def encode_items(self, item: Tensor) -> Tensor:
        """Encode items by their index: [B] int32 -> [B, 1] float32."""
        return item[:, None].float()

    def user_vectors(self, user: Tensor) -> Tensor:
        """Return the bags of the users' histories: [B] int32 -> [B, D] float32."""
        ledger, bags = self.terms.ledger, []
        vectors, _ = self.terms.vectors(ledger.item_of.long(), torch.arange(self.rows, device=user.device))
        for part in user.split(USERS_AT_ONCE):
            history = ledger.history(part, self.config.max_history)
            past = make_past(*history, self.terms.statistics, self.scale, self._profiles(part))
            bags.append(bag_of(past, PastVectors(*(vector[past.row] for vector in vectors.of_past())), 0.0, False))
        return torch.cat(bags)

    def item_vectors(self, item: Tensor) -> Tensor:
        """Return the vectors of items for all roles side by side: [B] int32 -> [B, 6 D] float32."""
        vectors, _ = self.terms.vectors(item.long(), self.terms.ledger.row_of[item].long())
        return torch.cat(vectors, dim=-1)

    # --- answers -------------------------------------------------------------------------------------

    def forward(self, user: Tensor, item: Tensor, negatives: Tensor | None = None) -> Scores:
        """Return both answers for pairs: [B] user indexes and [B] item indexes, int32; there are no negatives."""
        assert negatives is None
        return Scores(*self._answer_known(self.heads.score_and_rate, user, item))

    def score_pairs(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the affinities of pairs: encodings [..., C] and [..., 1], which broadcast -> [...]."""
        return self._answer_pairs(self.heads.score, users, items)

    def rate_pairs(self, users: Tensor, items: Tensor) -> Tensor:
        """Predict the ratings of pairs: encodings [..., C] and [..., 1], which broadcast -> [...]."""
        return self._answer_pairs(self.heads.rate, users, items)

    def rate_known(self, user: Tensor, item: Tensor) -> Tensor:
        """Predict the ratings of pairs of indexes; see `Recommender`."""
        return self._answer_known(self.heads.rate, user, item)

    def rate_chosen(self, users: Tensor, items: Tensor, chosen: Tensor, out: Tensor) -> None:
        """Write the predicted ratings of chosen items of each user; see `Recommender`."""
        item = items[:, 0].long()[chosen]
        known = self._answered(users, item)
        out.copy_(self._answer_chosen(self.heads.rate, users, item) if known is None else known[-1])

    def score_chosen(self, users: Tensor, items: Tensor, chosen: Tensor, out: Tensor) -> None:
        """Write the affinities of chosen items as `score_block` gives them; see `Recommender`."""
        block = torch.empty(len(users), len(items), device=users.device)
        self.score_block(users, items, block)
        torch.gather(block, 1, chosen, out=out)

    def score_block(self, users: Tensor, items: Tensor, out: Tensor) -> None:
        """Write the affinities of all pairs: of the candidates of each user as trained, of all other items below them.

        The others are in the order of the wide scores, with unrated items last.
        """
        opened = self._open(users)
        targets = self._candidate_targets(opened)
        answers = self._answer(self.heads.parts_and_rate, opened.past, targets)
        self._last_answered = users, versions(self.parameters()), targets.item, answers
        affinity = Parts(*answers[:-1]).affinity()
        every = affinity.amin(1, keepdim=True) - self._distance_of_others(opened)  # [u, I]
        every.scatter_(1, targets.item, affinity)
        torch.index_select(every, 1, items[:, 0].long(), out=out)

    def explain_chosen(self, users: Tensor, items: Tensor, chosen: Tensor) -> Explanation:
        """Explain the affinities of chosen items of each user; see `Recommender`.

        Of an item that is no candidate, `score_block` gives another affinity than the parts add up to.
        """
        opened, item = self._open(users), items[:, 0].long()[chosen]
        past, survey, targets = opened.past, opened.survey, self._as_targets(opened, item)
        answers = self._answered(users, item)
        if answers is None:
            answers = self._answer(self.heads.parts_and_rate, past, targets)
        parts, order, explained = Parts(*answers[:-1]), [], []
        for chunk in chunks(past, _all_of(item), ELEMENTS_OF_ANSWERS):
            own, judged = past.part(chunk.users, chunk.length), targets.part(chunk.users, chunk.targets)
            spread = survey.sd[chunk.users], survey.sparse_spread[chunk.users]
            of_chunk = Parts(*(part[chunk.users] for part in parts))
            explained.append(explain(self.terms, self.heads, own, judged, of_chunk, spread))
            order.append(chunk.users)
        place = torch.cat(order).argsort()
        return Explanation(*(torch.cat(column)[place] for column in zip(*explained, strict=True)))

    def _answered(self, users: Tensor, item: Tensor) -> Tensor | None:
        """Return what `score_block` has found of some of its candidates; None if it was not asked, or not for all.

        Args:
            users: encodings of users, [u, C].
            item: [u, T] int64 item indexes.

        Returns:
            [4, u, T], see `Heads.parts_and_rate`.

        """
        last = self._last_answered
        if last is None:
            return None
        of, weights, candidate, answers = last
        if of is not users or weights != versions(self.parameters()):
            return None
        same = candidate[:, None] == item[:, :, None]  # [u, T, C + K]
        if not same.any(2).all():
            return None
        return answers.gather(2, same.int().argmax(2).expand(len(answers), -1, -1))

    def _answer_pairs(self, head: Head, users: Tensor, items: Tensor) -> Tensor:
        """Answer for pairs that broadcast; all items of a user are answered for together."""
        shape = torch.broadcast_shapes(users.shape[:-1], items.shape[:-1])
        if users.shape[-2:-1] != (1,):  # each pair has a user of its own
            users, items = users[..., None, :], items[..., None, :]
        lists = torch.broadcast_shapes(users.shape[:-1], items.shape[:-1])
        users = users[..., 0, :].expand(*lists[:-1], -1).reshape(-1, users.shape[-1])
        items = items[..., 0].expand(lists).reshape(len(users), lists[-1])
        return self._answer_chosen(head, users, items.long()).view(shape)

    def _answer_known(self, head: Head, user: Tensor, item: Tensor) -> Tensor:
        """Answer for pairs of users of the data, each user's together: [B] and [B] int32 indexes -> [..., B].

        Few users are encoded at once, as their encodings are long.
        """
        users, number = torch.unique(user, return_inverse=True)
        order = torch.argsort(number, stable=True)
        start = starts_of(torch.bincount(number))
        answers: list[Tensor] = []
        for low in range(0, len(users), USERS_AT_ONCE):
            some = users[low : low + USERS_AT_ONCE]
            ends = start[low : low + len(some) + 1]
            (places,) = pad(ends - ends[0], (order[ends[0] : ends[-1]],), (-1,))
            opened = self._unpack(self.encode_users(some))
            targets = self._as_targets(opened, item[places.clamp(min=0)].long())
            block = self._answer(head, opened.past, targets, ends.diff())
            answers.append(block[..., places >= 0])  # in the order of `places`
        return torch.cat(answers, dim=-1)[..., order.argsort()]

    def _answer_chosen(self, head: Head, users: Tensor, item: Tensor) -> Tensor:
        """Answer for items of encoded users: [u, C] and [u, T] int64 item indexes -> [..., u, T]."""
        opened = self._open(users)
        return self._answer(head, opened.past, self._as_targets(opened, item))

    def _as_targets(self, opened: Opened, item: Tensor) -> Targets:
        """Return items as targets, which the users have not rated: [u, T] int64 item indexes."""
        none, row = torch.zeros(item.shape, device=item.device), self.terms.ledger.row_of[item].long()
        return Targets(item, row, none, none, opened.past.bias, opened.survey.standings(opened.wide, row))

    def _answer(self, head: Head, past: Past, targets: Targets, count: Tensor | None = None) -> Tensor:
        """Answer for the targets of each user, [..., u, T], of which the first `count` [u] are asked for; None: all."""
        out = None
        for chunk, part in self._in_chunks(past, targets, count):
            answer = head(self.terms(*part))
            if out is None:
                out = answer.new_zeros(*answer.shape[:-2], *targets.item.shape)
            out[..., chunk.users, : chunk.targets] = answer
        assert out is not None  # nobody asks for nobody
        return out

    def _in_chunks(
        self, past: Past, targets: Targets, count: Tensor | None = None
    ) -> Iterator[tuple[Chunk, tuple[Past, Targets, Embedded]]]:
        """Yield chunks of users with their histories and targets, and the embeddings of both.

        Args:
            past: the histories.
            targets: [u, T].
            count: [u] how many of the targets count; None: all.

        """
        embedded = self.terms.embed(past, targets)
        count = _all_of(targets.item) if count is None else count
        for chunk in chunks(past, count, ELEMENTS_AT_ONCE if self.training else ELEMENTS_OF_ANSWERS):
            users, length, most = chunk
            yield chunk, (past.part(users, length), targets.part(users, most), embedded.part(users, length, most))

    # --- candidates ----------------------------------------------------------------------------------

    def _candidate_targets(self, opened: Opened) -> Targets:
        """Return the candidates of each user as targets, those without ratings last: [u, C + K]."""
        rated = self.terms.ledger.item_of[opened.survey.candidates].long()
        return self._as_targets(opened, torch.cat([rated, opened.survey.cold], dim=1))

    def _distance_of_others(self, opened: Opened) -> Tensor:
        """Return how far items that are no candidates are below these, by the crosses, unrated items last: [u, I]."""
        score = self.terms.crossed(opened.wide, opened.survey)
        best, worst = score.amax(1, keepdim=True), score.amin(1, keepdim=True)
        # From 1 to 2, because the scores for an empty history differ by less than affinities can.
        distance = score.sub_(best).div_((worst - best).clamp(max=-1e-30)).add_(1.0)
        return distance.add_(self.terms.ledger.row_of == self.rows - 1, alpha=2)

    # --- learning ------------------------------------------------------------------------------------

    def learn(self, histories: UserHistories, generator: torch.Generator) -> Learned:
        """Hold out a part of each history, and answer for it and for candidates from the rest.

        Everything is computed as if the held-out ratings had never been given: the user's bias and bag, the item's
        bias, the evidence of pairs, the wide scores and the candidates.

        Args:
            histories: of users of the data; at least one.
            generator: draws what is held out.

        """
        self._last_answered = None  # a step of an optimizer may follow
        held = hold_out(histories, generator, self.config, self.terms, self.scale)
        if (profile := self._profiles(histories.user)) is not None:
            held = held._replace(past=held.past._replace(profile=profile))
        survey = self.terms.survey(held.past, held.wide, held.row, held.cold)
        rows, log_weight = held.sample(survey.candidates, self.config.trained_candidates, self.scale.liked, generator)
        # Where few items are left, the list of candidates is filled up with items that are none.
        log_weight.masked_fill_(survey.crossed.gather(1, rows).isneginf(), -torch.inf)
        of_unrated = unrated_log_weight(self.config, self.terms.statistics.count[:-1])
        log_weight = torch.cat([log_weight, of_unrated.expand(survey.cold.shape)], dim=1)
        targets, truth = held.with_candidates(rows, survey, self.terms)
        chosen = log_weight.shape[1]
        answers: list[tuple[Tensor, ...]] = []
        for chunk, part in self._in_chunks(held.past, targets, chosen + (held.rating > NOT_GIVEN).sum(1)):
            terms = self.terms(*part)
            affinity = self.heads.score(terms.of_targets(slice(chosen)))
            rating = self.heads.rate(terms.of_targets(slice(chosen, None)))
            true = truth[chunk.users, : chunk.targets]
            given = true[:, chosen:] > NOT_GIVEN
            liked = (true[:, :chosen] >= self.scale.liked).float()
            answers.append((rating[given], true[:, chosen:][given], affinity, liked, log_weight[chunk.users]))
        return Learned(*(torch.cat(column) for column in zip(*answers, strict=True)))


def _all_of(item: Tensor) -> Tensor:
    """Return how many targets each user has if all count: [u, T] -> [u] int64."""
    return torch.full(item.shape[:1], item.shape[1], device=item.device)
