"""Published claims without a figure beside what was measured, on entries with known metrics."""

import pytest
from scipy import stats

from widedeep.reporting.leaderboard.published_tables import claims_in_words
from widedeep.reporting.leaderboard.verbal_claims import verbal_claims

TABLE = {
    "verbal_claims": [
        {"source": "a notebook", "claim": "a is better", "pairs": [["a", "b"], ["a", "never run"], ["a", "lists"]]},
        {"source": "a notebook", "claim": "all above 9.0", "note": "no measure"},
    ]
}


def entry(name, rmse, ndcg, seeds=(0, 1, 2), each=False):
    """Of values over seeds; `each` keeps them, otherwise their mean and standard deviation remain."""
    figures = {}
    for key, values in (("rmse", rmse), ("ndcg_at_10", ndcg)):
        known = values is not None
        figures |= {key: sum(values) / len(values) if known else None}
        figures |= {f"{key}_sd": float(stats.tstd(values)) if known and len(values) > 1 else None}
        figures |= {f"{key}_of_seeds": list(values)} if known and each else {}
    return {"system": name, "label": name.upper(), "kind": "model", "seeds": list(seeds), **figures}


def test_welch_where_only_mean_and_deviation_are_known():
    a, b = (1.2, 1.3, 1.25), (1.1, 1.11, 1.12)
    claims = verbal_claims(TABLE, [entry("a", a, (0.3, 0.31, 0.32)), entry("b", b, (0.1, 0.1, 0.13))])
    found = claims[0].rmse
    assert found is not None
    expected = stats.ttest_ind(a, b, equal_var=False)
    interval = expected.confidence_interval(0.95)
    difference = found.difference
    assert (difference.low, difference.high) == pytest.approx((interval.low, interval.high))
    assert difference.difference == pytest.approx(0.14)
    assert (found.verdict, found.runs, difference.paired) == ("refuted", 3, False)  # a higher error
    assert claims[0].ndcg_at_10 is not None
    assert claims[0].ndcg_at_10.verdict == "holds"  # better lists


def test_paired_where_the_same_seeds_are_there():
    a, b = (1.0, 1.2, 1.4), (1.01, 1.211, 1.41)
    entries = [entry("a", a, None, each=True), entry("b", b, None, each=True)]
    found = verbal_claims(TABLE, entries)[0].rmse
    assert found is not None
    interval = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (found.difference.low, found.difference.high) == pytest.approx((interval.low, interval.high))
    assert (found.verdict, found.difference.paired) == ("holds", True)
    entries[1]["seeds"] = [3, 4, 5]
    unpaired = verbal_claims(TABLE, entries)[0].rmse
    assert unpaired is not None
    assert (unpaired.verdict, unpaired.difference.paired) == ("open", False)


def test_one_seed_gives_no_verdict():
    found = verbal_claims(TABLE, [entry("a", (1.0,), None, [0]), entry("b", (1.5,), None, [0])])[0].rmse
    assert found is not None
    assert (found.verdict, found.difference.difference, found.difference.low) == (None, -0.5, None)


def test_the_table_has_a_row_for_each_measured_pair_and_for_what_cannot_be_measured():
    rows = [entry("a", (1.2, 1.3, 1.25), (0.3, 0.31, 0.32)), entry("lists", None, (0.3, 0.31, 0.32))]
    table = claims_in_words(verbal_claims(TABLE, rows))[-1]
    assert "| a notebook | a is better | A - LISTS |  | +0.0000 [-0.0227, +0.0227] (Welch, n = 3): open |  |" in table
    assert "| a notebook | all above 9.0 | not measured |  |  | no measure |" in table
    assert "never run" not in table
    assert claims_in_words(()) == []
