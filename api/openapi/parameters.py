"""The parts that many descriptions share: parameters, headers, refusals and links, as OpenAPI writes them.

Each is derived from what a view declares, so that no route says twice what it takes or may answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from api.http import problems
from api.http.query import parameter_schemas
from shared import errors
from shared.errors import AtelierError

Part = dict[str, Any]

REF = "#/components/schemas/{model}"
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


def given(text: str, **schema: Any) -> Part:
    """Describe a parameter by its words and its JSON schema."""
    return {"description": text, "schema": schema}


#: Parameters of paths, by name; any other is some text.
_IN_PATH = {
    "job_id": given("The job's id.", type="string", format="uuid", pattern=f"^{_UUID}$"),
    "batch_id": given("The batch's id.", type="string", format="uuid", pattern=f"^{_UUID}$"),
    "operation_id": given("The operation's id.", type="string"),
    "image_id": given("The image's id, the hash of its bytes.", type="string", pattern="^sha256:[0-9a-f]{64}$"),
    "key_id": given("The key's id, which is no secret.", type="string"),
    "delivery_id": given("The delivery's id.", type="string"),
    "name": given("The worker's name, as it is listed.", type="string", pattern="^[A-Za-z0-9_.-]{1,200}$"),
}
#: Headers that a view may say it heeds.
_IN_HEADER = {
    "Idempotency-Key": given(
        "Makes it safe to send the request again: whatever brings the same key and asks the same is carried out once.",
        type="string",
        pattern="^[!-~]{1,255}$",
        examples=["order-1815"],
    ),
    "Prefer": given(
        "`wait=n` waits up to n seconds, 60 at most, for the job's end (a GET: for its next state).",
        type="string",
        examples=["wait=30"],
    ),
    "If-None-Match": given("An `ETag` that was given before; 304 if nothing is new.", type="string"),
    "Last-Event-ID": given("The id of the last event heard; the stream goes on after it.", type="string"),
    "Range": given("The bytes to send, for a download that is resumed.", type="string", examples=["bytes=0-1023"]),
}
#: Headers of answers.
_OF_ANSWER = {
    "X-Request-ID": given("Names the request in our log; the client's own if it sent one.", type="string"),
    "Location": given("Where the thing is.", type="string", format="uri-reference"),
    "Retry-After": given("When to look or try again, in seconds.", type="integer", minimum=0),
    "ETag": given("Names this version of the answer.", type="string"),
    "Link": given("`rel=next`: the page that follows, if there is one.", type="string"),
    "Content-Range": given("Which bytes these are, of how many.", type="string"),
    "Content-Disposition": given("A name for the file.", type="string"),
    "Idempotency-Replayed": given("`true` on an answer that was given before.", type="string", enum=["true"]),
    "Preference-Applied": given("The wait that was heeded.", type="string"),
    "WWW-Authenticate": given("How to bring a key.", type="string", enum=["Bearer"]),
}
#: Which a view's answer surely has, by its status; `X-Request-ID` is on each.
_SURE = {201: ("Location",), 202: ("Location",), 206: ("Content-Range",), 304: ("ETag",), 401: ("WWW-Authenticate",)}
#: Which it may have, by a request header that the view heeds.
_PERHAPS = {
    "Idempotency-Key": ("Idempotency-Replayed", "Retry-After"),
    "Prefer": ("Preference-Applied", "Retry-After"),
    "If-None-Match": ("ETag",),
    "Range": ("Content-Disposition",),
}

#: What path parameter the `id` of a resource is for.
_NAMED_BY_ID = {
    "JobView": "job_id",
    "BatchView": "batch_id",
    "ImageView": "image_id",
    "NewKeyView": "key_id",
    "DeliveryView": "delivery_id",
    "OperationView": "operation_id",
}


def parameters(in_path: Iterable[str], query: type[BaseModel] | None, headers: Iterable[str]) -> list[Part]:
    """Describe all parameters of an operation."""
    plain = {"schema": {"type": "string"}}
    return [
        *({"name": name, "in": "path", "required": True, **_IN_PATH.get(name, plain)} for name in in_path),
        *({"name": name, "in": "query", **_without_nul(part)} for name, part in query_parameters(query).items()),
        *({"name": name, "in": "header", **_IN_HEADER[name]} for name in headers),
    ]


def query_parameters(query: type[BaseModel] | None) -> dict[str, Part]:
    """Describe the parameters of a query, by name, those of paging last."""
    found = parameter_schemas(query) if query else {}
    return {name: found[name] for name in sorted(found, key=lambda name: (name == "limit", name == "cursor"))}


def answer_headers(status: int, heeded: Iterable[str] = (), *, is_page: bool = False) -> dict[str, Part]:
    """Describe the headers of an answer to a request whose `heeded` headers count."""
    sure = ("X-Request-ID", *_SURE.get(status, ()))
    perhaps = [name for header in heeded for name in _PERHAPS.get(header, ())] if status < 300 else []
    if is_page:
        perhaps.append("Link")
    return {name: _OF_ANSWER[name] for name in perhaps} | {
        name: {**_OF_ANSWER[name], "required": True} for name in sure
    }


def refusals(kinds: Iterable[type[AtelierError]]) -> dict[str, Part]:
    """Describe the answers that are problems, by status, with an example of each code."""
    by_status: dict[int, list[type[AtelierError]]] = {}
    for kind in dict.fromkeys(kinds):
        by_status.setdefault(problems.status_of(kind).value, []).append(kind)
    return {str(status): _refusal(status, by_status[status]) for status in sorted(by_status)}


def _refusal(status: int, kinds: list[type[AtelierError]]) -> Part:
    headers = answer_headers(status)
    if any(kind.retryable for kind in kinds):
        headers["Retry-After"] = _OF_ANSWER["Retry-After"] | {"required": all(kind.retryable for kind in kinds)}
    content = {
        "schema": {"$ref": REF.format(model="ProblemView")},
        "examples": {kind.code: {"summary": kind().message, "value": _example(kind)} for kind in kinds},
    }
    return {
        "description": " ".join(f"`{kind.code}`: {kind().message}" for kind in kinds),
        "headers": headers,
        "content": {problems.MEDIA_TYPE: content},
    }


def _example(kind: type[AtelierError]) -> Part:
    if kind is errors.InvalidParams:
        detail = "/params/steps: Input should be greater than or equal to 1."
        mistake = {"pointer": "/params/steps", "detail": detail, "ge": 1, "unit": "steps"}
        return problems.document(kind(f"The request has 1 mistake: {detail}", errors=[mistake]))
    return problems.document(kind())


def link_all(paths: dict[str, Part]) -> None:
    """Have each answer that makes or changes a thing say what can be done with it, by the thing's id."""
    for methods in paths.values():
        for method, described in methods.items():
            for answer in described["responses"].values() if method in ("post", "put") else ():
                links = _links(answer, paths)
                if links:
                    answer["links"] = links


def _links(answer: Part, paths: dict[str, Part]) -> dict[str, Part]:
    model = answer.get("content", {}).get("application/json", {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
    name = _NAMED_BY_ID.get(model)
    if name is None:
        return {}
    links = {
        described["operationId"]: {
            "operationId": described["operationId"],
            "parameters": {f"path.{name}": "$response.body#/id"},
        }
        for path, methods in paths.items()
        for method, described in methods.items()
        if f"{{{name}}}" in path and method != "put"
    }
    if model == "ImageView":
        both = {"content": "$response.body#/id", "style": "$response.body#/id"}
        links["jobs_submit"] = {"operationId": "jobs_submit", "requestBody": both}
    return links


def _without_nul(part: Part) -> Part:
    """Say that free text has no NUL, which PostgreSQL cannot store."""
    return {**part, "schema": {"pattern": "^[^\\u0000]*$", **part["schema"]}} if _is_free(part["schema"]) else part


def _is_free(schema: Part) -> bool:
    return schema.get("type") == "string" and "enum" not in schema


BINARY = {"type": "string", "format": "binary"}
