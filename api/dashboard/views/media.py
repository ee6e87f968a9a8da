"""Pictures, events and losses for the pages: the API's own views, authenticated by the cookie instead of a key.

Invariant: these URLs only read, and send nothing that `/v1` would not send the same caller.
"""

from collections.abc import Callable
from functools import wraps

from flask import Response, request

from api.access import Access
from api.auth import caller
from api.dashboard.pages import blueprint, page
from api.http.responses import tagged_response
from api.routes import batches, items, outputs
from api.services import services
from shared.db.jobs import queries
from shared.storage.store import image_key

#: Long side of uploads as they are shown, in pixels.
_SHOWN_PX = 960
#: How long a browser may cache a URL that names a version, in seconds.
_CACHED_S = 86_400


def _image(image_id: str) -> Response:
    """Send an upload, scaled down to a JPEG."""
    with services().database.reading() as session:
        found = queries.get_image(session, image_id, owner=caller().sees)

    def read() -> bytes:
        cache, key = services().picture_cache, ("upload", found.id, _SHOWN_PX)
        shown = cache.get(key)
        if shown is None:
            data = services().store.get(image_key(found.id))
            shown = services().decoders.thumbnail_jpeg(data, max_side=_SHOWN_PX, owner=caller().owner)
            cache.keep(key, shown)
        return shown

    return tagged_response(f"{found.id}-{_SHOWN_PX}", "image/jpeg", read)


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
    @wraps(view, updated=())  # without its declarations, which belong to the API
    def wrapped(**named: str) -> Response:
        response = view(**named)
        if response.status_code == 200 and "v" in request.args:
            response.headers["Cache-Control"] = f"private, max-age={_CACHED_S}, immutable"
        return response

    return page(access=Access.READ)(wrapped)


for _path, _view in _VIEWS.items():
    blueprint.add_url_rule(_path, endpoint=f"file_{_path}".replace(".", "_"), view_func=_by_cookie(_view))
