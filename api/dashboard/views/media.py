"""Pictures, events and losses for the pages, by the cookie instead of a key: the API's own views behind it.

Invariant: what is sent here is what `/v1` sends to the same caller, made smaller at most, and nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from flask import Response, request

from api.access import Access
from api.auth import caller
from api.dashboard.pages import blueprint, page
from api.routes import batches, items, outputs
from api.services import services
from shared.db.jobs import queries
from shared.imaging import codec
from shared.storage.store import image_key

#: Long side of what is shown of an upload, in pixels.
_SHOWN_PX = 960
#: How long a browser may keep a picture whose address says which one it is, in seconds.
_KEPT_S = 86_400


def _image(image_id: str) -> Response:
    """Send an upload made small, in a format that every browser shows."""
    with services().database.reading() as session:
        found = queries.get_image(session, image_id, owner=caller().sees)
    data, most_px = services().store.get(image_key(found.id)), services().settings.max_upload_px
    return Response(codec.thumbnail_jpeg(data, max_px=most_px, max_side=_SHOWN_PX), content_type="image/jpeg")


#: What is shown at each address, most of it by the API's own views.
_VIEWS: dict[str, Callable[..., Response]] = {
    "/dashboard/images/<image_id>": _image,
    "/dashboard/jobs/<job_id>/film.webp": outputs.film,
    "/dashboard/jobs/<job_id>/preview": outputs.preview,
    "/dashboard/jobs/<job_id>/result": outputs.result,
    "/dashboard/jobs/<job_id>/timelapse": outputs.timelapse,
    "/dashboard/jobs/<job_id>/losses": outputs.losses,
    "/dashboard/jobs/<job_id>/manifest": outputs.manifest,
    "/dashboard/jobs/<job_id>/events": outputs.follow,
    "/dashboard/batches/<batch_id>/sheet.webp": batches.sheet,
    "/dashboard/batches/<batch_id>/archive.zip": items.archive,
}


def _by_cookie(view: Callable[..., Response]) -> Callable[..., Response]:
    @wraps(view, updated=())  # what is declared of it belongs to the API
    def shown(**named: str) -> Response:
        response = view(**named)
        if response.status_code == 200 and "v" in request.args:  # names the version that is looked at
            response.headers["Cache-Control"] = f"private, max-age={_KEPT_S}, immutable"
        return response

    return page(access=Access.READ)(shown)


for _path, _view in _VIEWS.items():
    blueprint.add_url_rule(_path, endpoint=f"file_{_path}".replace(".", "_"), view_func=_by_cookie(_view))
