"""The description of the API: valid, complete, and with examples that are what they claim to be."""

import re

import jsonschema
import pytest
from pydantic import Field
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from api.access import Access
from api.http import problems
from api.http.pagination import PageQuery
from api.openapi.document import build
from api.openapi.operation import operation
from api.openapi.parameters import parameters
from shared import errors
from shared.errors import InvalidParams
from shared.states import State
from shared.texts import PRINTABLE_PATTERN
from shared.webhooks.signing import EVENTS


@pytest.fixture
def document(app) -> dict:
    return build(app, "/")


@pytest.fixture
def operations(document) -> list[dict]:
    return [described for methods in document["paths"].values() for described in methods.values()]


def schema_of(document, schema) -> dict:
    return {**schema, "components": document["components"]}


def test_the_description_is_valid_by_openapi_itself(document) -> None:
    assert [error.message for error in OPENAPI_31_VALIDATOR.iter_errors(document)] == []


def test_every_schema_is_valid(document) -> None:
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_model_that_is_sent_or_answered_has_an_example_and_all_are_valid(document, operations) -> None:
    models = document["components"]["schemas"]
    bodies = [each["requestBody"] for each in operations if "requestBody" in each]
    bodies += [answer for each in operations for status, answer in each["responses"].items() if status < "400"]
    sent = {part["schema"].get("$ref", "") for body in bodies for part in body.get("content", {}).values()} - {""}
    assert [name for name in sent if not models[name.rpartition("/")[2]].get("examples")] == []
    for schema in models.values():
        for example in schema.get("examples", []):
            jsonschema.validate(example, schema_of(document, schema))


def test_every_refusal_has_an_example_of_each_of_its_codes(document, operations) -> None:
    for described in operations:
        for status, answer in described["responses"].items():
            content = answer.get("content", {}).get(problems.MEDIA_TYPE)
            for code, example in content["examples"].items() if content else ():
                assert (example["value"]["code"], str(example["value"]["status"])) == (code, status)
                jsonschema.validate(example["value"], schema_of(document, content["schema"]))


def test_the_catalogue_has_every_code(document) -> None:
    assert set(document["x-error-codes"]) == {kind.code for kind in errors.subclasses()}


def test_every_operation_says_what_it_needs_and_what_it_may_answer(operations) -> None:
    for described in operations:
        assert described["summary"]
        assert described["description"]
        assert described["tags"]
        statuses = set(described["responses"])
        assert statuses & {"200", "201", "202", "204"}
        if described["security"]:
            assert {"401", "403", "429", "503"} <= statuses, described["operationId"]
        for answer in described["responses"].values():
            assert answer["headers"]["X-Request-ID"]["required"]
    ids = [described["operationId"] for described in operations]
    assert len(ids) == len(set(ids))


def test_every_tag_is_explained(document, operations) -> None:
    assert {tag["name"] for tag in document["tags"]} == {tag for each in operations for tag in each["tags"]}


def test_every_parameter_says_what_it_is_and_of_which_type(operations) -> None:
    for described in operations:
        for parameter in described["parameters"]:
            assert parameter["description"], parameter
            assert parameter["schema"]["type"], parameter


def test_every_link_leads_to_an_operation_that_takes_what_it_brings(operations) -> None:
    known = {each["operationId"]: {f"path.{p['name']}" for p in each["parameters"]} for each in operations}
    links = [
        link
        for each in operations
        for answer in each["responses"].values()
        for link in answer.get("links", {}).values()
    ]
    assert {link["operationId"] for link in links} >= {"jobs_show", "jobs_cancel", "jobs_delete", "outputs_result"}
    for link in links:
        assert set(link.get("parameters", {})) <= known[link["operationId"]]


def test_every_event_is_described_as_it_is_sent(document) -> None:
    assert set(document["webhooks"]) == set(EVENTS) >= {"job.succeeded", "job.failed", "job.canceled", "job.expired"}
    for methods in document["webhooks"].values():
        names = {parameter["name"] for parameter in methods["post"]["parameters"]}
        assert names == {"webhook-id", "webhook-timestamp", "webhook-signature"}


def test_the_parameters_of_a_query_are_described_by_its_model() -> None:
    class Query(PageQuery):
        q: str | None = Field(None, description="Something.")
        state: list[State] = Field(default_factory=list, description="Several.")

    described = parameters(["job_id", "else"], Query, ["Range"])
    assert [each["name"] for each in described] == ["job_id", "else", "q", "state", "cursor", "limit", "Range"]
    by_name = {each["name"]: each["schema"] for each in described}
    assert by_name["q"] == {"type": "string", "pattern": PRINTABLE_PATTERN}
    assert by_name["state"] == {"type": "array", "items": {"type": "string", "enum": list(State)}}
    assert by_name["limit"] == {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}


@pytest.mark.parametrize("limit", ["", "0", "201", "-1", "+5", " 5", "1_0", "1e1", "٣", "9" * 30, "x"])
def test_a_limit_that_is_no_plain_number_in_its_bounds_is_refused(client, limit) -> None:
    answer = client.get("/v1/jobs", query_string={"limit": limit})
    assert (answer.status_code, answer.json["code"]) == (422, InvalidParams.code)


def test_a_range_beyond_the_file_is_refused_as_a_problem(app, client) -> None:
    from werkzeug.exceptions import RequestedRangeNotSatisfiable

    @app.get("/short")
    @operation(access=Access.PUBLIC, returns={})
    def short() -> str:
        """Send little."""
        raise RequestedRangeNotSatisfiable(10)

    answer = client.get("/short")
    assert (answer.status_code, answer.json["code"]) == (416, "range_not_satisfiable")


def test_the_docs_name_every_operation_and_every_word_of_the_webhooks(client, operations) -> None:
    page = client.get("/docs").text
    for described in operations:
        assert f'id="{described["operationId"]}"' in page
    for word in (*EVENTS, "webhook-signature", "whsec_", "Authorization: Bearer"):
        assert word in page
    assert not re.search(r"<script|<[a-z]+ [^>]*style=|https?://(?!shop|example|127)[^<\"]*\.(?:js|css)", page)


def test_the_docs_show_words_and_numbers_as_people_write_them(client) -> None:
    page = client.get("/docs").text
    assert "`" not in re.sub(r"<pre>.*?</pre>", "", page, flags=re.DOTALL)
    for machine in ("≤ 60.0", "1000000000000.0", "1.4142135623730951", "<td>None</td>", "<td>False</td>"):
        assert machine not in page
    assert "≤ 60;" in page
    assert "<td>null</td>" in page
    assert re.search(r"<code>diverged</code></td><td>–</td>", page)
    assert re.search(r"<code>internal</code></td><td>500</td>", page)
