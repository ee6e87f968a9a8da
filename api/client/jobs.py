"""The client's calls about images and jobs: upload, submit, follow, wait, cancel, try again, delete."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Unpack

import httpx
from pydantic import BaseModel

from api.client.job_request import Source, Style, Wishes, job_request
from api.client.models import ApiProblem, DryRun, Event, Image, Job, Overdue, Unreachable
from api.client.sse import Follower
from api.client.transport import Connection, path_of

_JOBS, _IMAGES = "/v1/jobs", "/v1/images"
#: Jobs asked for at a time.
_PAGE = 100
#: A stream that is silent for this long is dead: the server sends a heartbeat every 15 s.
_STREAM_SILENCE_S = 45.0
#: How often in a row an event stream is opened in vain before polling takes over.
_STREAM_ATTEMPTS = 6
#: Longest time for which one poll is left waiting, and how soon another follows one that did not wait; in seconds.
_POLL_S, _POLL_PAUSE_S = 30.0, 0.5


class _Page(BaseModel):
    jobs: list[Job]


class _Late(Exception):
    """Too little time is left for a stream, whose silence is noticed late."""


class Jobs(Connection):
    """Images and jobs of one server."""

    # -- images

    def upload(self, image: Path | bytes) -> Image:
        """Upload an encoded picture; the same bytes always get the same id."""
        data = image.read_bytes() if isinstance(image, Path) else image
        headers = {"Content-Type": "application/octet-stream"}  # the server looks at the bytes, not at the name
        try:
            return self._make(Image, _IMAGES, content=data, headers=headers)
        except ApiProblem as problem:
            if not isinstance(image, Path) or problem.status in (401, 403):
                raise
            raise problem.about(str(image)) from problem  # say which of the pictures it was

    def image(self, image_id: str) -> Image:
        """Describe an uploaded picture; a problem `not_found` if the server has none of that id."""
        return self._get(Image, "GET", path_of(_IMAGES, image_id))

    # -- jobs

    def submit(
        self,
        content: Source,
        styles: Sequence[Style],
        *,
        idempotency_key: str | None = None,
        **wishes: Unpack[Wishes],
    ) -> Job:
        """Upload what is not an id yet and ask for a picture; a style may come with its share in the blend.

        However often a request is lost on its way, one job is made; so it is over several calls with the same
        `idempotency_key`.
        """
        request = job_request(content, styles, wishes, self._image_id)
        return self._make(Job, _JOBS, idempotency_key, json=request)

    def put(self, job_id: str, content: Source, styles: Sequence[Style], **wishes: Unpack[Wishes]) -> Job:
        """Submit under a UUID of your own; the same again returns that job, and another is a problem `id_taken`."""
        request = job_request(content, styles, wishes, self._image_id)
        return self._get(Job, "PUT", path_of(_JOBS, job_id), json=request)

    def dry_run(self, content: Source, styles: Sequence[Style], **wishes: Unpack[Wishes]) -> DryRun:
        """Upload what is not an id yet and ask what `submit` would do and what that would take; nothing is queued."""
        request = job_request(content, styles, wishes, self._image_id)
        return self._make(DryRun, _JOBS, json=request, params={"dry_run": "true"})

    def job(self, job_id: str) -> Job:
        """Return a job as it is now."""
        return self._get(Job, "GET", path_of(_JOBS, job_id))

    def jobs(
        self,
        *,
        states: Sequence[str] = (),
        label: str | None = None,
        owner: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        code: str | None = None,
        batch: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Job]:
        """Yield jobs, newest first, page by page as they are asked for; at most `limit` of them.

        Only those in one of `states`, with that `label`, of that `owner`, made between those moments with their zones,
        that failed by the error of that `code`, and are items of that `batch`.
        """
        after, before = (
            moment and moment.isoformat(timespec="milliseconds") for moment in (created_after, created_before)
        )
        query = {
            "state": list(states),
            "label": label,
            "owner": owner,
            "created_after": after,
            "created_before": before,
            "code": code,
            "batch": batch,
            "limit": min(limit or _PAGE, _PAGE),
        }
        pages = self._pages(_JOBS, {name: value for name, value in query.items() if value})
        yield from itertools.islice(itertools.chain.from_iterable(pages), limit)

    def _pages(self, url: str, query: dict[str, Any] | None) -> Iterator[list[Job]]:
        while url:
            answer = self._request("GET", url, params=query)
            yield self._read(_Page, answer).jobs
            url, query = answer.links.get("next", {}).get("url", ""), None

    def cancel(self, job_id: str) -> Job:
        """Cancel a queued job at once, a running one at its next step."""
        return self._get(Job, "POST", path_of(_JOBS, job_id, "cancel"))

    def retry(self, job_id: str, *, idempotency_key: str | None = None) -> Job:
        """Ask again for what a job that has ended asked for; return the new job, which names it in `retry_of`."""
        return self._make(Job, path_of(_JOBS, job_id, "retry"), idempotency_key)

    def delete(self, job_id: str) -> None:
        """Forget a job that has ended, and its files."""
        try:
            self._request("DELETE", path_of(_JOBS, job_id))
        except ApiProblem as problem:
            if not (problem.repeated and problem.code == "not_found"):  # the first try's answer was lost
                raise

    # -- following

    def events(self, job_id: str) -> Iterator[Event]:
        """Yield everything that happened and happens to a job until it ends, through lost connections."""
        return iter(self._follower(job_id))

    def wait(
        self, job_id: str, timeout_s: float | None = None, *, on_event: Callable[[Event], None] = lambda _event: None
    ) -> Job:
        """Return the job once it has ended; `on_event` hears what happens meanwhile. Raise `Overdue` when time is up.

        It follows the events, and polls where there is no stream to be had or little time is left.
        """
        deadline = float("inf") if timeout_s is None else self._clock() + timeout_s

        def watch_time() -> None:
            if deadline - self._clock() < _POLL_S:
                raise _Late

        follower, over = self._follower(job_id, watch_time), False
        while True:
            if not over:
                with contextlib.suppress(Unreachable, _Late):
                    for event in follower:
                        on_event(event)
                    over = True  # the last event may overtake the database by a moment
            job = self._poll(job_id, deadline)
            if job.ended:
                return job
            if self._clock() >= deadline:
                raise Overdue(f"Job {job_id} is still {job.state} after {timeout_s:g} s.")

    def _poll(self, job_id: str, deadline: float) -> Job:
        """Ask for a job, leaving the request with the server until its state changes or there is no more time."""
        began_at = self._clock()
        wait_s = max(0.0, min(_POLL_S, deadline - began_at))
        timeout = httpx.Timeout(self._http.timeout.connect, read=wait_s + _POLL_S)
        query = {"wait": f"{wait_s:.3f}"} if wait_s else None
        job = self._get(Job, "GET", path_of(_JOBS, job_id), params=query, timeout=timeout)
        if not job.ended and self._clock() - began_at < min(wait_s, _POLL_PAUSE_S):  # it had no room to let us wait
            self._sleep(min(wait_s, _POLL_PAUSE_S))
        return job

    def _follower(self, job_id: str, watch_time: Callable[[], None] = lambda: None) -> Follower:
        def open_stream(after: str | None) -> contextlib.AbstractContextManager[httpx.Response]:
            watch_time()
            headers = {"Accept": "text/event-stream", **({"Last-Event-ID": after} if after else {})}
            timeout = httpx.Timeout(self._http.timeout.connect, read=_STREAM_SILENCE_S)
            return self._stream(path_of(_JOBS, job_id, "events"), headers=headers, timeout=timeout)

        return Follower(open_stream, attempts=_STREAM_ATTEMPTS, sleep=self._sleep, heard=watch_time)

    def _image_id(self, source: Source) -> str:
        return source if isinstance(source, str) else self.upload(source).id
