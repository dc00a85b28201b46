"""The API's description: it is OpenAPI, it names every route, and what the server answers is as it says."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import validate
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from beedex.server.web.paths import WEB_METHODS

FAULTS = {500, 501, 503}

CHECKS = (content_type_conformance, response_schema_conformance, status_code_conformance)

# Of each operation; all of them take seconds.
EXAMPLES = 15

PROBES = {"GET /healthz", "GET /livez", "GET /readyz", "GET /metrics", "GET /openapi.json"}


@pytest.fixture(scope="module")
def document(http):
    return http.get("/openapi.json").json()


def test_the_description_is_openapi(document):
    validate(document)


def test_the_description_names_every_route(document):
    described = {f"{verb.upper()} {path}" for path, verbs in document["paths"].items() for verb in verbs}

    assert described == set(WEB_METHODS) | PROBES


def test_the_description_says_the_servers_own_limits(document):
    parameters = document["paths"]["/v1/identify"]["post"]["parameters"]

    assert next(one for one in parameters if one["name"] == "k")["schema"]["maximum"] == 1000


def test_the_description_promises_304_where_answers_have_a_tag(document):
    paths = document["paths"].items()

    assert {path for path, verbs in paths if "304" in verbs.get("get", {"responses": {}})["responses"]} == {
        "/v1/map",
        "/v1/photos/{entry_id}",
    }


@pytest.fixture(scope="module")
def described(document, web_url):
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=web_url)
    return schema


@pytest.mark.parametrize("method", sorted({*WEB_METHODS, *PROBES}))
def test_whatever_is_asked_is_answered_as_described(described, method):
    verb, path = method.split()

    @given(case=described[path][verb.lower()].as_strategy())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    def ask(case):
        response = case.call()
        # A deadline of less than a millisecond is one that passes.
        assert response.status_code not in FAULTS, response.text
        case.validate_response(response, checks=CHECKS)

    ask()
