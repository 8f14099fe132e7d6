"""Generated requests, well-formed and not, to every route of the API: none of them makes the server fail."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from tests.fuzz.test_inputs import EXAMPLES
from tests.serving import make_outputs
from widedeep.serve.app import make_app
from widedeep.serve.service import Service

CHECKS = [not_a_server_error, response_schema_conformance, content_type_conformance]
ROUTES = (
    ("GET", "/users/{user_id}/recommendations"),
    ("POST", "/recommendations"),
    ("GET", "/items/search"),
    ("GET", "/items/filters"),
    ("GET", "/items/{item_id}/similar"),
    ("GET", "/items/{item_id}"),
    ("GET", "/health"),
    ("GET", "/model"),
    ("GET", "/metrics"),
)


@pytest.fixture(scope="module")
def schema(tmp_path_factory):
    service = Service(make_outputs(tmp_path_factory.mktemp("served")).config)
    yield schemathesis.openapi.from_asgi("/openapi.json", make_app(service))
    service.close()


def test_every_route_is_tried(schema):
    assert [(found.ok().method.upper(), found.ok().path) for found in schema.get_all_operations()] == [*ROUTES]


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=lambda part: part)
def test_no_request_makes_the_server_fail(schema, method, path):
    @given(case=schema[path][method].as_strategy())
    @settings(
        max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=EXAMPLES < 1000
    )
    def ask(case):
        case.call_and_validate(checks=CHECKS)

    ask()
