"""Forms that are too large: reading stops where the bound is passed, and nothing is kept."""

import io

import pytest

from api.app import create_app
from tests.integration.api.batch_requests import show
from tests.integration.api.refused_images import stored
from tests.support.flask_clients import client_with

BOUNDARY = "b0undary"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
LARGEST = 500_000
#: What the server says of a body that comes in chunks.
CHUNKED = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}


class Endless(io.RawIOBase):
    """A body that starts as given and goes on with zeros; it knows how much was read of it."""

    def __init__(self, start: bytes) -> None:
        self._start, self.taken = start, 0

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return 0  # for the test client, which looks for the end

    def tell(self) -> int:
        return 0

    def readinto(self, buffer) -> int:
        data = self._start[: len(buffer)] or bytes(len(buffer))
        self._start = self._start[len(data) :]
        buffer[: len(data)] = data
        self.taken += len(data)
        return len(data)


def part(name: str, data: bytes = b"", *, is_file: bool = True) -> bytes:
    file = '; filename="x.png"' if is_file else ""
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + data


@pytest.fixture
def bounded(settings, database, key):
    """A client of a service of small uploads."""
    return client_with(create_app(settings.model_copy(update={"max_upload_bytes": LARGEST})), key)


def post(client, path: str, body: Endless, content_type: str = MULTIPART):
    return client.post(path, input_stream=body, content_type=content_type,
                       environ_overrides=CHUNKED)  # fmt: skip


@pytest.mark.parametrize(
    ("path", "name", "limit"),
    [
        ("/v1/jobs", "content", LARGEST),
        ("/v1/jobs", "style", LARGEST),
        ("/v1/jobs", "unheard-of", LARGEST),
        ("/v1/jobs", "request", 2**20),
        ("/v1/batches", "style", LARGEST),
        ("/v1/batches", "request", 2**20),
    ],
)
def test_a_part_is_read_to_its_bound_and_no_further(bounded, settings, path, name, limit) -> None:
    body = Endless(part(name))
    answer = post(bounded, path, body)
    assert (answer.status_code, answer.json["code"], answer.json["max_bytes"]) == (413, "body_too_large", limit)
    assert body.taken < limit + 200_000
    assert stored(settings) == []


def test_the_files_of_a_form_are_bounded_together(bounded) -> None:
    body = Endless(b"\r\n".join(part("style", bytes(LARGEST - 1)) for _ in range(20)))
    answer = post(bounded, "/v1/batches", body)
    assert (answer.status_code, answer.json["code"]) == (413, "body_too_large")
    assert body.taken < 4 * LARGEST + 200_000


def test_an_archive_in_a_form_has_the_bound_of_archives(settings, database, key) -> None:
    small = settings.model_copy(update={"max_upload_bytes": LARGEST, "max_batch_bytes": 3 * LARGEST})
    body = Endless(part("archive"))
    answer = post(client_with(create_app(small), key), "/v1/batches", body)
    assert (answer.status_code, answer.json["code"]) == (413, "body_too_large")
    assert 3 * LARGEST <= body.taken < 3 * LARGEST + 200_000


def test_a_text_field_and_the_parts_are_bounded(bounded) -> None:
    for body in (Endless(part("request", is_file=False)), Endless(b"\r\n".join(part("style") for _ in range(99)))):
        answer = post(bounded, "/v1/jobs", body)
        assert (answer.status_code, answer.json["code"]) == (413, "body_too_large")
        assert body.taken < 2**20 + 200_000


@pytest.mark.parametrize("path", ["/login", "/dashboard/submit"])
@pytest.mark.parametrize("start", [b"key=", b"&".join(b"a=" for _ in range(5000))])
def test_a_form_of_text_is_read_to_its_bound(client, path, start) -> None:
    body = Endless(start)
    headers = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    answer = client.post(path, input_stream=body, content_type="application/x-www-form-urlencoded", headers=headers,
                         environ_overrides=CHUNKED)  # fmt: skip
    assert answer.status_code in (303, 400, 413)
    assert body.taken < 2**20 + 200_000


def test_an_image_is_read_to_its_bound(bounded, settings) -> None:
    raw = Endless(b"\x89PNG\r\n\x1a\n")
    answer = post(bounded, "/v1/images", raw, "image/png")
    assert (answer.status_code, answer.json["code"]) == (413, "image_too_large")
    assert raw.taken < LARGEST + 200_000
    form = {"file": (io.BytesIO(bytes(LARGEST + 1)), "x.png")}
    assert bounded.post("/v1/images", data=form).json["code"] == "image_too_large"
    assert stored(settings) == []


def test_a_file_that_is_too_large_leaves_the_others_of_a_batch(bounded, png) -> None:
    style = bounded.post("/v1/images", data=png, content_type="image/png").json["id"]
    batch = bounded.post("/v1/batches", json={"style": style}).json
    sent = {"a.png": png, "b.png": bytes(LARGEST + 9), "c.png": png}
    files = [(io.BytesIO(data), name) for name, data in sent.items()]
    told = bounded.post(f"/v1/batches/{batch['id']}/items", data={"file": files}).json
    assert (told["added"], [(each["key"], each["code"]) for each in told["errors"]]) == (
        2,
        [("b.png", "image_too_large")],
    )
    assert show(bounded, batch)["counts"]["total"] == 2
