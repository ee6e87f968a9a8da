"""How a failing command ends: with one sentence on stderr and an exit code.

| code | meaning |
| --- | --- |
| 1 | any other failure |
| 2 | the command line is wrong (click's own code) |
| 3 | the job, or a picture of the batch, failed, was canceled or expired, or its pictures are gone |
| 4 | the server or the source of the weights cannot be reached |
| 130 | Ctrl-C |

Invariant: exit codes are declared here and nowhere else, and no expected failure shows a traceback.
"""

from http import HTTPStatus
from typing import Any, ClassVar

import click

from api.cli.display.output import laid_out
from api.client.models import ApiProblem, ClientError, Job, Unreachable
from shared.errors import AtelierError


class Failure(click.ClickException):
    """The command failed; click prints the sentence after "Error:"."""

    exit_code: ClassVar[int] = 1


class JobUnsuccessful(Failure):
    """A job, or one of a batch, ended without the picture that was asked for."""

    exit_code = 3


class PicturesGone(Failure):
    """A picture cannot be painted again, because some of its sources are gone."""

    exit_code = 3


class ServerUnreachable(Failure):
    """No server answers."""

    exit_code = 4


class WeightsUnreachable(Failure):
    """The weights cannot be fetched."""

    exit_code = 4


class Interrupted(Failure):
    """Ctrl-C; the sentence says how to continue."""

    exit_code = 130


class ReportingGroup(click.Group):
    """A group of commands that reports every expected failure as one sentence."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command; what it says of a failure fits the terminal."""
        try:
            return self._invoke(ctx)
        except click.ClickException as error:
            text = laid_out(error.message, indent=len("Error: "))
            error.message = text  # type: ignore[misc] # every class of click's errors has its own way of showing it
            raise

    def _invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Unreachable as error:
            raise ServerUnreachable(f"{error} Start one with `atelier up`, or name another with --url.") from error
        except ApiProblem as problem:
            raise _failure(problem) from problem
        except (ClientError, AtelierError) as error:
            raise Failure(str(error)) from error
        except BrokenPipeError:
            raise  # click handles it: the reader of our output is gone
        except UnicodeError as error:
            raise Failure("The command line holds a name that is not valid UTF-8.") from error
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise Failure(f"{where}{error.strerror or error}.") from error
        except KeyboardInterrupt as error:
            raise Interrupted("Interrupted.") from error


def _failure(problem: ApiProblem) -> Failure:
    """Say what the server refused, and how to fix it."""
    if problem.status == HTTPStatus.UNAUTHORIZED:
        return Failure(
            "The server requires a valid API key: set ATELIER_KEY. "
            "The server's operator creates keys with `atelier keys create`."
        )
    if problem.status == HTTPStatus.FORBIDDEN:
        return Failure(f"{problem} Set ATELIER_KEY to a key that may do this.")
    kind = JobUnsuccessful if problem.code in ("no_result", "result_expired") else Failure
    return kind(str(problem))


def ensure_succeeded(job: Job) -> None:
    """Raise `JobUnsuccessful` with the reason unless the job succeeded."""
    if job.state == "succeeded":
        return
    ending = "was canceled" if job.state == "canceled" else f"has {job.state}"
    reason = f": {job.error.message.rstrip('.')} ({job.error.code})" if job.error else ""
    raise JobUnsuccessful(f"Job {job.id} {ending}{reason}.")
