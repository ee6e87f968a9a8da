"""Receivers of webhooks: real HTTP servers on this machine that behave as they are told."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

ALLOWED = "127.0.0.0/8"


class Call(NamedTuple):
    """What a receiver was sent."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """A server at `url`, and every call that it got."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.calls: list[Call] = []
        self.ending = threading.Event()


@contextmanager
def receiving(
    answer: Callable[[BaseHTTPRequestHandler, Receiver], None], *, certificate: str | None = None
) -> Iterator[Receiver]:
    """Run a server that answers each POST by `answer`, by TLS where it has a certificate, with its key in one file."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            receiver.calls.append(Call(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            answer(self, receiver)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}/hook")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.ending.set()
        server.shutdown()
        thread.join()
        server.server_close()


def answering(status: int, **headers: str) -> Callable[[BaseHTTPRequestHandler, Receiver], None]:
    """Answer with a status and an empty body."""

    def answer(handler: BaseHTTPRequestHandler, _: Receiver) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def hanging(handler: BaseHTTPRequestHandler, receiver: Receiver) -> None:
    """Never answer."""
    receiver.ending.wait(30)


def dripping(handler: BaseHTTPRequestHandler, receiver: Receiver) -> None:
    """Answer a byte at a time, for ever."""
    try:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        while not receiver.ending.wait(0.05):
            handler.wfile.write(b"x")
    except OSError:
        return


def closing(handler: BaseHTTPRequestHandler, _: Receiver) -> None:
    """Close the connection without an answer."""
    handler.connection.close()
