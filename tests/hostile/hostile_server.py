"""A server of the API's own kind whose every text would control a terminal: it answers with the description's examples.

So a command that prints a text of the server's in a new place is tried without being named here.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: A title, a cleared screen, a colour, one of C1, an override, a line break, and rich's own markup.
HOSTILE = "\x1b]0;evil\x07\x1b[2J\x1b[31m\x9b2J\u202e\u2028\n[red]"
#: Texts that a client must be able to read, as they are.
_AS_IT_IS = re.compile(r"\d{4}-\d\d-\d\dT.*|sha256:[0-9a-f]{64}")


def hostile(value: Any, *, kept: frozenset[str] = frozenset()) -> Any:
    """Add hostile characters to every text inside a value, and to every name of a further field in `metadata`."""
    if isinstance(value, dict):
        return {name: inner if name in kept else hostile(inner, kept=kept) for name, inner in value.items()}
    if isinstance(value, list):
        return [hostile(inner, kept=kept) for inner in value]
    is_text = isinstance(value, str) and not _AS_IT_IS.fullmatch(value)
    return f"{value}{HOSTILE}" if is_text else value


def answers(document: dict[str, Any]) -> list[tuple[str, re.Pattern[str], str, bytes]]:
    """Return what each operation answers: method, path, media type and body."""
    found = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            pattern = re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)))
            good = next(answer for status, answer in operation["responses"].items() if status.startswith("2"))
            media = next(iter(good.get("content", {"": {}})))
            schema = good.get("content", {}).get(media, {}).get("schema", {})
            found.append((method.upper(), pattern, media, _body(document, media, schema)))
    return found


def _body(document: dict[str, Any], media: str, schema: dict[str, Any]) -> bytes:
    model = document["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], {})
    example = model.get("examples", [{}])[0]
    if media == "application/json":
        return json.dumps(hostile(_told(example), kept=frozenset({"state"} if "ended_at" in example else ()))).encode()
    if media == "application/x-ndjson":
        return json.dumps(hostile(_told(example))).encode() + b"\n"
    if media == "text/event-stream":
        event = {"state": f"succeeded{HOSTILE}", HOSTILE: HOSTILE}
        lines = [f"event: odd\ndata: {json.dumps(event)}\n\n", 'event: end\ndata: {"state": "succeeded"}\n\n']
        return "".join(lines).encode()
    return f"a{HOSTILE}b".encode()


def _told(example: dict[str, Any]) -> dict[str, Any]:
    """Fill in what the examples leave out, so that every text is there."""
    told = dict(example)
    if "ended_at" in told:  # a job or a batch, whose end some commands await
        told |= {"state": "succeeded", "ended_at": "2026-01-31T12:00:00Z"}
    if "label" in told:
        told |= {"label": "label", "error": {"code": "code", "message": "message", "retryable": False}}
        told |= {"weights": {"name": "name", "sha256": "", "reason": "reason"}, "webhook": "https://a.example"}
    return told


@contextmanager
def serving_hostile(document: dict[str, Any], *, refusing: bool) -> Iterator[str]:
    """Serve such answers, or refuse every request with a hostile problem; give the address."""
    table = answers(document)
    problem = hostile({"type": "/docs", "title": "title", "status": 422, "detail": "detail", "code": "code"})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            found = [
                (media, body) for method, at, media, body in table if method == self.command and at.fullmatch(path)
            ]
            media, body = found[0] if found else ("application/json", b"{}")
            if refusing:
                media, body = "application/problem+json", json.dumps(problem).encode()
            self.send_response(422 if refusing else 200)
            self.send_header("Content-Type", media)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_DELETE = do_PATCH = do_GET  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
