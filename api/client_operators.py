"""The client's calls for operators and probes: the workers, the queue, the server's health and figures."""

from __future__ import annotations

from typing import Any

import httpx
from pydantic import BaseModel

from api.client_http import Connection, path_of
from api.client_models import Backlog, Document, Readiness, Worker
from shared.states import Wish


class _Workers(BaseModel):
    workers: list[Worker]


class Operators(Connection):
    """The workers and the queue of one server."""

    def workers(self) -> list[Worker]:
        """Return all workers, by name."""
        return self._get(_Workers, "GET", "/v1/workers").workers

    def instruct_worker(self, name: str, wish: Wish) -> Worker:
        """Have a worker work, pause after its job, or drain: hand its job back at once and take no other."""
        verb = "resume" if wish == Wish.WORK else Wish(wish).value
        return self._get(Worker, "POST", path_of("/v1/workers", name, verb))

    def queue(self) -> Backlog:
        """Return what waits and runs."""
        return self._get(Backlog, "GET", "/v1/queue")

    def pause_queue(self) -> Backlog:
        """Have no more jobs handed out; those that run go on."""
        return self._get(Backlog, "POST", "/v1/queue/pause")

    def resume_queue(self) -> Backlog:
        """Have jobs handed out again."""
        return self._get(Backlog, "POST", "/v1/queue/resume")

    def metrics(self) -> str:
        """Return the server's figures in the text form of Prometheus."""
        return self._request("GET", "/metrics").text

    def openapi(self) -> dict[str, Any]:
        """Return the contract of the whole API, OpenAPI 3.1."""
        return self._get(Document, "GET", "/openapi.json").root

    def readiness(self) -> Readiness:
        """Ask how the server is, once; raise `Unreachable` if it does not answer at all."""
        try:
            answer = self._http.get("/readyz")
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        return self._read(Readiness, answer)  # 503 has the same body
