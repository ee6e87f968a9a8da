"""Very many jobs at once, written by the database itself.

Owners, labels and states are mixed by a hash of the job's number, so that none tells of another. Most jobs are one
owner's and have one label, some states are rare: what makes a database choose a bad plan.
"""

from sqlalchemy import text
from sqlalchemy.orm import Session

from shared import ids
from shared.db.base import Database
from shared.db.models import Job

#: The first owner has a half of the jobs, the others share the rest; so it is with labels.
OWNERS, LABELS = 20, 10

_NUMBERS = {
    "postgresql": "SELECT value AS n, hashint8(value::bigint) AS x FROM generate_series(1, :count) AS value",
    "sqlite": """WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
        SELECT n, (n * 2654435761) % 4294967296 AS x FROM numbers""",
}
_HEX = {"postgresql": "lpad(to_hex({}), 12, '0')", "sqlite": "printf('%012x', {})"}
_MADE_AT = {
    "postgresql": "to_timestamp(({} + n) / 1000.0)",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', ({} + n) / 1000.0, 'unixepoch')",
}
#: Of a hundred jobs: how many are queued, failed and canceled; two are running or expired, the others succeeded.
_INSERT = """
    INSERT INTO jobs (id, place, owner, lane, reuse, state, preset, params, content_id, styles, priority, label,
        metadata, attempt, lost_attempts, retries, ran_s, created_at, started_at, ended_at, retention_s, result,
        error_code, predicted_s, lease_expires_at)
    SELECT id, id, owner, 'owner:' || owner, false, state, 'fast', '{{"size": 256}}', :image, '[]', 0, label, '{{}}',
        1, 0, 0, 1.0, made_at, CASE WHEN state <> 'queued' THEN made_at END,
        CASE WHEN state NOT IN ('queued', 'running') THEN made_at END, 2592000,
        CASE WHEN state = 'succeeded' THEN
            '{{"width": 1, "height": 1, "bytes": 1, "format": "png", "partial": false}}'{as_json} END,
        CASE WHEN state = 'failed' THEN 'diverged' END, 10.0, CASE WHEN state = 'running' THEN made_at END
    FROM (SELECT
        CASE WHEN abs(x / 7) % 2 = 0 THEN 'o0' ELSE 'o' || (abs(x / 14) % {owners}) END AS owner,
        CASE WHEN abs(x / 11) % 2 = 0 THEN 'l0' ELSE 'l' || (abs(x / 22) % {labels}) END AS label,
        CASE WHEN abs(x / 1013) % 100 < :queued THEN 'queued'
            WHEN abs(x / 1013) % 100 = 90 THEN 'failed' WHEN abs(x / 1013) % 100 = 91 THEN 'canceled'
            WHEN abs(x / 1013) % 1000 = 920 THEN 'expired' WHEN abs(x / 1013) % 10000 = 9200 THEN 'running'
            ELSE 'succeeded' END AS state,
        substr({time}, 1, 8) || '-' || substr({time}, 9, 4) || '-7000-8000-' || {number} AS id,
        {made_at} AS made_at
        FROM ({numbers}) AS numbered) AS made
"""


def fill(database: Database, image: str, count: int, *, queued: int = 10) -> None:
    """Add `count` jobs of `image`, one made each millisecond until now; `queued` of a hundred wait."""
    kind = database.engine.dialect.name
    first_ms = int(ids.new_id().replace("-", "")[:12], 16) - count
    statement = _INSERT.format(
        owners=OWNERS,
        labels=LABELS,
        as_json="::json" if kind == "postgresql" else "",
        time=_HEX[kind].format(f"({first_ms} + n)"),
        number=_HEX[kind].format("n"),
        made_at=_MADE_AT[kind].format(first_ms),
        numbers=_NUMBERS[kind],
    )
    with database.writing() as session:
        if kind == "postgresql":
            session.execute(text("SET LOCAL statement_timeout = 0"))
        session.execute(text(statement), {"image": image, "count": count, "queued": queued})
        _count(session)


def multiply(database: Database, item: str, batch_ids: list[str], count: int) -> None:
    """Add `count` waiting items that are like `item`, dealt out to batches by turns."""
    kind = database.engine.dialect.name
    turns = " ".join(f"WHEN {turn} THEN '{batch_id}'" for turn, batch_id in enumerate(batch_ids))
    batch = f"CASE n % {len(batch_ids)} {turns} END"
    own_id = f"substr(id, 1, 24) || {_HEX[kind].format('n')}"
    own = {"id": own_id, "place": own_id, "item_key": "'copy-' || n", "batch_id": batch, "lane": batch}
    names = [column.name for column in Job.__table__.columns]
    values = ", ".join(own.get(name, name) for name in names)
    numbered = f"({_NUMBERS[kind]}) AS numbered"
    statement = f"INSERT INTO jobs ({', '.join(names)}) SELECT {values} FROM jobs, {numbered} WHERE id = :item"
    with database.writing() as session:
        if kind == "postgresql":
            session.execute(text("SET LOCAL statement_timeout = 0"))
        session.execute(text(statement), {"item": item, "count": count})
        _count(session)


def _count(session: Session) -> None:
    """Have the database take the statistics that choose its plans.

    An SQLite without STAT4 has none of single values: told that a state has many jobs in the mean, it reads all for a
    rare one. The service takes none on SQLite, and so is planned for without.
    """
    if session.get_bind().dialect.name == "sqlite":
        options = session.scalars(text("SELECT compile_options FROM pragma_compile_options")).all()
        if "ENABLE_STAT4" not in options:
            return
    session.execute(text("ANALYZE jobs"))
