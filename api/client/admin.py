"""The client's calls for operators and probes: the workers, the queue, the server's health and figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from api.client.models import Answer, Backlog, Document, Readiness, Worker
from api.client.transport import Connection, path_of
from shared.states import DesiredState


class _Workers(BaseModel):
    workers: list[Worker]


class Operators(Connection):
    """The workers and the queue of one server."""

    def workers(self) -> list[Worker]:
        """Return all workers, by name."""
        return self._get(_Workers, "GET", "/v1/workers").workers

    def instruct_worker(self, name: str, wish: DesiredState) -> Worker:
        """Have a worker work, pause after its job, or drain: hand its job back at once and take no other."""
        verb = "resume" if wish == DesiredState.WORK else DesiredState(wish).value
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


class Key(Answer):
    """A key to the API; `key` is what opens, and there only when it was just made."""

    id: str
    name: str
    owner: str
    role: str
    key: str | None = None
    created_at: str | None = None
    revoked_at: str | None = None


class _Page(BaseModel):
    keys: list[Key]


class KeyCalls(Connection):
    """What an operator does with keys."""

    def create_key(self, name: str, *, role: str = "client", owner: str | None = None, **limits: Any) -> Key:
        """Make a key; its `key` is shown this once. `limits` are those of `POST /v1/keys`.

        However often the request is lost on its way, one key is made. If the answer was lost, that is a problem
        `already_made`, which names the key: revoke it and make another.
        """
        asked = {"name": name, "role": role, "owner": owner, **limits}
        body = {field: value for field, value in asked.items() if value is not None}
        return self._make(Key, "/v1/keys", json=body)

    def keys(self) -> Iterator[Key]:
        """Yield all keys, revoked ones too, oldest first."""
        url = "/v1/keys"
        while url:
            answer = self._request("GET", url)
            yield from self._read(_Page, answer).keys
            url = answer.links.get("next", {}).get("url", "")

    def revoke_key(self, key_id: str) -> None:
        """Have a key open nothing any more."""
        self._request("DELETE", f"/v1/keys/{quote(key_id, safe='')}")
