"""Shows a job's progress: a live bar in a terminal, an occasional line elsewhere.

Everything goes to stderr, so that stdout holds only what a program may want to read.

Invariant: the bar is one line, however narrow the terminal; the least important figures are left out first.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as ProgressBar
from rich.table import Column

from api.cli.display.layout import duration_text
from api.cli.display.preview_pane import PreviewPane
from api.client.models import Event, Job, Progress
from shared.texts import printable

#: Minimum time between two lines without a terminal, in seconds.
_LINE_EVERY_S = 5.0

#: The server's `waiting_for` in words; a reason that a newer server gives reads `waiting`.
_WAITING_FOR = {
    "turn": "waiting for its turn",
    "no_worker": "waiting for a worker",
    "no_worker_with_memory": "waiting for a worker with more memory",
    "quota": "waiting for other pictures of its batch",
    "paused": "the queue is paused",
}


class JobBar:
    """The progress of one job; give `show` each of its events."""

    def __init__(
        self,
        job: Job,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        pane: PreviewPane | None = None,
    ) -> None:
        """Prepare to show `job`, with its picture in `pane` if given; entering the context starts drawing."""
        self._console = console or Console(stderr=True)
        self._clock = clock
        self._live = self._console.is_terminal
        self._pane = pane
        self._open = ExitStack()
        self._bar = ProgressBar(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=self._bar_width, complete_style="cyan", finished_style="green"),
            TextColumn("{task.fields[figures]}", markup=False, table_column=Column(no_wrap=True)),
            console=self._console,
            disable=not self._live,
        )
        self._beginning = waiting_text(job)
        self._row = self._bar.add_task(self._beginning, total=None, figures="")
        self._line_at = float("-inf")
        self._scale: int | None = None
        self._first_estimate: tuple[float | None, float | None] | None = None

    def __enter__(self) -> Self:
        self._open.enter_context(self._bar)
        if self._pane:
            self._open.enter_context(self._pane)
        if not self._live:
            self._console.print(self._beginning, highlight=False, markup=False)
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    @property
    def _bar_width(self) -> int:
        return max(5, min(30, self._console.width // 5))

    def show(self, event: Event) -> None:
        """Draw an event; unknown ones are ignored."""
        if event.name in ("preview", "end") and self._pane:
            self._pane.announce()
        if event.name == "step":
            self.show_step(Progress.model_validate(event.data))
        elif event.name in ("state", "end") and "state" in event.data:
            self._state(str(event.data["state"]))

    def show_step(self, step: Progress) -> None:
        """Draw how far the job is.

        The first steps to come are those of one call, which may have included compiling, so their estimate is left out.
        """
        estimate = (step.step_ms, step.eta_s)
        self._first_estimate = self._first_estimate or estimate
        if estimate == self._first_estimate:
            step = step.model_copy(update={"eta_s": None})
        figures = step_text(step)
        if self._live:
            figures = step_text(step, max_chars=self._console.width - self._bar_width - len("⠋ painting  ") - 1)
            self._bar.update(self._row, description="painting", completed=step.step, total=step.total, figures=figures)
            return
        now = self._clock()
        notable = step.step == step.total or step.scale != self._scale
        if notable or now - self._line_at >= _LINE_EVERY_S:
            self._line_at, self._scale = now, step.scale
            self._console.print(f"painting {figures}", highlight=False, soft_wrap=True, markup=False)

    def _state(self, state: str) -> None:
        if state == "queued":
            return
        text = "painting" if state == "running" else printable(state)
        if self._live:
            self._bar.update(self._row, description=text)
        elif state != "running":
            self._console.print(text, highlight=False, markup=False)


def waiting_text(job: Job) -> str:
    """Say why a job is not being painted yet."""
    if job.state != "queued":
        return "painting" if job.state == "running" else printable(job.state)
    text = _WAITING_FOR.get(job.queue.waiting_for or "", "waiting") if job.queue else "waiting"
    return f"{text}, number {job.queue.position} in line" if job.queue and job.queue.position else text


def step_text(step: Progress, *, max_chars: int | None = None) -> str:
    """Write the figures of a step in one line of up to `max_chars` characters, but always the step itself."""
    parts = {
        "step": f"{step.step}/{step.total}",
        "scale": f"scale {step.scale} of {step.scales}" if (step.scales or 1) > 1 else "",
        "loss": f"loss {step.losses['total']:.4g}" if "total" in step.losses else "",
        "pace": f"{step.step_ms:.0f} ms a step" if step.step_ms is not None else "",
        "left": f"{duration_text(step.eta_s)} left" if step.eta_s and step.eta_s >= 0.5 else "",
    }
    for name in ("pace", "loss", "scale", "left", ""):  # in the order in which they are left out
        text = " · ".join(filter(None, parts.values()))
        if max_chars is None or len(text) <= max_chars:
            break
        parts.pop(name, None)
    return text
