import io

import pytest
from rich.console import Console

from api.cli.display.job_bar import JobBar, step_text, waiting_text
from api.cli.display.layout import duration_text
from api.client.models import Event, Job, Progress


def step(number: int, scale: int = 1, **more: object) -> Event:
    losses = {"total": 1234.56, "content": 1.0, "style": 2.0, "tv": 0.0}
    data = {"step": number, "total": 100, "scale": scale, "scales": 2, "losses": losses, "step_ms": 12.4, "eta_s": 65.2}
    return Event("1-0", "step", {**data, **more})


def test_a_step_is_told_in_one_line() -> None:
    assert step_text(Progress(**step(7).data)) == "7/100 · scale 1 of 2 · loss 1235 · 12 ms a step · 1 min 05 s left"


def test_what_is_not_known_is_left_out() -> None:
    assert step_text(Progress(step=1, total=2)) == "1/2"
    assert step_text(Progress(step=2, total=2, scale=1, scales=1, eta_s=0.0)) == "2/2"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (9e4, "25 h 00 min"),
    ],
)
def test_durations_are_said_as_people_do(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("queue", "text"),
    [
        (None, "waiting"),
        ({"position": 3, "waiting_for": "turn"}, "waiting for its turn, number 3 in line"),
        ({"position": 1, "waiting_for": "something_new"}, "waiting, number 1 in line"),
    ],
)
def test_a_waiting_job_says_what_for(queue: object, text: str) -> None:
    assert waiting_text(Job.model_validate({"id": "j", "state": "queued", "queue": queue})) == text


def lines_of(events: list[Event], times: list[float], *, terminal: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100, color_system=None)
    with JobBar(Job.model_validate({"id": "j", "state": "queued"}), console, iter(times).__next__) as bar:
        for event in events:
            bar.show(event)
    return out.getvalue()


def test_without_a_terminal_there_is_a_line_now_and_then_for_each_scale_and_at_the_end() -> None:
    events = [step(1), step(2), step(3), step(50, 2), step(51, 2), step(100, 2)]
    written = lines_of([*events, Event("", "end", {"state": "succeeded"})], [0, 1, 6, 7, 8, 9])
    assert [line.split()[1] for line in written.splitlines()[1:-1]] == ["1/100", "3/100", "50/100", "100/100"]
    assert (written.splitlines()[0], written.splitlines()[-1]) == ("waiting", "succeeded")


def test_the_first_call_which_may_have_been_compiled_promises_nothing() -> None:
    slow, steady = {"step_ms": 9000.0, "eta_s": 1140.0}, {"step_ms": 100.0, "eta_s": 12.0}
    events = [step(1, **slow), step(2, **slow), step(3, **steady), step(100, 2, step_ms=100.0, eta_s=0.0)]
    first, second, third, last = lines_of(events, [0, 6, 12, 18]).splitlines()[1:]
    assert ["left" in line for line in (first, second, third, last)] == [False, False, True, False]
    assert "12 s left" in third


def test_events_of_a_later_version_are_passed_over() -> None:
    unknown = [Event("", "preview", {"step": 1}), Event("", "gap", {}), Event("", "sparkle", {"state": "shiny"})]
    states = [Event("", "state", {"state": state}) for state in ("queued", "running")]
    assert lines_of([*states, *unknown], []) == "waiting\n"


def test_a_terminal_shows_the_last_step_when_it_ends() -> None:
    written = lines_of([step(1), step(100, 2, eta_s=0), Event("", "end", {"state": "canceled"})], [], terminal=True)
    assert "canceled" in written
    assert "100/100 · scale 2 of 2" in written


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100, 200])
def test_the_bar_is_one_line_however_narrow_the_terminal(width: int) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, color_system=None)
    with JobBar(Job.model_validate({"id": "j", "state": "queued"}), console) as bar:
        bar.show(step(1))
        bar.show(step(100, 2, eta_s=4000.0))
    assert out.getvalue().count("\n") == 1
    assert "100/100" in out.getvalue()
    assert ("a step" in out.getvalue()) == (width >= 100)
    assert "…" not in out.getvalue()


def test_what_there_is_no_room_for_is_left_out_the_least_first() -> None:
    data = Progress(**step(7).data)
    assert step_text(data, max_chars=50) == "7/100 · scale 1 of 2 · loss 1235 · 1 min 05 s left"
    assert step_text(data, max_chars=40) == "7/100 · scale 1 of 2 · 1 min 05 s left"
    assert step_text(data, max_chars=25) == "7/100 · 1 min 05 s left"
    assert step_text(data, max_chars=2) == "7/100"
