"""The rows of published figures, of results with known metrics."""

import pytest

from widedeep.reporting.leaderboard.published_claims import published_claims
from widedeep.reporting.leaderboard.published_tables import published_figures

ZEROS = {
    "rmse": 3.12,
    "r2": 0.38,
    "unscored_share": 0.37,
    "rmse_fitted_on_the_scored": 1.2129,
    "variance_that_is_scored_or_not": 0.9,
}


def results(unscored: dict) -> dict:
    errors = {"constant": 0.0989, "genres_popularity": 0.0717, "genres_popularity_rank": 0.0369}
    official = {"rmse_of_mean": 1.6615, "r2_of_published": -0.047}
    return {
        "rmse_0.0729": {"label_rmse": errors, "honest": {"rmse": 1.2522}},
        "rmse_1.70": {"official_dump": official, "this_dump": {"rmse_of_biases": 1.2129}},
        "rmse_2.79_r2_0.49": unscored,
    }


def test_each_figure_names_its_notebook():
    mean, label, _ = published_claims(results({"own_list": ZEROS}))
    assert (mean.claim, mean.published) == ("wide & deep: test RMSE 1.70", "RMSE 1.70 (train 1.50)")
    assert label.claim == "wide & deep, rich features: test RMSE 0.0729"
    assert label.computed.startswith("0.0717 by a linear model of genres and popularity")
    assert label.honest == "1.2522 by biases, of users' ratings on the same rows"


@pytest.mark.parametrize(("whose", "said"), [("share_of_the_published", True), ("own_list", False)])
def test_generated_entries_are_called_generated(whose, said):
    zeros = published_claims(results({whose: ZEROS}))[-1]
    assert zeros.computed == "3.12, R2 0.38 by biases; 37% of the entries have no score and count as 0"
    assert ("all are generated" in zeros.reason) == said
    assert ("inferred from the published RMSE and R2" in zeros.reason) == said
    assert ("the dump's own" in zeros.reason) != said


def test_the_table_says_that_nothing_published_ran():
    title, said, table = published_figures(published_claims(results({"own_list": ZEROS})))
    assert title == "## Arithmetic on published figures"
    assert said.startswith("None of this is a run of a published system")
    assert table.count("\n") == 4
    assert published_figures(()) == []
