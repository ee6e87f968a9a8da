"""`python -m worker weights`: the file of the published hash, from a server of ours."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.scripted_server import Answer, closed_url, serving
from worker.__main__ import main
from worker.engine import weights

BODY = b"kernels" * 100_000


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, nothing in Keras' own, and a published hash that is our file's."""
    monkeypatch.setenv("ATELIER_WEIGHTS_DIR", str(tmp_path / "weights"))
    monkeypatch.setattr(weights, "_KERAS_CACHE", tmp_path / "keras")
    monkeypatch.setattr(weights, "IMAGENET_MD5", hashlib.md5(BODY).hexdigest())
    return tmp_path / "weights"


def test_it_fetches_once_and_prints_where_they_lie(folder, monkeypatch, capsys) -> None:
    with serving(Answer(body=BODY)) as server:
        monkeypatch.setattr(weights, "IMAGENET_URL", f"{server.url}/file.h5")
        assert [main(["weights"]), main(["weights"])] == [0, 0]
    path = folder / weights.IMAGENET_FILE
    assert path.read_bytes() == BODY
    assert capsys.readouterr().out == f"{path}\n" * 2
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [(Answer(body=b"other"), "MD5"), (Answer(404), "404"), (Answer(body=BODY[:1000], cut=True), "MD5")],
)
def test_what_is_not_the_published_file_is_refused_with_the_reason(folder, monkeypatch, capsys, answer, said) -> None:
    with serving(answer) as server:
        monkeypatch.setattr(weights, "IMAGENET_URL", f"{server.url}/file.h5")
        assert main(["weights"]) == 1
    (sentence,) = capsys.readouterr().out.splitlines()
    assert said in sentence
    assert not list(folder.glob("*"))


def test_without_a_server_it_says_where_to_put_the_file(folder, monkeypatch, capsys) -> None:
    monkeypatch.setattr(weights, "IMAGENET_URL", closed_url())
    assert main(["weights"]) == 1
    assert f"copy {weights.IMAGENET_FILE} from another machine to {folder}." in capsys.readouterr().out
