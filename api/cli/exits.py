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

from typing import Any, ClassVar

import click

from api.client_models import ClientError, Job, Unreachable
from api.outputs import UnwritableOutput
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
        except (ClientError, UnwritableOutput, AtelierError) as error:
            raise Failure(str(error)) from error
        except BrokenPipeError:
            raise  # click's own: the reader of our output has gone
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise Failure(f"{where}{error.strerror or error}.") from error
        except KeyboardInterrupt as error:
            raise Interrupted("Interrupted.") from error


def ensure_succeeded(job: Job) -> None:
    """Raise `Failure` with the reason unless the job succeeded."""
    if job.state == State.SUCCEEDED:
        return
    ending = "was canceled" if job.state == State.CANCELED else f"has {job.state}"
    reason = f": {job.error.message.rstrip('.')} ({job.error.code})" if job.error else ""
    raise JobUnsuccessful(f"Job {job.id} {ending}{reason}.")
