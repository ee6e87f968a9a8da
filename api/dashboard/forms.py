"""Forms that create something: sent twice, by a second press or a reload, they create it once."""

from flask import redirect, request
from werkzeug.wrappers import Response

from api.auth import caller
from api.dashboard.pages import blueprint
from api.http import problems
from api.http.idempotency import Once, StoredResponse, fingerprint
from api.jobs.submit import PreparedJob
from api.services import services
from shared import ids
from shared.errors import AtelierError, InvalidRequest

#: The hidden field that identifies a form, new whenever its page is loaded.
FIELD = "once"


@blueprint.app_template_global()
def once() -> str:
    """Return a new value for the hidden field `once`."""
    return ids.new_id()


def optional(name: str) -> str | None:
    """Return what was typed into a field; None if it is empty or missing."""
    return request.form.get(name, "").strip() or None


def number(text: str) -> float | str | None:
    """Return the number that was typed, as JSON has it; None for nothing, and any other text, to be refused, as it is.

    The API takes no text for a number, but a form sends nothing else.
    """
    text = text.strip()
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text or None


def read_once() -> Once:
    """Return the identity of the form that this request sends; raise `InvalidRequest` if it has none."""
    value = request.form.get(FIELD, "")
    if not ids.is_uuid(value):
        raise InvalidRequest("The form is incomplete; reload the page.")
    return Once(caller().owner, f"form:{value}", fingerprint(request, "form"))


def status_of(error: AtelierError) -> int:
    """Return the status of an error in a form; raise an error that is the server's."""
    status = problems.status_of(type(error)).value
    if status >= 500:
        raise error
    return status


def created(path: str) -> StoredResponse:
    """Return the answer to a form that created something, whose page is `path`."""
    return StoredResponse(303, path, "")


def queue_job(once: Once, prepared: PreparedJob) -> None:
    """Queue the job that a form asks for."""
    with once.writing(services().database, "submit") as session:
        job = services().submitter.queue(session, prepared)
        once.response = created(f"/dashboard/jobs/{job.id}")


def to_created(once: Once) -> Response:
    """Redirect to the page of what a form created, now or when it was first sent."""
    assert once.response is not None
    return redirect(once.response.location, 303)
