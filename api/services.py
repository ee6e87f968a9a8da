"""Everything a request may need, opened once per process and handed to the views."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

from flask import current_app

from api.http.rate_limits import RateLimits
from api.live.forecaster import Forecaster
from api.live.hub import Hub
from api.live.ttl_cache import Recent
from shared.db.base import Database, connect
from shared.messaging import progress
from shared.messaging.broker import Broker
from shared.messaging.dispatch import Dispatcher
from shared.messaging.progress import RedisProgress
from shared.settings import Settings
from shared.storage.store import ImageStore, open_store

if TYPE_CHECKING:
    from api.live.snapshot import Seen

#: How long what was seen of a running job is shown again if Redis has no news of it, in seconds.
_SEEN_S = 1.0
#: Longest wait for Redis inside a request, in seconds.
_REQUEST_REDIS_S = 0.5
#: The same for the hub, which blocks for a fifth of a second on purpose.
_STREAM_REDIS_S = 1.0


@dataclass(frozen=True)
class Services:
    """The dependencies of the API."""

    settings: Settings
    database: Database
    store: ImageStore
    dispatcher: Dispatcher
    #: For requests, which never wait for Redis.
    progress: RedisProgress
    #: For followers of jobs.
    hub: Hub
    rate_limits: RateLimits
    forecaster: Forecaster
    #: Running jobs as they were seen last.
    seen: Recent[str, Seen]
    #: One permit for each event stream and long poll, so that these never take every thread.
    streams: BoundedSemaphore = field(repr=False)


def open_services(settings: Settings) -> Services:
    """Open what `settings` names; nothing is connected before it is used."""
    database = connect(settings.database_url)
    streams = BoundedSemaphore(settings.stream_limit)
    seen: Recent[str, Seen] = Recent(_SEEN_S)
    live = RedisProgress(progress.connect(settings.redis_url, timeout_s=_STREAM_REDIS_S))
    return Services(
        settings=settings,
        database=database,
        store=open_store(settings.storage_url),
        dispatcher=Dispatcher(database, Broker(settings), settings),
        progress=RedisProgress(progress.connect(settings.redis_url, timeout_s=_REQUEST_REDIS_S)),
        hub=Hub(database, live, streams, seen),
        rate_limits=RateLimits(settings.redis_url, settings.requests_per_min),
        forecaster=Forecaster(database),
        seen=seen,
        streams=streams,
    )


def services() -> Services:
    """Return the services of the app that handles this request."""
    found: Services = current_app.extensions["atelier"]
    return found
