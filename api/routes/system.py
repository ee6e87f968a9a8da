"""The service itself: health, readiness, its OpenAPI document and its documentation."""

from typing import Any, cast

from flask import Blueprint, Response, current_app, json, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from api.access import Access
from api.auth import public
from api.http import problems
from api.http.responses import json_response, model_response
from api.openapi.document import build
from api.openapi.operation import operation
from api.schemas.admin import HealthView, ReadinessView
from api.services import services
from shared import errors
from shared.errors import AtelierError
from shared.painting.params import PRESETS, StyleParams

blueprint = Blueprint("system", __name__)
#: Where an app keeps its OpenAPI document.
_EXTENSION = "atelier_description"


@blueprint.get("/healthz")
@operation(access=Access.PUBLIC, returns=HealthView)
def alive() -> Response:
    """Say whether the process is alive."""
    return model_response(HealthView(state="alive"))


@blueprint.get("/readyz")
@operation(access=Access.PUBLIC, returns=ReadinessView, errors=(errors.DatabaseUnavailable,))
def ready() -> Response:
    """Say whether requests can be served, and which parts work; 503 if not. The answer is up to a second old."""
    view = services().readiness.get()
    return model_response(view, 503 if view.state == "unavailable" else 200)


@blueprint.get("/openapi.json")
@public
def specification() -> Response:
    """Send the OpenAPI document, for the address at which it was asked for."""
    return json_response(json.dumps({**_document(), "servers": [{"url": _address()}]}))


@blueprint.get("/docs")
@public
def docs() -> str:
    """Show the documentation, made from the same declarations."""
    document = _document()
    answers = {AtelierError, *problems.STATUS}
    error_types = [(problems.status_of(each).value if each in answers else None, each) for each in errors.subclasses()]
    return render_template(
        "docs.html",
        document=document,
        groups=_groups(document),
        address=_address(),
        params=StyleParams.model_json_schema()["properties"],
        presets={name: text for name, (text, _) in PRESETS.items()},
        errors=sorted(error_types, key=lambda pair: (pair[0] or 1000, pair[1].code)),
    )


@blueprint.get("/")
@public
def home() -> AnyResponse:
    """Redirect browsers to the dashboard."""
    return redirect("/dashboard")


def _address() -> str:
    """Return where clients reach the API, without a slash at the end."""
    return request.url_root.rstrip("/")


def _document() -> dict[str, Any]:
    """Return the OpenAPI document, built once."""
    if _EXTENSION not in current_app.extensions:
        current_app.extensions[_EXTENSION] = build(current_app, services().settings.public_url or "/")
    return cast("dict[str, Any]", current_app.extensions[_EXTENSION])


def _groups(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Group the operations by tag."""
    calls = [
        {"path": path, "method": method, **described}
        for path, methods in document["paths"].items()
        for method, described in methods.items()
    ]
    return [{**tag, "calls": [call for call in calls if tag["name"] in call["tags"]]} for tag in document["tags"]]
