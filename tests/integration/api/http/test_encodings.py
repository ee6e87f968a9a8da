"""Compressed bodies: gzip is read wherever a body is, within the bounds of its content; other encodings are refused."""

import gzip
import io
import json
import zlib

import pytest

from api.http.bodies import MAX_JSON_BYTES
from api.http.encodings import Gunzipped
from shared.errors import InvalidRequest
from tests.support.factories import add_batch

GZIP = {"Content-Encoding": "gzip"}


def test_json_images_forms_and_lines_may_be_compressed(client, database, png) -> None:
    sent = client.post("/v1/images", data=gzip.compress(png), content_type="image/png", headers=GZIP)
    assert (sent.status_code, sent.json["bytes"]) == (201, len(png))
    image_id = sent.json["id"]
    body = json.dumps({"content": image_id, "style": image_id, "params": {"size": 32}}).encode()
    job = client.post("/v1/jobs", data=gzip.compress(body), content_type="application/json", headers=GZIP)
    assert job.status_code == 202
    form = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
        + png
        + b"\r\n--x--\r\n"
    )
    sent = client.post(
        "/v1/images", data=gzip.compress(form), content_type="multipart/form-data; boundary=x", headers=GZIP
    )
    assert (sent.status_code, sent.json["id"]) == (200, image_id)
    lines = b"".join(json.dumps({"key": key, "content": image_id}).encode() + b"\n" for key in "ab")
    path = f"/v1/batches/{add_batch(database)}/items"
    added = client.post(path, data=gzip.compress(lines), content_type="application/jsonl", headers=GZIP)
    assert (added.status_code, added.json["added"]) == (200, 2)


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "compress", "é"])
def test_other_encodings_are_refused_and_gzip_is_named(client, encoding) -> None:
    headers = {"Content-Encoding": encoding}
    answer = client.post("/v1/jobs", data=b"{}", content_type="application/json", headers=headers)
    assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")
    assert answer.headers["Accept-Encoding"] == "gzip"
    assert client.get("/v1/jobs", headers=headers).status_code == 200


def test_the_bound_is_that_of_the_content(client) -> None:
    bomb = gzip.compress(b'{"label": "' + bytes([32]) * (8 * 2**20) + b'"}')
    assert len(bomb) < 2**14
    answer = client.post("/v1/jobs", data=bomb, content_type="application/json", headers=GZIP)
    assert (answer.status_code, answer.json["code"]) == (413, "body_too_large")


def test_a_body_of_unknown_length_is_never_cut_at_its_bound(client, settings) -> None:
    """Werkzeug would read as much as is allowed, and make nonsense of the rest."""
    body = io.BytesIO(b'{"label": "' + b" " * MAX_JSON_BYTES + b'"}')
    environ = {"wsgi.input_terminated": True}
    answer = client.post("/v1/jobs", input_stream=body, content_type="application/json", environ_overrides=environ)
    assert (answer.status_code, answer.json["code"]) == (413, "body_too_large")


_WHOLE = gzip.compress(b"{}", mtime=0)
_DAMAGED = {"plain": b"{}", "cut": _WHOLE[:-3], "followed": _WHOLE + b"more", "begun": b"\x1f\x8b"}


@pytest.mark.parametrize("damage", _DAMAGED.values(), ids=_DAMAGED)
def test_what_is_not_gzip_is_refused(client, damage) -> None:
    answer = client.post("/v1/jobs", data=damage, content_type="application/json", headers=GZIP)
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_request")


def test_members_follow_one_another_in_reads_of_any_size() -> None:
    content = bytes(range(256)) * 999
    stream = gzip.compress(content[:70_000]) + gzip.compress(b"") + gzip.compress(content[70_000:])
    for size in (1, 7, 65_536, 10**6):
        reader, read = Gunzipped(io.BytesIO(stream)), []
        while block := reader.read(size):
            assert len(block) <= size
            read.append(block)
            if size < 9 and len(read) > 300:
                break
        assert content.startswith(b"".join(read)) if size < 9 else b"".join(read) == content
    assert Gunzipped(io.BytesIO(b"")).read(9) == b""


def test_a_body_that_says_nothing_at_length_is_refused() -> None:
    empty_block = b"\x00\x00\x00\xff\xff"  # stored, without content
    deflate = zlib.compressobj(wbits=-15)
    head = gzip.compress(b"")[:10] + deflate.flush(zlib.Z_SYNC_FLUSH)

    class Endless(io.RawIOBase):
        taken = 0

        def read(self, size: int = -1) -> bytes:
            self.taken += size
            assert self.taken < 2**20, "it is read on"
            return head if self.taken == size else empty_block * (size // 5)

    with pytest.raises(InvalidRequest, match="far longer"):
        Gunzipped(Endless()).read(9)
