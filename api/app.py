"""The application factory. The app starts in about a second and loads neither TensorFlow nor the workers.

Every response has a request id, which the request's log lines have too, and the headers that keep a browser from
guessing types or running what strangers uploaded.
"""

import re
from collections.abc import Callable
from typing import Any

import structlog
from flask import Flask, Response, g, request

from api import auth, dashboard, services
from api import metrics as api_metrics
from api.http import access_log, cors, encodings, forms, problems, proxies, texts
from api.http.forms import BoundedRequest
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
from shared import ids
from shared.errors import NotFound
from shared.settings import Settings
from shared.texts import find_unprintable

#: Room for the JSON part and for what multipart adds around the files, in bytes.
_MULTIPART_OVERHEAD_BYTES = 2**20
_MAX_PARTS = 64
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
#: Allows styles and images from this origin; the dashboard has a policy of its own.
_CONTENT_POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"
#: How long browsers may not fall back from https, in seconds: a year.
_HTTPS_ONLY_S = 365 * 86_400
#: Response headers that name where to go.
_PATHS = ("Location", "HX-Redirect")


class _App(Flask):
    """Flask without async views: it would check each view and hook for being one, eight times a request."""

    request_class = BoundedRequest

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
        # a job may bring its content and its styles in one body
        MAX_CONTENT_LENGTH=4 * settings.max_upload_bytes + _MULTIPART_OVERHEAD_BYTES,
        MAX_FORM_MEMORY_SIZE=_MULTIPART_OVERHEAD_BYTES,
        MAX_FORM_PARTS=_MAX_PARTS,
    )
    app.config[forms.CONFIG] = forms.FormBounds(settings.max_upload_bytes, 4 * settings.max_upload_bytes)
    services.register(app, settings)
    problems.register(app)
    access_log.register(app)
    work = (images, jobs, outputs, batches, items, webhooks)
    for resource in (*work, keys, operators, operations, failures, audit, metrics, system):
        app.register_blueprint(resource.blueprint)
    dashboard.register(app)
    app.before_request(_begin)
    cors.register(app, settings.origins)
    encodings.register(app)
    api_metrics.register(app, services.services_of(app).metrics)
    auth.register(app)
    app.after_request(_finish)
    proxies.register(app, settings)
    return app


def _begin() -> None:
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else ids.new_id()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)
    if find_unprintable(request.path) is not None:  # nothing has such a name
        raise NotFound
    texts.check_fields(request.args)


def _finish(response: Response) -> Response:
    response.headers["X-Request-ID"] = g.get("request_id", "")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    response.headers.setdefault("Content-Security-Policy", _CONTENT_POLICY)
    if request.is_secure:
        response.headers["Strict-Transport-Security"] = f"max-age={_HTTPS_ONLY_S}"
    for name in _PATHS:
        path, root = response.headers.get(name, ""), request.script_root
        if path.startswith("/") and not path.startswith(f"{root}/"):  # views name paths of the app
            response.headers[name] = root + path
    return response
