"""What a client can do: upload, cancel; and an operator: instruct a worker, pause the queue. No HTTP here.

Submitting has a file of its own, `api.submissions`.

Invariant: a job's row is committed before anybody is told of it, and no request waits for Redis.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

from redis import RedisError
from sqlalchemy.orm import Session

from api import checks
from api.access import Caller
from api.checks import File
from api.schemas_keys import OWNER, KeyRequest
from api.services import Services
from shared import clock, ids, logs, webhooks
from shared.db import audit, deliveries, images, jobs, keys, queries, workers
from shared.db.audit import Actor
from shared.db.base import Database
from shared.db.models import ApiKey, Delivery, Image
from shared.errors import StorageUnavailable
from shared.states import State, Wish
from shared.storage import image_key, job_prefix

log = logs.get(__name__)

#: Characters of a name that are kept where it cannot be an owner as it is.
_READABLE = 40
#: What the audit log calls what is wished of a worker.
_INSTRUCTIONS = {Wish.WORK: "worker.resume", Wish.PAUSE: "worker.pause", Wish.DRAIN: "worker.drain"}


def _note_nothing(session: Session, made: Any) -> None:
    """Leave what was made alone."""


def upload(services: Services, file: File, caller: Caller) -> tuple[Image, bool]:
    """Keep an image, bytes first; return it and whether it is new to its owner. Equal bytes are one image."""
    data, info = file
    now = clock.now()
    image = Image(
        id=ids.image_id(data),
        width=info.width,
        height=info.height,
        format=info.format,
        size_bytes=info.size_bytes,
        created_at=now,
        last_used_at=now,
    )
    key = image_key(image.id)
    if not services.store.exists(key):
        services.store.put(key, data)
    with services.database.writing("upload") as session:
        kept, is_new = images.keep(session, image, caller.owner)
        if not services.store.exists(key):  # removed meanwhile, as nobody can do any more before the commit
            services.store.put(key, data)
    return kept, is_new


def cancel(services: Services, job_id: str, caller: Caller) -> State:
    """Cancel a queued job at once, ask a running one to stop; return its state now."""
    with services.database.writing("cancel") as session:
        job = queries.job(session, job_id, owner=caller.sees)
        is_first = job.cancel_requested_at is None
        state = jobs.request_cancel(session, job_id)
        if is_first:
            audit.note(session, caller, "job.cancel", job_id)
    log.info("cancel_requested", job_id=job_id, state=state)
    if state == State.RUNNING:
        try:
            services.progress.wish_cancel(job_id)
        except RedisError as error:
            log.warning("cancel_not_hurried", job_id=job_id, reason=str(error))  # the row holds the wish
    return state


def delete(services: Services, job_id: str, caller: Caller) -> None:
    """Forget an ended job and its files; raise `NotFound`, or `IllegalTransition` if it has not ended."""
    with services.database.writing("delete") as session:
        queries.job(session, job_id, owner=caller.sees)
        jobs.remove(session, job_id)
        audit.note(session, caller, "job.delete", job_id)
    log.info("job_deleted", job_id=job_id)
    try:
        for key in list(services.store.list(job_prefix(job_id))):
            services.store.delete(key)
    except StorageUnavailable as error:  # the sweep for files without a row comes by
        log.warning("files_left", job_id=job_id, reason=str(error))


def instruct_worker(services: Services, caller: Caller, name: str, wish: Wish) -> None:
    """Wish something of a worker, which obeys within seconds; raise `NotFound`."""
    with services.database.writing("instruct") as session:
        workers.instruct(session, name, wish)
        audit.note(session, caller, _INSTRUCTIONS[wish], name)
    log.info("worker_instructed", worker=name, wish=wish)
    if wish == Wish.WORK:
        services.dispatcher.nudge()


def pause_queue(services: Services, caller: Caller) -> None:
    """Hand out no more jobs."""
    with services.database.writing("pause_queue") as session:
        workers.pause_queue(session)
        audit.note(session, caller, "queue.pause")
    log.info("queue_paused")


def resume_queue(services: Services, caller: Caller) -> None:
    """Hand out jobs again, from this moment on."""
    with services.database.writing("resume_queue") as session:
        workers.resume_queue(session)
        audit.note(session, caller, "queue.resume")
    log.info("queue_resumed")
    services.dispatcher.nudge()


def new_key(
    database: Database, actor: Actor, asked: KeyRequest, *, note: Callable[[Session, ApiKey], None] = _note_nothing
) -> tuple[ApiKey, str]:
    """Make a key; return it, and in full what opens with it. `note` is called in the transaction."""
    key = ApiKey(**asked.model_dump(exclude={"owner"}), owner=asked.owner or _as_owner(asked.name))
    with database.writing("create_key") as session:
        token = keys.create(session, key)
        audit.note(session, actor, "key.create", key.id, details={"owner": key.owner, "role": key.role})
        note(session, key)
    log.info("key_created", made=key.id, owner=key.owner, role=key.role)
    return key, token


def revoke_key(services: Services, caller: Caller, key_id: str) -> None:
    """Have a key open nothing any more; raise `NotFound`, or `IllegalTransition` for the last operator's."""
    with services.database.writing("revoke_key") as session:
        keys.revoke(session, key_id)
        audit.note(session, caller, "key.revoke", key_id)
    log.info("key_revoked", revoked=key_id)


def test_webhook(services: Services, caller: Caller, url: str, *, note: Callable[[Session, Delivery], None]) -> None:
    """Send an event that says nothing; raise `ForbiddenUrl`. `note` is called in the transaction."""
    checks.check_webhook(services, url, at="/url")
    with services.database.writing("test_webhook") as session:
        note(session, deliveries.add(session, caller.owner, url, webhooks.TEST_EVENT))


def redeliver(
    services: Services, caller: Caller, delivery_id: str, *, note: Callable[[Session, Delivery], None]
) -> None:
    """Tell an event again, to the address it was told to; raise `NotFound`. `note` is called in the transaction."""
    with services.database.writing("redeliver") as session:
        former = deliveries.delivery(session, delivery_id, owner=caller.sees)
        note(session, deliveries.add(session, former.owner, former.url, former.event, former.subject_id))


def _as_owner(name: str) -> str:
    """Make an owner of a name: the name where it can be one, else one that no other name leads to."""
    if re.fullmatch(OWNER, name):
        return name
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:_READABLE].strip("-")
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:16]}".lstrip("-")
