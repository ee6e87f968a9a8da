"""Metrics for Prometheus, which sends a key like any other client."""

from flask import Blueprint, Response

from api.access import Access
from api.metrics import CONTENT_TYPE
from api.openapi.operation import operation
from api.services import services

blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
@operation(access=Access.OVERSEE, returns={"text/plain": {"type": "string"}})
def metrics() -> Response:
    """Show the metrics in Prometheus's text format."""
    return Response(services().metrics.text(), content_type=CONTENT_TYPE)
