"""Odd sources of imports and odd hosts of webhooks are refused by name: never a 500."""

import os

import pytest
from structlog.testing import capture_logs

from api.app import create_app
from tests.support.factories import add_batch
from tests.support.flask_clients import client_with

SOURCES = [
    "", "x", "file:", "file://", "file:///", "file:///a%00b", "file:///%00", "file:///%ff%fe", "file:///..", "file:////",
    "file:///" + "a" * 1900, "file:///" + "a/" * 900, "file://host/a", "file://[/a", "file:///%ed%a0%80", "storage:",
    "storage:imports", "storage:imports/", "storage:imports/..", "storage:imports/../a", "storage:imports//a",
    "storage:imports/%00", "storage:imports/" + "a" * 1900, "storage:imports/" + "a/" * 900, "storage:/imports/a",
    "storage:imports/\\", "storage:imports/.", "s3://bucket/a", "http://a/b", "//a", "file:relative",
]  # fmt: skip
HOSTS = [
    "", ":80", "a:0", "a:65536", "a:x", "user@a.example", "user:pass@a.example", "a..example", ".a.example", "[::1]",
    "[::1", "::1", "[v1.a]", "[fe80::1%25lo]", "0177.0.0.1", "0x7f.1", "2130706433", "127.1", "%31%32%37.0.0.1",
    "localhost", "localhost.", "localhost..", "LOCALHOST", "a b", "a\\b", "ｌocalhost", "①.example", "xn--\u00fc",
    "a" * 64 + ".example", ("a" * 60 + ".") * 5 + "example", "a" * 1900, "169.254.169.254", "[::ffff:127.0.0.1]", "0",
]  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
def test_an_odd_source_is_refused(settings, database, key, tmp_path, source) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / os.fsdecode(b"\xff\x1b.png")).write_bytes(b"no picture")
    client = client_with(create_app(settings.model_copy(update={"import_roots": str(root)})), key)
    with capture_logs():
        answer = client.post(f"/v1/batches/{add_batch(database)}/items", json={"source": source})
    assert answer.status_code == 422, answer.json
    assert answer.json["code"] in ("forbidden_source", "nothing_added", "invalid_params")


@pytest.mark.parametrize("host", HOSTS)
def test_an_odd_host_is_refused(client, host) -> None:
    answer = client.post("/v1/webhooks/test", json={"url": f"http://{host}/hook"})
    assert (answer.status_code, answer.json["code"]) == (422, "forbidden_url"), answer.json
