"""Thousands of damaged bodies: each is taken for what is still right in it, or refused as a problem; never a 5xx.

A few hundred in `make test`, five thousand with `HOSTILE=long`. The seed is fixed, so what fails fails again.
"""

import os
import random
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import pytest
from structlog.testing import capture_logs

from shared.imaging import codec
from tests.hostile.damaged_bodies import json_bodies, multipart_bodies, mutated_images, nasty_texts
from tests.support.factories import picture

COUNT = 5000 if os.environ.get("HOSTILE") == "long" else 600
SEED = 1815
#: How much the process may have grown between the first quarter and the end, in bytes.
_GROWTH_BYTES = 96 * 2**20

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800 if COUNT > 600 else 600)]


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def judge(answer) -> int:
    """Check that an answer is a good one or a problem; return its status."""
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.content_type == "application/problem+json"
        assert answer.json["status"] == answer.status_code
        assert answer.json["code"]
    return answer.status_code


# werkzeug's own: the file of a part that breaks off is closed only as it is forgotten, which is at once
@pytest.mark.filterwarnings("ignore:Unclosed file <tempfile.SpooledTemporaryFile:ResourceWarning")
@pytest.mark.parametrize("way", ["images", "forms", "json"])
def test_no_damaged_body_is_more_than_refused(client, image_id, way) -> None:
    chance = random.Random(SEED)
    png = codec.encode(picture(), format="png")
    bodies = {
        "images": lambda: mutated_images(chance),
        "forms": lambda: multipart_bodies(chance, png),
        "json": lambda: json_bodies(chance, image_id),
    }[way]()
    path = "/v1/images" if way == "images" else "/v1/jobs"
    seen: Counter[int] = Counter()
    count, early = -(-COUNT // 3), 0
    with capture_logs():
        for number, (media_type, body) in zip(range(count), bodies, strict=False):
            seen[judge(client.post(path, data=body, content_type=media_type))] += 1
            if number == count // 4:
                early = resident_bytes()
    assert sum(seen.values()) == count
    assert resident_bytes() - early < _GROWTH_BYTES
    assert {status // 100 for status in seen} == {2, 4}, seen


@pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)
@pytest.mark.parametrize("text", nasty_texts())
def test_no_text_is_too_strange_for_any_database(client, image_id, text) -> None:
    written = quote(text, safe="", errors="surrogatepass")
    with capture_logs():
        for path in ("/v1/jobs", "/v1/webhooks/deliveries", "/v1/keys"):
            for name in ("label", "owner", "state", "cursor", "limit"):
                judge(client.get(path, query_string=f"{name}={written}"))
        body = {"content": image_id, "style": image_id}
        for part in (
            {"label": text},
            {"metadata": {text: text}},
            {"webhook": text},
            {"params": {text: 1}},
            {"preset": text},
        ):
            judge(client.post("/v1/jobs?dry_run=false", json=body | part))
        judge(client.post("/v1/jobs", json=body, headers={"Idempotency-Key": "a"}))
        judge(client.post("/v1/keys", json={"name": text, "owner": text}))
        judge(client.post("/v1/webhooks/test", json={"url": text}))
        for path in ("/v1/jobs/{}", "/v1/jobs/{}/result", "/v1/images/{}", "/v1/keys/{}", "/v1/webhooks/deliveries/{}"):
            judge(client.get(path.format(written or "x")))
        judge(client.get("/v1/jobs"))
