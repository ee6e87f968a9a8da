"""The Flask app, made by a factory. Starts in about a second and loads neither TensorFlow nor the workers.

Every answer has a request id, which the log lines of that request carry too, and the headers that keep a
browser from guessing types or running what strangers uploaded.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import structlog
from flask import Flask, Response, g, request

from api import auth, dashboard
from api import metrics as api_metrics
from api.http import access_log, problems
from api.routes import (
    audit,
    batches,
    failures,
    images,
    items,
    jobs,
    keys,
    metrics,
    operations,
    operators,
    outputs,
    system,
    webhooks,
)
from api.services import open_services
from shared import ids
from shared.errors import InvalidParams, NotFound
from shared.settings import Settings

#: What multipart adds around the files, in bytes, with room for the JSON part.
_MULTIPART_OVERHEAD_BYTES = 2**20
_MAX_PARTS = 64
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
#: Styles come from our own files; scripts, frames and everything else are refused.
_CONTENT_POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"


class _App(Flask):
    """Flask, where every view and hook is a plain function: it would look again, eight times a request."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func


def create_app(settings: Settings | None = None) -> Flask:
    """Make the app for `settings`, by default those of the environment."""
    settings = settings or Settings.load()
    app = _App(
        "api",
        static_folder="dashboard/static",
        static_url_path="/static/dashboard",
        template_folder="dashboard/templates",
    )
    app.config.update(
        # a job brings its content and its styles in one body
        MAX_CONTENT_LENGTH=4 * settings.max_upload_bytes + _MULTIPART_OVERHEAD_BYTES,
        MAX_FORM_MEMORY_SIZE=_MULTIPART_OVERHEAD_BYTES,
        MAX_FORM_PARTS=_MAX_PARTS,
    )
    app.extensions["atelier"] = open_services(settings)
    problems.register(app)
    access_log.register(app)
    work = (images, jobs, outputs, batches, items, webhooks)
    for resource in (*work, keys, operators, operations, failures, audit, metrics, system):
        app.register_blueprint(resource.blueprint)
    dashboard.register(app)
    app.before_request(_begin)
    api_metrics.register(app, app.extensions["atelier"])
    auth.register(app)
    app.after_request(_finish)
    return app


def _begin() -> None:
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else ids.new_id()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)
    _refuse_nul()


def _refuse_nul() -> None:
    """Let no NUL through to the database, where PostgreSQL has no place for one."""
    if "\0" in request.path:
        raise NotFound
    names = [name for name, value in request.args.items(multi=True) if "\0" in value]
    if names:
        mistake = {"pointer": names[0], "detail": "no character NUL"}
        raise InvalidParams(f"{names[0]} has a character NUL.", errors=[mistake])


def _finish(response: Response) -> Response:
    response.headers["X-Request-ID"] = g.get("request_id", "")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    response.headers.setdefault("Content-Security-Policy", _CONTENT_POLICY)
    return response
