"""Downloads to a file: whole or not at all, and going on where a connection was lost."""

from pathlib import Path

import pytest

from api.client import ApiProblem, Unreachable
from tests.support.scripted_server import Answer, as_json
from tests.unit.api.client.scripted_client import Naps, talking

HALF = Answer(body=b"pict", headers={"ETag": '"1"'}, cut=True)
REST = Answer(206, b"ure", {"ETag": '"1"'})


@pytest.fixture
def naps() -> Naps:
    return Naps()


def test_it_goes_on_where_the_connection_was_lost(tmp_path: Path, naps: Naps) -> None:
    with talking(HALF, REST, sleep=naps) as (server, client):
        client.download("j", tmp_path / "a.jpg")
    assert (tmp_path / "a.jpg").read_bytes() == b"picture"
    first, second = server.asked
    assert first.path == second.path == "/v1/jobs/j/result?format=jpeg"
    assert "range" not in first.headers
    assert (second.headers["range"], second.headers["if-range"]) == ("bytes=4-", '"1"')
    assert second.headers["accept-encoding"] == "identity"


def test_a_strength_is_asked_for_only_if_it_is_named(tmp_path: Path) -> None:
    with talking(*[Answer(body=b"picture")] * 4) as (server, client):
        client.download("j", tmp_path / "a.png", strength=0.5)
        client.result("j", strength=0)
        client.preview("j", strength=1)
        client.result("j")
    assert [asked.path.partition("j/")[2] for asked in server.asked] == [
        "result?strength=0.5&format=png",
        "result?strength=0&format=png",
        "preview?strength=1",
        "result?format=png",
    ]


def test_a_file_that_has_changed_is_fetched_from_its_start(tmp_path: Path, naps: Naps) -> None:
    with talking(HALF, Answer(body=b"other", headers={"ETag": '"2"'}), sleep=naps) as (_server, client):
        client.download("j", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == b"other"


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"1"'}])
def test_without_a_strong_tag_it_begins_again(headers: dict[str, str], tmp_path: Path, naps: Naps) -> None:
    half = Answer(body=b"pict", headers=headers, cut=True)
    with talking(half, Answer(body=b"picture"), sleep=naps) as (server, client):
        client.download_timelapse("j", tmp_path / "a.webp")
    assert "range" not in server.asked[1].headers
    assert (tmp_path / "a.webp").read_bytes() == b"picture"


def test_nothing_is_left_of_a_download_that_failed(tmp_path: Path, naps: Naps) -> None:
    (tmp_path / "a.png").write_bytes(b"before")
    refused = as_json({"code": "result_expired", "detail": "Gone."}, 410)
    with (
        talking(HALF, refused, sleep=naps) as (_server, client),
        pytest.raises(ApiProblem, match="Gone"),
    ):
        client.download("j", tmp_path / "a.png")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"before"]


def test_its_patience_ends_when_nothing_comes(tmp_path: Path, naps: Naps) -> None:
    nothing = Answer(headers={"ETag": '"1"'}, cut=True)
    with talking(*[nothing] * 30, sleep=naps) as (_server, client), pytest.raises(Unreachable):
        client.download("j", tmp_path / "a.png")
    assert 40 < sum(naps) <= 60


def test_a_server_that_starts_anew_is_waited_for(tmp_path: Path, naps: Naps) -> None:
    away = Answer(503, headers={"Retry-After": "3"})
    with talking(HALF, away, REST, sleep=naps) as (_server, client):
        client.download("j", tmp_path / "a.png")
    assert naps[-1] == 3.0


def test_an_uploaded_picture_comes_back(tmp_path: Path) -> None:
    with talking(Answer(body=b"photo")) as (server, client):
        client.download_image("sha256:ab", tmp_path / "photo")
    assert server.asked[0].path == "/v1/images/sha256%3Aab/content"
    assert (tmp_path / "photo").read_bytes() == b"photo"
