import json

import pytest

from widedeep.common.errors import InputError
from widedeep.schema.evaluation import Evaluation, parse_evaluation

EVALUATION = Evaluation(system="a", seed=3, data_digest="d", inputs={}, liked=8.0, rating=None, ranking=None)


def test_an_evaluation_is_read_as_it_was_written():
    assert parse_evaluation(EVALUATION.model_dump_json(), "a/evaluation.json") == EVALUATION


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            json.dumps({**EVALUATION.model_dump(), "format_version": 1}),
            "a/evaluation.json: format_version: .* 2; run",
        ),
        (
            json.dumps({**EVALUATION.model_dump(), "liked": "much"}),
            "a/evaluation.json: liked: .*; run jobs",
        ),
        ("{", "a/evaluation.json: content: "),
    ],
)
def test_what_another_release_wrote_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_evaluation(text, "a/evaluation.json")
