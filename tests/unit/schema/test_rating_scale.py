import pytest
from pydantic import ValidationError

from tests.builders import TEN_POINTS
from widedeep.schema.rating_scale import RatingScale


def test_levels_are_all_ratings_of_the_scale():
    assert TEN_POINTS.levels == (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
    assert RatingScale(lowest=0.5, highest=2, step=0.5, liked=1.5).levels == (0.5, 1, 1.5, 2)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"highest": 1}, "below highest"),
        ({"step": 0.7}, "equal parts"),
        ({"step": 0}, "equal parts"),
        ({"liked": 1}, "above lowest"),
        ({"liked": 11}, "at most highest"),
    ],
)
def test_a_scale_that_makes_no_sense_is_refused(changed, said):
    with pytest.raises(ValidationError, match=said):
        RatingScale(**{**TEN_POINTS.model_dump(), **changed})


def test_a_scale_says_its_ends():
    assert str(RatingScale(lowest=0.5, highest=5, step=0.5, liked=4)) == "0.5-5"
