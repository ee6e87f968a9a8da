"""The parts of the document that operations share: parameters, headers, errors and links.

Each is derived from a view's contract, so no route repeats what it accepts or returns. A new kind of path parameter or
header is described once, in the tables below; the document cannot be built while a view names a header that is missing.
"""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from api.http import problems
from api.http.query import parameter_schemas
from shared import errors
from shared.errors import AtelierError
from shared.texts import PRINTABLE_PATTERN

#: A piece of the document.
JsonObject = dict[str, Any]

#: The reference to a model's schema, by the model's name.
REF = "#/components/schemas/{model}"
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


def parameter(text: str, **schema: Any) -> JsonObject:
    """Describe a parameter, or a header, by a text and a JSON schema."""
    return {"description": text, "schema": schema}


#: Path parameters, by name; others are plain text.
_IN_PATH = {
    "job_id": parameter("The job's ID.", type="string", format="uuid", pattern=f"^{_UUID}$"),
    "batch_id": parameter("The batch's ID.", type="string", format="uuid", pattern=f"^{_UUID}$"),
    "operation_id": parameter("The bulk action's ID.", type="string"),
    "image_id": parameter("The image's ID, a hash of its bytes.", type="string", pattern="^sha256:[0-9a-f]{64}$"),
    "key_id": parameter("The key's ID, which is not secret.", type="string"),
    "delivery_id": parameter("The delivery's ID.", type="string"),
    "name": parameter("The worker's name.", type="string", pattern="^[A-Za-z0-9_.-]{1,200}$"),
}
#: Request headers that a view may declare.
_IN_HEADER = {
    "Idempotency-Key": parameter(
        "Makes a repeated request safe: requests with the same key and the same content are carried out once.",
        type="string",
        pattern="^[!-~]{1,255}$",
        examples=["order-1815"],
    ),
    "Prefer": parameter(
        "`wait=n` waits up to n seconds, at most 60, for the job to end, or in a GET for its next state.",
        type="string",
        examples=["wait=30"],
    ),
    "If-None-Match": parameter("The `ETag` of an earlier response; 304 if it is still current.", type="string"),
    "Last-Event-ID": parameter("The ID of the last event received; the stream resumes after it.", type="string"),
    "X-Request-ID": parameter("Identifies the request in the log and in its response.", type="string"),
    "Range": parameter("The bytes to send, to resume a download.", type="string", examples=["bytes=0-1023"]),
    "If-Range": parameter(
        "The `ETag` of the part that is there already; another version is sent whole.", type="string"
    ),
}
#: The request headers that a view reads which sends a file.
FILE_HEADERS = ("If-None-Match", "Range", "If-Range")
#: Response headers.
_OF_RESPONSE = {
    "X-Request-ID": parameter("Identifies the request in the log; the client's own if it sent one.", type="string"),
    "Location": parameter("The URL of the resource.", type="string", format="uri-reference"),
    "Retry-After": parameter("When to poll or try again, in seconds.", type="integer", minimum=0),
    "ETag": parameter("Identifies this version of the response.", type="string"),
    "Link": parameter("`rel=next`: the next page, if there is one.", type="string"),
    "Content-Range": parameter("The range of bytes sent, and the total.", type="string"),
    "Accept-Ranges": parameter("`bytes` if a download can be resumed, else `none`.", type="string"),
    "Content-Disposition": parameter("A file name.", type="string"),
    "Idempotency-Replayed": parameter("`true` if it repeats an earlier response.", type="string", enum=["true"]),
    "Preference-Applied": parameter("The wait that was applied.", type="string"),
    "WWW-Authenticate": parameter("How to authenticate.", type="string", enum=["Bearer"]),
}
#: Headers that a response always has, by status; every one has `X-Request-ID`.
_ALWAYS = {201: ("Location",), 202: ("Location",), 206: ("Content-Range",), 304: ("ETag",), 401: ("WWW-Authenticate",)}
_ALWAYS[416] = ("Content-Range",)
#: Headers that it may have, by the request header that the view reads.
_OPTIONAL = {
    "Idempotency-Key": ("Idempotency-Replayed", "Retry-After"),
    "Prefer": ("Preference-Applied", "Retry-After"),
    "If-None-Match": ("ETag",),
    "Range": ("Content-Disposition", "Accept-Ranges"),
}

#: The path parameter that takes the `id` of each model.
_ID_PARAMETERS = {
    "JobView": "job_id",
    "BatchView": "batch_id",
    "ImageView": "image_id",
    "NewKeyView": "key_id",
    "DeliveryView": "delivery_id",
    "OperationView": "operation_id",
}


def parameters(in_path: Iterable[str], query: type[BaseModel] | None, headers: Iterable[str]) -> list[JsonObject]:
    """Describe all parameters of an operation."""
    plain = {"schema": {"type": "string"}}
    return [
        *({"name": name, "in": "path", "required": True, **_IN_PATH.get(name, plain)} for name in in_path),
        *(
            {"name": name, "in": "query", **_of_printable_text(described)}
            for name, described in query_parameters(query).items()
        ),
        *({"name": name, "in": "header", **_IN_HEADER[name]} for name in headers),
    ]


def query_parameters(query: type[BaseModel] | None) -> dict[str, JsonObject]:
    """Describe the query parameters by name, those of paging last."""
    found = parameter_schemas(query) if query else {}
    return {name: found[name] for name in sorted(found, key=lambda name: (name == "limit", name == "cursor"))}


def response_headers(
    status: int, request_headers: Iterable[str] = (), *, is_page: bool = False
) -> dict[str, JsonObject]:
    """Describe the headers of a response by a view that reads `request_headers`."""
    required = ("X-Request-ID", *_ALWAYS.get(status, ()))
    optional = [name for header in request_headers for name in _OPTIONAL.get(header, ())] if status < 300 else []
    if is_page:
        optional.append("Link")
    return {name: _OF_RESPONSE[name] for name in optional} | {
        name: {**_OF_RESPONSE[name], "required": True} for name in required
    }


def problem_responses(error_types: Iterable[type[AtelierError]]) -> dict[str, JsonObject]:
    """Describe the problem responses by status, with an example of each code."""
    by_status: dict[int, list[type[AtelierError]]] = {}
    for error_type in dict.fromkeys(error_types):
        by_status.setdefault(problems.status_of(error_type).value, []).append(error_type)
    return {str(status): _problem_response(status, by_status[status]) for status in sorted(by_status)}


def _problem_response(status: int, error_types: list[type[AtelierError]]) -> JsonObject:
    headers = response_headers(status)
    if any(each.retryable for each in error_types):
        headers["Retry-After"] = _OF_RESPONSE["Retry-After"] | {"required": all(each.retryable for each in error_types)}
    content = {
        "schema": {"$ref": REF.format(model="ProblemView")},
        "examples": {each.code: {"summary": each().message, "value": _example(each)} for each in error_types},
    }
    return {
        "description": " ".join(f"`{each.code}`: {each().message}" for each in error_types),
        "headers": headers,
        "content": {problems.MEDIA_TYPE: content},
    }


def _example(error_type: type[AtelierError]) -> JsonObject:
    if error_type is errors.InvalidParams:
        detail = "/params/steps: Input should be greater than or equal to 1."
        invalid = {"pointer": "/params/steps", "detail": detail, "ge": 1, "unit": "steps"}
        return problems.document(error_type(f"The request has 1 mistake: {detail}", errors=[invalid]))
    return problems.document(error_type())


def link_all(paths: dict[str, JsonObject]) -> None:
    """Link each response that creates or changes a resource to the operations that take its ID."""
    for methods in paths.values():
        for method, operation in methods.items():
            for response in operation["responses"].values() if method in ("post", "put") else ():
                links = _links(response, paths)
                if links:
                    response["links"] = links


def _links(response: JsonObject, paths: dict[str, JsonObject]) -> dict[str, JsonObject]:
    model = response.get("content", {}).get("application/json", {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
    name = _ID_PARAMETERS.get(model)
    if name is None:
        return {}
    links = {
        operation["operationId"]: {
            "operationId": operation["operationId"],
            "parameters": {f"path.{name}": "$response.body#/id"},
        }
        for path, methods in paths.items()
        for method, operation in methods.items()
        if f"{{{name}}}" in path and method != "put"
    }
    if model == "ImageView":
        both = {"content": "$response.body#/id", "style": "$response.body#/id"}
        links["jobs_submit"] = {"operationId": "jobs_submit", "requestBody": both}
    return links


def _of_printable_text(described: JsonObject) -> JsonObject:
    return {**described, "schema": printable_text(described["schema"])}


def printable_text(schema: JsonObject) -> JsonObject:
    """Add to the schema of a free text that it has no control characters; leave any other schema as it is."""
    is_free = schema.get("type") == "string" and not {"enum", "pattern", "format", "const"} & schema.keys()
    return {**schema, "pattern": PRINTABLE_PATTERN} if is_free else schema


#: The schema of a file's bytes.
BINARY = {"type": "string", "format": "binary"}
