"""A batch with bad pictures, whose workers, API and maintenance are killed while it runs, adds up to the last item.

Long: `make chaos ARGS="-k batch"`, 100,000 items and 20 kills.
"""

from collections import Counter

import pytest
from sqlalchemy import func, select

from shared.db.models import BatchMove, Job
from shared.imaging import codec
from shared.storage.store import image_key
from tests.chaos.rig import PNG, Rig
from tests.chaos.scale import scaled
from tests.support.factories import picture
from tests.support.waiting import wait_until

pytestmark = pytest.mark.chaos

ITEMS = scaled(400, 100_000)
KILLS = scaled(4, 20)
#: One item in so many is of a picture whose bytes are damaged once it was taken in.
BAD_EVERY = 100


@pytest.mark.parametrize("database", scaled(["sqlite"], ["sqlite", "postgres"]))
def test_the_counts_of_a_batch_add_up_whoever_is_killed(database) -> None:
    with Rig(database=database, null_step_s=0.0, lease_s=3.0) as rig, rig.client() as client:
        good = client.upload(PNG).id
        bad = client.upload(another_picture()).id
        batch = client.open_batch(styles=[{"image": good}], preset="fast", params={"size": 32, "steps": 2}, reuse=False)
        names = [f"{number}.png" for number in range(ITEMS)]
        contents = [bad if number % BAD_EVERY == 7 else good for number in range(ITEMS)]
        added = client.add_items(batch.id, ({"key": k, "content": c} for k, c in zip(names, contents, strict=True)))
        assert added.added == ITEMS
        rig.store.put(image_key(bad), b"damaged")
        client.control_batch(batch.id, "start")
        kill_at_random(rig, client, batch.id)
        wait_until(lambda: client.batch(batch.id).ended_at, "the batch has ended", timeout_s=scaled(300, 3600))
        counts = client.batch(batch.id).counts
        damaged = sum(content == bad for content in contents)
        assert (counts.total, counts.succeeded, counts.failed) == (ITEMS, ITEMS - damaged, damaged)
        assert (counts.queued, counts.running) == (0, 0)
        told = Counter(result.key for result in client.batch_results(batch.id))
        assert told == Counter(names), "each ended once, and none is missing"
        assert in_the_table(rig, batch.id) == {"succeeded": ITEMS - damaged, "failed": damaged}


def another_picture() -> bytes:
    return codec.encode(picture(seed=5), format="png")


def kill_at_random(rig: Rig, client, batch_id: str) -> None:
    """Kill a process of each kind by turns, spread over the whole run."""
    victims = [name for name in rig.processes if name != "redis"]
    for number in range(1, KILLS + 1):
        share = number / (KILLS + 1)
        wait_until(lambda share=share: ended(client, batch_id) >= share * ITEMS, "more has ended", timeout_s=1800)
        name = victims[number % len(victims)]
        rig.processes[name].kill()


def ended(client, batch_id: str) -> int:
    counts = client.batch(batch_id).counts
    return counts.succeeded + counts.failed


def in_the_table(rig: Rig, batch_id: str) -> dict[str, int]:
    """Count the items themselves; nothing is left to be folded."""
    with rig.database.reading() as session:
        assert not session.scalar(select(func.count()).select_from(BatchMove))
        query = select(Job.state, func.count()).where(Job.batch_id == batch_id).group_by(Job.state)
        return dict(list(session.execute(query)))
