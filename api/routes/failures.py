"""The most recent failures, grouped."""

from flask import Blueprint, Response

from api.access import Access
from api.http.responses import model_response
from api.openapi.operation import operation
from api.schemas.bulk_actions import FailuresView
from api.serializers.bulk_actions import serialize_failure
from api.services import services
from shared.db.jobs import failures

blueprint = Blueprint("failures", __name__, url_prefix="/v1/failures")


@blueprint.get("")
@operation(access=Access.OVERSEE, returns=FailuresView)
def listing() -> Response:
    """Show the last failures, grouped by error and scale."""
    with services().database.reading() as session:
        found = [serialize_failure(group) for group in failures.list_groups(session)]
    return model_response(FailuresView(failures=found, since_s=failures.SINCE_S, most=failures.MOST))
