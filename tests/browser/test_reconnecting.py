"""Followers of other makes, a browser's own EventSource and httpx-sse, over an API that is killed meanwhile."""

import json
import threading
from contextlib import suppress

import httpx
import httpx_sse
import psutil

from api.client import ApiProblem
from tests.support.waiting import wait_until

#: Collects what an EventSource hears, in `heard`.
_FOLLOW = """
url => {
  const source = window.source = new EventSource(url);
  window.heard = [];
  for (const name of ["message", "state", "step", "gap", "end"]) {
    source.addEventListener(name, event => heard.push([name, event.data]));
  }
}
"""


class Httpx:
    """Follows a job by httpx-sse, reconnecting as its documentation advises, until the server has no more to say."""

    def __init__(self, url: str, key: str, job_id: str) -> None:
        self.heard: list[tuple[str, str]] = []
        self.last_answer = 0
        self._url, self._key = f"{url}/v1/jobs/{job_id}/events", key
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        last_id, headers = "", {"Authorization": f"Bearer {self._key}"}
        while self.last_answer != httpx.codes.NO_CONTENT:
            with suppress(httpx.TransportError), httpx.Client(headers=headers, timeout=20) as client:
                resumed = {"Last-Event-ID": last_id} if last_id else {}
                with httpx_sse.connect_sse(client, "GET", self._url, headers=resumed) as source:
                    self.last_answer = source.response.status_code
                    for event in source.iter_sse() if self.last_answer == httpx.codes.OK else ():
                        self.heard.append((event.event, event.data))
                        last_id = event.id


def steps(heard: list) -> list[int]:
    return [json.loads(data)["step"] for name, data in heard if name == "step"]


def test_no_event_is_missed_or_comes_twice_where_the_api_is_killed(page, watched, stack, client, files) -> None:
    content, style = files
    job = client.submit(content, [style], preset="classic", params={"size": 96, "steps": 4000})
    page.goto("/dashboard/jobs")
    page.evaluate(_FOLLOW, f"/dashboard/jobs/{job.id}/events")
    other = Httpx(stack.url, stack.key, job.id)
    other.thread.start()
    try:
        wait_until(lambda: steps(page.evaluate("heard")) and steps(other.heard), "both hear steps")
        kill_api()
        wait_until(stack.check, "the death of the API is noticed")
        reached = max(steps(page.evaluate("heard"))[-1], steps(other.heard)[-1])

        def both_go_on() -> bool:
            stack.check()  # which starts the API again
            return min(steps(page.evaluate("heard"))[-1], steps(other.heard)[-1]) > reached

        wait_until(both_go_on, "both hear the API that replaced it")
    finally:
        with suppress(ApiProblem):
            client.cancel(job.id)
    other.thread.join(60)
    wait_until(lambda: page.evaluate("source.readyState") == 2, "the browser gives up its stream for good")
    for heard in (page.evaluate("heard"), other.heard):
        assert steps(heard) == list(range(1, steps(heard)[-1] + 1))
        names = [name for name, _ in heard]
        assert (names.count("end"), names[-1]) == (1, "end")
        assert set(names) <= {"state", "step", "preview", "end"}
        assert json.loads(heard[-1][1]) == {"state": "canceled"}
    assert other.last_answer == httpx.codes.NO_CONTENT
    watched.faults[:] = [fault for fault in watched.faults if "net::ERR" not in fault]  # of the API that was killed


def kill_api() -> None:
    """Kill every process of the API at once."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "api.wsgi" in process.cmdline():
                process.kill()
