"""Everything that requests use, opened once per process; only views know the whole, and pass on what is needed."""

from dataclasses import dataclass, field

from flask import Flask, current_app

from api.batches.archives.turns import ArchiveTurns
from api.http.rate_limits import RateLimits
from api.jobs.current import CurrentJobs
from api.jobs.submit import Submitter
from api.live.forecaster import Forecaster
from api.live.hub import Hub
from api.live.snapshot import CachedSnapshot
from api.live.ttl_cache import TtlCache
from api.metrics import Metrics
from api.usecases.picture_cache import PictureCache
from api.usecases.readiness import Readiness
from api.usecases.results import Pictures
from shared.db.base import Database, connect
from shared.imaging.decoders.pool import Decoders, open_decoders
from shared.messaging import progress
from shared.messaging.broker import Broker
from shared.messaging.chores import BrokenTasks
from shared.messaging.dispatch import Dispatcher
from shared.messaging.progress import RedisProgress
from shared.settings import Settings
from shared.shares import Shares
from shared.storage.store import ImageStore, open_store

#: Where an app keeps its services.
_EXTENSION = "atelier"
#: How long a running job's snapshot is reused while Redis has no news of it, in seconds.
_SNAPSHOT_S = 1.0
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
    decoders: Decoders
    dispatcher: Dispatcher
    #: For requests, which never wait for Redis.
    progress: RedisProgress
    #: For followers of jobs.
    hub: Hub
    rate_limits: RateLimits
    forecaster: Forecaster
    metrics: Metrics
    readiness: Readiness
    #: What was encoded last.
    picture_cache: PictureCache
    #: The last snapshots of running jobs.
    snapshots: TtlCache[str, CachedSnapshot]
    #: For archives of pictures, so that one owner's never take every thread.
    archive_turns: ArchiveTurns
    #: One permit for each event stream and long poll, so that these never take every thread, nor one owner all of them.
    streams: Shares = field(repr=False)

    @property
    def submitter(self) -> Submitter:
        """What submits jobs."""
        return Submitter(self.settings, self.database, self.store, self.decoders, self.forecaster, self.dispatcher)

    @property
    def pictures(self) -> Pictures:
        """The pictures of jobs."""
        return Pictures(self.store, self.decoders, self.settings.max_upload_px, self.picture_cache)

    @property
    def current_jobs(self) -> CurrentJobs:
        """Jobs as they are now."""
        return CurrentJobs(self.database, self.progress, self.forecaster, self.snapshots)


def open_services(settings: Settings) -> Services:
    """Open what `settings` names; nothing is connected before it is used."""
    database = connect(settings.database_url)
    streams = Shares(settings.stream_limit)
    snapshots: TtlCache[str, CachedSnapshot] = TtlCache(_SNAPSHOT_S)
    live = RedisProgress(progress.connect(settings.redis_url, timeout_s=_STREAM_REDIS_S))
    redis = progress.connect(settings.redis_url, timeout_s=_REQUEST_REDIS_S)
    quick, broken_tasks = RedisProgress(redis), BrokenTasks(redis)
    store = open_store(settings.storage_url)
    return Services(
        settings=settings,
        database=database,
        store=store,
        decoders=open_decoders(settings.decoding),
        dispatcher=Dispatcher(database, Broker(settings), settings),
        progress=quick,
        hub=Hub(database, live, streams, snapshots),
        rate_limits=RateLimits(settings.redis_url, settings.requests_per_min, settings.sign_ins_per_min),
        forecaster=Forecaster(database),
        metrics=Metrics(database, broken_tasks),
        readiness=Readiness(database, store, quick, broken_tasks),
        picture_cache=PictureCache(),
        snapshots=snapshots,
        archive_turns=ArchiveTurns(),
        streams=streams,
    )


def register(app: Flask, settings: Settings) -> None:
    """Open the services of `app`."""
    app.extensions[_EXTENSION] = open_services(settings)


def services_of(app: Flask) -> Services:
    """Return the services of an app."""
    found: Services = app.extensions[_EXTENSION]
    return found


def services() -> Services:
    """Return the services of the app that handles this request."""
    return services_of(current_app)
