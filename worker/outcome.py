"""How one run of a job ended, as one value; the runner turns it into one write to the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shared.errors import AtelierError
from shared.states import State
from worker.retries import Retry


@dataclass(frozen=True)
class Outcome:
    """The state to move to; what lies in storage, if a picture does; the error, and what is done about it."""

    state: State
    result: dict[str, Any] | None = None
    error: AtelierError | None = None
    retry: Retry | None = None
