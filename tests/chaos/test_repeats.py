"""Requests that are sent again and again, to several processes of the API at once: each is carried out once."""

import threading
from collections import defaultdict
from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import func, select

from shared.db.models import Job
from shared.imaging import codec
from tests.chaos.rig import Rig
from tests.chaos.scale import scaled
from tests.support.factories import add_key, picture

pytestmark = pytest.mark.chaos

PROCESSES = 4
KEYS, SENDERS = scaled((20, 8), (200, 50))


@pytest.fixture(scope="module", params=scaled(["postgres"], ["sqlite", "postgres"]))
def rig(request) -> Iterator[Rig]:
    with Rig(database=request.param, apis=PROCESSES) as made:
        with made.client() as client:
            client.pause_queue()
        yield made


def test_of_many_senders_of_one_request_one_is_heard(rig) -> None:
    with rig.client() as client:
        image = client.upload(codec.encode(picture(), format="png")).id
    body = {"content": image, "style": image, "preset": "classic", "params": {"size": 32, "steps": 2}}
    made: dict[int, set[str]] = defaultdict(set)
    refused: list[str] = []
    barrier = threading.Barrier(SENDERS)

    def send(number: int) -> None:
        headers = {"Authorization": f"Bearer {rig.key}"}
        with httpx.Client(base_url=rig.urls[number % PROCESSES], headers=headers, timeout=60) as http:
            for key in range(KEYS):
                barrier.wait(120)
                answer = http.post("/v1/jobs", json=body, headers={"Idempotency-Key": f"raced-{key}"})
                if answer.status_code == 202:
                    made[key].add(answer.json()["id"])
                else:
                    refused.append(answer.text)

    senders = [threading.Thread(target=send, args=(number,)) for number in range(SENDERS)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(600)
    assert refused == []
    assert [len(ids) for ids in made.values()] == [1] * KEYS
    with rig.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == KEYS
    print(f"\n{KEYS * SENDERS} requests with {KEYS} keys to {PROCESSES} processes: {KEYS} jobs")


def test_a_limit_holds_for_all_processes_together(rig) -> None:
    limit = scaled(40, 400)
    token = add_key(rig.database, owner="ann", max_requests_per_min=limit)
    codes: list[int] = []

    def ask(url: str) -> None:
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30) as http:
            codes.extend(http.get("/v1/jobs?limit=1").status_code for _ in range(limit))

    askers = [threading.Thread(target=ask, args=(url,)) for url in rig.urls]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(300)
    admitted = codes.count(200)
    print(f"\n{len(codes)} requests at a limit of {limit}: {admitted} admitted")
    assert set(codes) == {200, 429}
    assert admitted == limit
    rig.processes["redis"].freeze()
    try:
        with httpx.Client(base_url=rig.urls[0], headers={"Authorization": f"Bearer {token}"}, timeout=30) as http:
            assert {http.get("/v1/jobs?limit=1").status_code for _ in range(5)} == {200}
    finally:
        rig.processes["redis"].thaw()
