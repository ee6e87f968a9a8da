"""Scripts of other sites: which origins may call the API from a browser, and what they may read of its answers.

The origins are an explicit list, compared as a whole; Flask-Cors would read one with a bracket or a star as a pattern.
Scripts send a key as anyone does. Cookies never come along, as no answer allows credentials, and pages of the
dashboard answer no other origin at all.

Invariant: without a list of origins, answers are as if this module were not there.
"""

from flask import Flask, Response, request

#: Below these, answers may be read by the listed origins.
_SHARED = ("/v1/", "/openapi.json", "/healthz", "/readyz")
_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
#: What scripts may send; a test compares it with the headers that views declare.
ALLOWED_HEADERS = (
    "Authorization", "Content-Encoding", "Content-Type", "Idempotency-Key", "If-None-Match", "If-Range",
    "Last-Event-ID", "Prefer", "Range", "X-Request-ID",
)  # fmt: skip
#: What scripts may read; a test compares it with the headers that the description gives to answers.
EXPOSED_HEADERS = (
    "Accept-Ranges", "Content-Disposition", "Content-Range", "ETag", "Idempotency-Replayed", "Link", "Location",
    "Preference-Applied", "RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate", "X-Request-ID",
)  # fmt: skip
#: How long a browser may remember what it was allowed, in seconds.
_MAX_AGE_S = 600


def register(app: Flask, origins: frozenset[str]) -> None:
    """Let scripts of `origins` call the API of `app`; register this before whatever asks for a key."""
    if not origins:
        return

    @app.before_request
    def _preflight() -> Response | None:
        asked = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        return Response(status=204) if asked and _is_shared() else None

    @app.after_request
    def _share(response: Response) -> Response:
        if not _is_shared():
            return response
        response.vary.add("Origin")
        origin = request.headers.get("Origin", "")
        if origin in origins:
            response.headers["Access-Control-Allow-Origin"] = origin
            if request.method == "OPTIONS":
                response.headers["Access-Control-Allow-Methods"] = _METHODS
                response.headers["Access-Control-Allow-Headers"] = ", ".join(ALLOWED_HEADERS)
                response.headers["Access-Control-Max-Age"] = str(_MAX_AGE_S)
            else:
                response.headers["Access-Control-Expose-Headers"] = ", ".join(EXPOSED_HEADERS)
        return response


def _is_shared() -> bool:
    return request.path.startswith(_SHARED)
