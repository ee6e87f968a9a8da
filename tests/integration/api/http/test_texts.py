"""Control characters in every text that the API takes: refused, at the place where they are.

The texts are found in the API's own description, so that a new field is tried without being named here.
"""

import io
import re
from collections.abc import Iterator
from itertools import cycle
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from structlog.testing import capture_logs

from api.openapi.document import build
from shared import ids
from shared.texts import find_unprintable
from tests.integration.api.refusals import refusal
from tests.support.factories import add_batch

#: A colour, a cleared screen, a title, one of C1, an override, an isolate, a separator, DEL, NUL, a line break, a tab.
HOSTILE = ["\x1b[31m", "\x1b[2J", "\x1b]0;x\x07", "\x9b2J", "\u202e", "\u2066", "\u2028", "\x7f", "\0", "\n", "\t"]
#: What only values of `metadata` may hold.
OF_LINES = ("\n", "\t")
#: How deep values inside values are tried, where a schema takes anything.
DEPTH = 3


class Place(NamedTuple):
    """A value that holds a text, and the pointer to that text."""

    value: Any
    pointer: str


class Body(NamedTuple):
    """An operation, and a body for it."""

    method: str
    path: str
    body: Any
    pointer: str


@pytest.fixture
def document(app) -> dict[str, Any]:
    return build(app, "/")


def places(document: dict[str, Any], schema: dict[str, Any], text: str, depth: int = DEPTH) -> Iterator[Place]:
    """Yield a value for each place in a schema where a text may stand; `text` stands there."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    choices = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    for choice in choices:
        yield from places(document, choice, text, depth)
    kind = schema.get("type", "anything" if not {"anyOf", "oneOf", "enum", "const", "required"} & schema.keys() else "")
    if kind in ("string", "anything"):
        yield Place(text, "")
    for name, inside in _inside(schema, kind) if depth else ():
        for inner in places(document, inside, text, depth - 1):
            yield Place([inner.value] if name == 0 else {name: inner.value}, f"/{name}{inner.pointer}")
    if kind in ("object", "anything") and "additionalProperties" in schema and schema["additionalProperties"]:
        yield Place({f"a{text}": 1}, f"/a{text}")


def _inside(schema: dict[str, Any], kind: str) -> Iterator[tuple[str | int, dict[str, Any]]]:
    """Yield the schemas of what may stand inside a value, by name or index."""
    if kind in ("array", "anything"):
        yield 0, schema.get("items", {})
    yield from schema.get("properties", {}).items()
    others = schema.get("additionalProperties", kind == "anything")
    if others:
        yield "a", others if isinstance(others, dict) else {}


def bodies(document: dict[str, Any], ids_of: dict[str, str]) -> Iterator[Body]:
    """Yield a body for each text of each operation, each with another hostile text."""
    hostile = cycle(text for text in HOSTILE if text not in OF_LINES)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            media = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if media is None or path.endswith("/items"):
                continue
            for place in places(document, media["schema"], next(hostile)):
                yield Body(method, filled(path, ids_of), place.value, place.pointer)


def filled(path: str, ids_of: dict[str, str]) -> str:
    """Write a path; a job that is put gets a new id."""
    return path.format_map(ids_of if path != "/v1/jobs/{job_id}" else {"job_id": ids.new_id()})


def test_every_text_of_every_body_is_refused_at_its_place(client, document, job_id, database) -> None:
    tried = set()
    with capture_logs():
        for method, path, body, pointer in bodies(document, {"job_id": job_id, "batch_id": add_batch(database)}):
            answer = client.open(path, method=method, json=body)
            assert (answer.status_code, answer.json["code"]) == (422, "invalid_params"), (path, body, answer.json)
            assert pointer in [mistake["pointer"] for mistake in answer.json["errors"]], (path, body, answer.json)
            assert answer.get_data(as_text=True).isascii()
            tried.add((method, path.replace(job_id, "{}"), pointer.split("/")[1]))
    assert {("post", "/v1/jobs", name) for name in ("label", "name", "webhook", "metadata", "params")} <= tried
    assert {("post", "/v1/keys", "name"), ("post", "/v1/operations", "reason")} <= tried
    assert len(tried) > 50


def test_every_text_of_every_query_is_refused(client, document, job_id, database) -> None:
    ids_of = {"job_id": job_id, "batch_id": add_batch(database)}
    tried = 0
    with capture_logs():
        for path, methods in document["paths"].items():
            if not set(re.findall(r"{(\w+)}", path)) <= ids_of.keys():
                continue
            for each in methods.get("get", {}).get("parameters", ()):
                if each["in"] == "query":
                    answer = client.get(f"{path.format_map(ids_of)}?{each['name']}={quote(chr(27))}")
                    assert refusal(answer)["pointer"] == each["name"], (path, each["name"])
                    tried += 1
    assert tried > 25


@pytest.mark.parametrize("text", HOSTILE)
def test_no_character_of_the_kind_is_taken(client, image_id, text) -> None:
    body = {"content": image_id, "style": image_id}
    assert refusal(client.post("/v1/jobs", json=body | {"label": f"a{text}"}))["pointer"] == "/label"
    assert (
        refusal(client.post("/v1/jobs", json=body | {"metadata": {f"a{text}": 1}}))["pointer"] == f"/metadata/a{text}"
    )
    answer = client.post("/v1/jobs", json=body | {"metadata": {"a": [text]}})
    assert answer.status_code == (202 if text in OF_LINES else 422)
    assert client.get(f"/v1/jobs/{quote(text, safe='')}").status_code == 404


@pytest.mark.parametrize("is_list", [True, False])
def test_items_are_refused_one_by_one(client, image_id, database, is_list) -> None:
    items = [{"key": f"a{text}.png", "content": image_id} for text in HOSTILE]
    items += [{"key": "good.png", "content": image_id}, {"key": "b.png", "content": image_id, "params": {"\x1b": 1}}]
    report = client.post(f"/v1/batches/{add_batch(database)}/items", json=items if is_list else {"items": items}).json
    assert (report["added"], report["rejected"]) == (1, len(HOSTILE) + 1)
    assert {error["code"] for error in report["errors"]} == {"unsafe_path", "invalid_params"}
    assert all(find_unprintable(error["key"] or "") is None for error in report["errors"])


def test_a_form_is_refused_like_json(client, png) -> None:
    form = {"content": (io.BytesIO(png), "a.png"), "request": '{"label": "\\u001b[31m"}'}
    assert refusal(client.post("/v1/jobs", data=form))["pointer"] == "/label"


def test_metadata_is_bounded_as_it_is_written(client, image_id) -> None:
    body = {"content": image_id, "style": image_id}
    written = len('{"a":""}')
    for text, fits in (("x" * (16_384 - written), True), ("x" * (16_385 - written), False), ("é" * 9_000, False)):
        answer = client.post("/v1/jobs", json=body | {"metadata": {"a": text}})
        if fits:
            assert answer.status_code == 202
        else:
            assert refusal(answer) | {"detail": ""} == {"pointer": "/metadata", "detail": "", "le": 16_384}
    for path in ("/v1/batches", f"/v1/jobs/{ids.new_id()}/retry"):
        wanted = {"metadata": {"a": "x" * 1_000_000}} | ({"style": image_id} if path == "/v1/batches" else {})
        assert refusal(client.post(path, json=wanted))["pointer"] == "/metadata"


@pytest.mark.parametrize("value", [True, "1"])
def test_nothing_but_a_number_is_one(client, document, job_id, database, value) -> None:
    """Every number and truth value of every body, except for the painting parameters."""
    ids_of, tried = {"job_id": job_id, "batch_id": add_batch(database)}, 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            media = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if media is None or path.endswith("/items") or "$ref" not in media["schema"]:
                continue
            model = document["components"]["schemas"][media["schema"]["$ref"].rpartition("/")[2]]
            for name, field in model["properties"].items():
                kinds = {each.get("type") for each in (field, *field.get("anyOf", ()))}
                if kinds & {"integer", "number"} or (value == "1" and "boolean" in kinds):
                    answer = client.open(filled(path, ids_of), method=method, json={name: value})
                    assert (answer.status_code, answer.json["code"]) == (422, "invalid_params"), (path, name)
                    assert f"/{name}" in [mistake["pointer"] for mistake in answer.json["errors"]], (path, name)
                    tried += 1
    assert tried > 15
