"""Calls about pictures and jobs: upload, submit, follow, wait, cancel, retry, delete."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Unpack

import httpx

from .job_request import (
    FilterOptions,
    JobOptions,
    RetryOptions,
    Source,
    Style,
    filter_request,
    job_request,
    retry_request,
)
from .models import ApiProblem, DryRun, Event, EventsToken, Image, Job, Unreachable, WaitTimeout
from .sse import EventStream
from .transport import Connection, path_of

_JOBS, _IMAGES = "/v1/jobs", "/v1/images"
#: A stream that is silent for this long is dead: the server sends a heartbeat every 15 s.
_STREAM_SILENCE_S = 45.0
#: Attempts in a row to open an event stream before polling takes over.
_STREAM_ATTEMPTS = 6
#: How long the server is asked to hold one poll, in seconds; it may take as long again to answer.
_POLL_S = 30.0
#: Pause before the next poll if the server, which holds a limited number of polls, answered at once; in seconds.
_POLL_PAUSE_S = 0.5


class _DeadlineNear(Exception):
    """Less than `_POLL_S` is left to wait for a job: polling takes over.

    A poll ends on time, but a stream notices the time only with an event or a heartbeat, which may be 15 s away.
    """


class JobCalls(Connection):
    """Pictures and jobs.

    Every call raises `ApiProblem` if the server refuses it, with the code `not_found` for an unknown id, and
    `Unreachable` if the server does not answer. A call that reads a file raises `OSError` if it cannot.
    """

    # -- pictures

    def upload(self, image: Path | bytes) -> Image:
        """Upload an encoded picture; identical bytes always get the same id."""
        data = image.read_bytes() if isinstance(image, Path) else image
        headers = {"Content-Type": "application/octet-stream"}  # the server looks at the bytes, not at the name
        try:
            return self._create(Image, _IMAGES, content=data, headers=headers)
        except ApiProblem as problem:
            if not isinstance(image, Path) or problem.status in (401, 403):
                raise
            raise problem.about(str(image)) from problem  # several pictures may have been given

    def image(self, image_id: str) -> Image:
        """Return the size and format of an uploaded picture."""
        return self._get(Image, "GET", path_of(_IMAGES, image_id))

    def has_image(self, image_id: str) -> bool:
        """Say whether the server has the picture with that id."""
        try:
            self.image(image_id)
        except ApiProblem as problem:
            if problem.code != "not_found":
                raise
            return False
        return True

    # -- jobs

    def submit(
        self,
        content: Source,
        styles: Sequence[Style],
        *,
        idempotency_key: str | None = None,
        **options: Unpack[JobOptions],
    ) -> Job:
        """Upload every source that is not an id yet, and submit a job.

        Retries of a lost request never create a second job, nor do several calls with the same `idempotency_key`,
        which must be about the same job: else the code is `idempotency_conflict`. Raises `ValueError` for more masks
        than styles.
        """
        request = job_request(content, styles, options, self._image_id)
        return self._create(Job, _JOBS, idempotency_key, json=request)

    def put(self, job_id: str, content: Source, styles: Sequence[Style], **options: Unpack[JobOptions]) -> Job:
        """Submit a job under your own UUID, in lower case.

        An identical request returns the existing job; a different one raises `ApiProblem` with the code `id_taken`.
        """
        request = job_request(content, styles, options, self._image_id)
        return self._get(Job, "PUT", path_of(_JOBS, job_id), json=request)

    def dry_run(self, content: Source, styles: Sequence[Style], **options: Unpack[JobOptions]) -> DryRun:
        """Upload every source that is not an id yet and predict what `submit` would take, without queueing a job."""
        request = job_request(content, styles, options, self._image_id)
        return self._create(DryRun, _JOBS, json=request, params={"dry_run": "true"})

    def job(self, job_id: str) -> Job:
        """Return the current state of a job."""
        return self._get(Job, "GET", path_of(_JOBS, job_id))

    def jobs(self, *, limit: int | None = None, **filters: Unpack[FilterOptions]) -> Iterator[Job]:
        """Yield the jobs that match every given filter, newest first: up to `limit`, or all."""
        return self._list(Job, _JOBS, "jobs", filter_request(filters), limit)

    def cancel(self, job_id: str) -> Job:
        """Cancel a queued job at once, a running one at its next step; return it as it is now.

        Canceling twice is allowed; for a job that ended otherwise the code is `illegal_transition`.
        """
        return self._get(Job, "POST", path_of(_JOBS, job_id, "cancel"))

    def retry(self, job_id: str, *, idempotency_key: str | None = None, **changes: Unpack[RetryOptions]) -> Job:
        """Submit an ended job again, with `changes`; return the new job, whose `retry_of` names the old one.

        For a job that has not ended the code is `illegal_transition`.
        """
        body = {"json": retry_request(changes)} if changes else {}
        return self._create(Job, path_of(_JOBS, job_id, "retry"), idempotency_key, **body)

    def set_strength(self, job_id: str, strength: float) -> Job:
        """Save how strongly an ended job's painting shows wherever no strength is named; return the job.

        From 0, the photograph, to 1, as painted. Before the job has ended the code is `not_finished`.
        """
        return self._get(Job, "PUT", path_of(_JOBS, job_id, "strength"), json={"strength": strength})

    def delete(self, job_id: str) -> None:
        """Delete an ended job and its files; for one that has not ended the code is `illegal_transition`."""
        try:
            self._request("DELETE", path_of(_JOBS, job_id))
        except ApiProblem as problem:
            if not (problem.repeated and problem.code == "not_found"):  # an earlier attempt deleted it
                raise

    # -- following

    def events(self, job_id: str) -> Iterator[Event]:
        """Yield all past and future events of a job until it ends, reconnecting when the connection is lost.

        Raises `Unreachable` after six attempts in a row that brought nothing.
        """
        return iter(self._event_stream(job_id))

    def events_token(self, job_id: str) -> EventsToken:
        """Return a URL that opens the job's events for a minute without a key, for a browser's `EventSource`."""
        return self._get(EventsToken, "POST", path_of(_JOBS, job_id, "events-token"))

    def wait(
        self, job_id: str, timeout_s: float | None = None, *, on_event: Callable[[Event], None] = lambda _event: None
    ) -> Job:
        """Return the job once it has ended, however it did, passing each event to `on_event`.

        Raises `WaitTimeout` if it has not ended after `timeout_s` seconds; None waits as long as it takes. Where no
        stream can be opened or little time is left, the job is polled, and `on_event` is not called.
        """
        deadline = float("inf") if timeout_s is None else self._clock() + timeout_s

        def check_deadline() -> None:
            if deadline - self._clock() < _POLL_S:
                raise _DeadlineNear

        stream, over = self._event_stream(job_id, check_deadline), False
        while True:
            if not over:
                with contextlib.suppress(Unreachable, _DeadlineNear):
                    for event in stream:
                        on_event(event)
                    over = True  # the last event may arrive moments before the database has the state
            job = self._poll(job_id, deadline)
            if job.ended:
                return job
            if self._clock() >= deadline:
                raise WaitTimeout(f"Job {job_id} is still {job.state} after {timeout_s:g} s.")

    def _poll(self, job_id: str, deadline: float) -> Job:
        """Request a job; the server holds the request until the state changes, `_POLL_S` pass or `deadline` comes."""
        began_at = self._clock()
        wait_s = max(0.0, min(_POLL_S, deadline - began_at))
        timeout = httpx.Timeout(self._http.timeout.connect, read=wait_s + _POLL_S)
        query = {"wait": f"{wait_s:.3f}"} if wait_s else None
        job = self._get(Job, "GET", path_of(_JOBS, job_id), params=query, timeout=timeout)
        if not job.ended and self._clock() - began_at < min(wait_s, _POLL_PAUSE_S):  # the server holds too many polls
            self._sleep(min(wait_s, _POLL_PAUSE_S))
        return job

    def _event_stream(self, job_id: str, on_activity: Callable[[], None] = lambda: None) -> EventStream:
        def open_stream(after: str | None) -> contextlib.AbstractContextManager[httpx.Response]:
            on_activity()
            headers = {"Accept": "text/event-stream", **({"Last-Event-ID": after} if after else {})}
            timeout = httpx.Timeout(self._http.timeout.connect, read=_STREAM_SILENCE_S)
            return self._stream(path_of(_JOBS, job_id, "events"), headers=headers, timeout=timeout)

        return EventStream(open_stream, attempts=_STREAM_ATTEMPTS, sleep=self._sleep, on_activity=on_activity)

    def _image_id(self, source: Source) -> str:
        return source if isinstance(source, str) else self.upload(source).id
