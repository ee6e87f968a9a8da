"""How a command ends when it does not end well: one sentence on stderr, and an exit code.

| code | meaning |
| --- | --- |
| 1 | something else went wrong |
| 2 | the command line cannot be used (click's own) |
| 3 | the job failed, was canceled or expired, or its pictures are gone |
| 4 | no server answers, or none that has the weights |
| 130 | Ctrl-C |

Invariant: exit codes are declared here and nowhere else, and a failure that may be expected never shows a
traceback.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, ClassVar

import click

from api.client.models import ApiProblem, ClientError, Job, Unreachable
from shared.errors import AtelierError
from shared.states import State


class Failure(click.ClickException):
    """What the user asked for cannot be done; click writes the sentence after "Error:"."""

    exit_code: ClassVar[int] = 1


class JobUnsuccessful(Failure):
    """The job ended without the picture that was asked for."""

    exit_code = 3


class PicturesGone(Failure):
    """A picture cannot be painted again, since some of those that it came from are gone."""

    exit_code = 3


class KeyNeeded(Failure):
    """The server wants a key, or one that may do more."""


class ServerUnreachable(Failure):
    """No server answers."""

    exit_code = 4


class WeightsUnreachable(Failure):
    """The weights cannot be fetched."""

    exit_code = 4


class Interrupted(Failure):
    """Ctrl-C; the sentence says how to come back."""

    exit_code = 130


class Guarded(click.Group):
    """The group whose commands turn every failure that may be expected into a sentence."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command named."""
        try:
            return super().invoke(ctx)
        except Unreachable as error:
            raise ServerUnreachable(f"{error} Start one with `atelier up`, or name another with --url.") from error
        except ApiProblem as problem:
            raise _refused(problem) from problem
        except (ClientError, AtelierError) as error:
            raise Failure(str(error)) from error
        except BrokenPipeError:
            raise  # click's own: the reader of our output has gone
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise Failure(f"{where}{error.strerror or error}.") from error
        except KeyboardInterrupt as error:
            raise Interrupted("Interrupted.") from error


#: What the server says of a job whose picture there never was, or is no more.
_NO_PICTURE = {"no_result", "result_expired"}


def _refused(problem: ApiProblem) -> Failure:
    """Say what the server refused, and what helps."""
    if problem.status == HTTPStatus.UNAUTHORIZED:
        return KeyNeeded(
            "The server wants an API key, or another one: set ATELIER_KEY to yours. "
            "Whoever runs the server makes one with `atelier keys create`."
        )
    if problem.status == HTTPStatus.FORBIDDEN:
        return KeyNeeded(f"{problem} Set ATELIER_KEY to one that may.")
    kind = JobUnsuccessful if problem.code in _NO_PICTURE else Failure
    return kind(str(problem))


def ensure_succeeded(job: Job) -> None:
    """Raise `Failure` with the reason unless the job succeeded."""
    if job.state == State.SUCCEEDED:
        return
    ending = "was canceled" if job.state == State.CANCELED else f"has {job.state}"
    reason = f": {job.error.message.rstrip('.')} ({job.error.code})" if job.error else ""
    raise JobUnsuccessful(f"Job {job.id} {ending}{reason}.")
