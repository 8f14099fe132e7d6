"""The trained part against loops over single pairs."""

import math
from itertools import product

import pytest
import torch

from widedeep.models.history.network import (
    LOGIT_LIMIT,
    OUTLIER,
    Attention,
    Heads,
    ItemVectors,
    PastVectors,
    Terms,
    bag_of,
)
from widedeep.models.history.past import Past
from widedeep.models.history.statistics import PairEvidence

USERS, TARGETS, LENGTH, HEADS, WIDTH = 3, 4, 5, 2, 6


def history() -> Past:
    """Histories of 5, 2 and 0 ratings."""
    torch.manual_seed(0)
    present = torch.tensor([[1.0, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]])
    weight, residual = (torch.randn(USERS, LENGTH).abs() * present, torch.randn(USERS, LENGTH) * present)
    count = present.sum(1, keepdim=True).clamp(min=1.0)
    return Past(
        torch.zeros(USERS, LENGTH).long(),
        present,
        weight,
        residual,
        present,
        torch.zeros(USERS, 1),
        count,
        torch.zeros(USERS, 1),
    )


def pairs() -> torch.Tensor:
    return torch.randn(USERS, TARGETS, LENGTH)


@torch.no_grad()
def test_attention_weighs_the_ratings_of_a_history():
    past = history()
    attention = Attention(HEADS, hidden=3)
    for parameter in attention.parameters():
        parameter.copy_(torch.randn(parameter.shape))
    evidence = PairEvidence(pairs().abs() * 9, pairs(), pairs(), pairs())
    content, rarity = (pairs(), pairs()), (torch.randn(USERS, TARGETS, 1), torch.randn(USERS, 1, LENGTH))
    match = 5 * pairs()  # some weights then reach their limit
    together = evidence.together.clone()
    found, weights = attention(past, evidence, content, rarity, match)
    limited = 0
    for u, t, head in product(range(USERS), range(TARGETS), range(HEADS)):
        total = residual = preferred = 0.0
        for j in range(LENGTH):
            pair = (u, t, j)
            similar = [evidence.overlap[pair], evidence.log_agreement[pair], content[0][pair]]
            others = [evidence.agreement[pair], together[pair].log1p(), content[1][pair]]
            terms = torch.stack([*similar, *others, rarity[0][u, t, 0], rarity[1][u, 0, j]])
            hidden = attention.hidden @ terms + attention.hidden_bias
            hidden = hidden * hidden.sigmoid()
            logit = attention.output[head] @ hidden + attention.similarity[head] @ terms[:3] + match[pair]
            limited += logit.item() > LOGIT_LIMIT
            if not past.present[u, j]:
                continue
            weight = math.exp(min(max(logit.item(), -20), LOGIT_LIMIT))
            assert weights[head, u, t, j].item() == pytest.approx(weight, rel=1e-4)
            total += weight
            residual += weight * past.residual[u, j].item()
            preferred += weight * past.weight[u, j].item()
        expected = residual / (total + math.exp(attention.prior[head].item()))
        assert found.residual[u, t, head].item() == pytest.approx(expected, rel=1e-4, abs=1e-6)
        assert found.support[u, t, head].item() == pytest.approx(math.log(total + 1e-4), rel=1e-4, abs=1e-5)
        assert found.preference[u, t, head].item() == pytest.approx(math.log(preferred + 1e-4), rel=1e-4, abs=1e-5)
    assert limited > 0


def test_more_of_the_same_evidence_weighs_more_before_training():
    past = history()
    attention = Attention(HEADS, hidden=3)
    none = torch.zeros(USERS, TARGETS, LENGTH)
    rarity = torch.zeros(USERS, TARGETS, 1), torch.zeros(USERS, 1, LENGTH)
    near = none.clone()
    near[:, :, 0] = 1.0
    for overlap, agreement, titles in ((near, none, none), (none, near, none), (none, none, near)):
        evidence = PairEvidence(none.clone(), overlap, none, agreement)
        with torch.no_grad():
            weights = attention(past, evidence, (titles, none), rarity, none)[1]
        assert (weights[:, 0, :, 0] > weights[:, 0, :, 1]).all()


def test_a_bag_adds_up_items_and_residuals():
    past = history()
    vectors = PastVectors(*(torch.randn(USERS, LENGTH, WIDTH) for _ in PastVectors._fields))
    found = bag_of(past, vectors, 0.0, training=True)
    for u, length in enumerate((5, 2, 0)):
        expected = torch.zeros(WIDTH)
        for j in range(length):
            expected += vectors.item_bag[u, j] + past.residual[u, j] * vectors.residual_bag[u, j]
        torch.testing.assert_close(found[u], expected / math.sqrt(max(1, length)))


def test_a_bag_is_only_thinned_in_training():
    past, vectors = history(), PastVectors(*(torch.randn(USERS, LENGTH, WIDTH) for _ in PastVectors._fields))
    whole = bag_of(past, vectors, 0.5, training=False)
    torch.manual_seed(0)
    thinned = bag_of(past, vectors, 0.5, training=True)
    dropped = (thinned == 0) & (whole != 0)
    assert dropped.any()
    torch.testing.assert_close(thinned[~dropped], 2 * whole[~dropped])


def terms() -> Terms:
    torch.manual_seed(1)
    single = (torch.randn(USERS, TARGETS) for _ in range(6))
    return Terms(*single, *(torch.randn(USERS, TARGETS, n) for n in (HEADS + 1, HEADS, HEADS, 7, 8)))


@pytest.fixture
def heads() -> Heads:
    heads = Heads(7, HEADS + 1, HEADS, (5, 3), 0.0)
    heads.standardise(torch.randn(50, 7) * 3 + 1, torch.tensor(6.5))
    return heads


@torch.no_grad()
def test_before_training_the_answers_are_sums_of_terms(heads):
    pair = terms()
    crosses = pair.wide + 0.3 * pair.titles + 0.3 * pair.sparse
    torch.testing.assert_close(heads.score(pair), crosses + pair.affinity_dot)
    expected = pair.expected + pair.residual.mean(-1) + pair.rating_dot
    torch.testing.assert_close(heads.rate(pair), expected)


@torch.no_grad()
def test_both_towers_read_all_terms(heads):
    pair = terms()
    for parameter in heads.parameters():
        parameter.copy_(torch.randn(parameter.shape))
    before = heads.score_and_rate(pair)
    torch.testing.assert_close(before, torch.stack([heads.score(pair), heads.rate(pair)]))
    for name in ("residual", "support", "preference", "numbers", "kind"):
        changed = heads.score_and_rate(pair._replace(**{name: getattr(pair, name) + 0.5}))
        assert ((changed - before).abs().flatten(1).max(1).values > 1e-3).all(), name


@torch.no_grad()
def test_numbers_are_standardised_and_outliers_clipped(heads):
    sample = torch.randn(500, 7) * torch.arange(1.0, 8.0) + 4
    heads.standardise(sample, torch.tensor(7.0))
    scaled = (sample - heads.centre) / heads.spread
    torch.testing.assert_close(scaled.mean(0), torch.zeros(7), atol=1e-4, rtol=0)
    torch.testing.assert_close(scaled.std(0), torch.ones(7), atol=5e-3, rtol=0)
    for parameter in heads.parameters():
        parameter.copy_(torch.randn(parameter.shape))
    pair = terms()
    far, limit = (pair._replace(numbers=pair.numbers.clone()) for _ in range(2))
    far.numbers[..., 0] = 1e6
    limit.numbers[..., 0] = heads.centre[0] + OUTLIER * heads.spread[0]
    torch.testing.assert_close(heads.rate(far), heads.rate(limit))


def test_a_part_of_the_targets_keeps_its_terms():
    pair = terms()
    part = pair.of_targets(slice(1, 3))
    assert all(torch.equal(short, whole[:, 1:3]) for short, whole in zip(part, pair, strict=True))


@torch.no_grad()
def test_vectors_are_those_of_the_item_and_of_its_attributes(model):
    """Unrated items have no vectors of their own."""
    vectors: ItemVectors = model.terms.vectors
    unrated, ledger = model.terms.unrated, model.terms.ledger
    item = torch.tensor([0, 7, 79, 7])
    row = torch.tensor([*ledger.row_of[item[:3]].tolist(), unrated])  # the last: item 7 as if it had no ratings
    assert row[2] == unrated
    found, kinds = vectors(item, row)
    width = model.config.embedding_dim
    for place in range(4):
        expected, kind = torch.zeros(6 * width), torch.zeros(8)
        if row[place] < unrated:
            expected += vectors.items.weight[row[place]]
        categories, vocabularies = (
            model.terms.columns.look_up_categories(item[place, None]),
            model.terms.columns.vocabularies,
        )
        for embedded, total in ((vectors.attributes, expected), (vectors.kinds, kind)):
            for name, values in zip(embedded.columns, embedded.values, strict=True):
                there = categories[name][0][categories[name][0] < vocabularies[name]].long()
                if len(there):
                    total += values.weight[there].mean(0)
        torch.testing.assert_close(torch.cat([vector[place] for vector in found]), expected)
        torch.testing.assert_close(kinds[place], kind)
