"""Forms that create something do so once, even if they are sent twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import redirect, request
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from api.auth import caller
from api.dashboard.pages import blueprint
from api.http.idempotency import Answer, Once, fingerprint, make
from api.services import services
from shared import ids
from shared.errors import InvalidRequest

#: The hidden field that identifies a form, from when the page was loaded.
FIELD = "once"


@blueprint.app_template_global()
def once() -> str:
    """Return a new value for the hidden field `once`."""
    return ids.new_id()


def make_once(act: Callable[[Callable[[Session, Any], None]], object], under: str) -> Response:
    """Make a thing by `act`, which calls what it is given in the transaction, unless this form did.

    Leads to the thing's page, whose address is its id below `under`.

    Raises `InvalidRequest` for a form without the field, and what `act` raises.
    """
    value = request.form.get(FIELD, "")
    if not ids.is_uuid(value):
        raise InvalidRequest("The form is not one of ours; load the page again.")
    this = Once(caller().owner, f"form:{value}", fingerprint(request, "form"))
    answer, _ = make(services(), this, act, lambda made: Answer(303, f"{under}/{made.id}", ""))
    return redirect(answer.location, 303)
