"""Calls for operators: workers, queue, API keys, the server's health, metrics and contract."""

from collections.abc import Iterator
from typing import Any

import httpx

from .models import Backlog, Document, Readiness, Resource, Worker
from .names import DesiredState
from .transport import Connection, path_of


class Key(Resource):
    """An API key; `key` is the secret itself, present only in the answer that created it."""

    id: str
    name: str
    owner: str
    role: str
    key: str | None = None
    created_at: str | None = None
    revoked_at: str | None = None


class AdminCalls(Connection):
    """Workers, queue, keys and health of one server.

    Every call raises `Unreachable` if the server does not answer and, but for `readiness`, `ApiProblem` if it refuses.
    """

    def workers(self) -> list[Worker]:
        """Return all workers, by name."""
        return self._read_list(Worker, self._request("GET", "/v1/workers"), "workers")

    def set_worker_state(self, name: str, desired: DesiredState) -> Worker:
        """Have a worker `work`, `pause` after its job, or `drain`: hand its job back at once and take no other."""
        return self._get(Worker, "POST", path_of("/v1/workers", name, "resume" if desired == "work" else desired))

    def queue(self) -> Backlog:
        """Return how many jobs wait and run."""
        return self._get(Backlog, "GET", "/v1/queue")

    def pause_queue(self) -> Backlog:
        """Stop handing out jobs; running ones continue."""
        return self._get(Backlog, "POST", "/v1/queue/pause")

    def resume_queue(self) -> Backlog:
        """Hand out jobs again."""
        return self._get(Backlog, "POST", "/v1/queue/resume")

    def create_key(
        self,
        name: str,
        *,
        role: str = "client",
        owner: str | None = None,
        max_waiting: int | None = None,
        max_work_per_day: float | None = None,
        max_requests_per_min: int | None = None,
        max_retention_s: float | None = None,
        max_stored_bytes: int | None = None,
    ) -> Key:
        """Create a key; only the returned one contains the secret. A limit of None means the server's, or unlimited.

        `role` is `client`, `viewer` or `operator`; `owner` is by default the name. `max_waiting` counts queued jobs of
        the owner, `max_work_per_day` is in px·steps, `max_stored_bytes` counts uploads and results of the owner.

        Raises `ApiProblem` with the code `already_made` if the server created the key but its answer was lost: the
        secret cannot be sent again, so revoke the key, whose id the sentence names, and create another.
        """
        fields = {
            "name": name,
            "role": role,
            "owner": owner,
            "max_waiting": max_waiting,
            "max_work_per_day": max_work_per_day,
            "max_requests_per_min": max_requests_per_min,
            "max_retention_s": max_retention_s,
            "max_stored_bytes": max_stored_bytes,
        }
        body = {field: value for field, value in fields.items() if value is not None}
        return self._create(Key, "/v1/keys", json=body)

    def keys(self) -> Iterator[Key]:
        """Yield all keys, revoked ones included, oldest first."""
        return self._list(Key, "/v1/keys", "keys")

    def revoke_key(self, key_id: str) -> None:
        """Revoke a key permanently."""
        self._request("DELETE", path_of("/v1/keys", key_id))

    def metrics(self) -> str:
        """Return the server's metrics in the Prometheus text format."""
        return self._request("GET", "/metrics").text

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI 3.1 description of the whole API."""
        return self._get(Document, "GET", "/openapi.json").root

    def readiness(self) -> Readiness:
        """Return the server's health, asking once; raise `Unreachable` if it does not answer at all."""
        try:
            answer = self._http.get("/readyz")
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        return self._read(Readiness, answer)  # 503 has the same body
