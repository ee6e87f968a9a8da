"""nginx and Caddy as `docs/proxy.md` configures them, with other names, ports and certificates, and without root."""

import os
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.support.waiting import wait_until

PAGE = Path(__file__).parents[2] / "docs" / "proxy.md"
#: What a configuration of the page says, by the name under which `around` is given it.
_FOLDERS = ("body", "proxy", "fastcgi", "uwsgi", "scgi")


def block(language: str) -> str:
    """Return the code block of the page in that language."""
    [found] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return str(found)


class Certificate(NamedTuple):
    """A certificate for `localhost` that nobody has signed but itself."""

    file: Path
    key: Path

    @classmethod
    def make(cls, folder: Path) -> "Certificate":
        made = cls(folder / "localhost.pem", folder / "localhost.key")
        named = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        files = ["-keyout", str(made.key), "-out", str(made.file)]
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *named, *files]
        subprocess.run(command, check=True, capture_output=True)
        return made


class Place(NamedTuple):
    """Where a proxy runs: its folder, its ports, its certificate, and what it leads to."""

    folder: Path
    https: int
    http: int
    certificate: Certificate
    upstream: str

    @property
    def url(self) -> str:
        return f"https://localhost:{self.https}/atelier"


def required(*programs: str) -> None:
    """Skip the test where a program is missing; fail it in CI."""
    missing = [name for name in programs if shutil.which(name) is None]
    if missing and os.environ.get("CI"):
        pytest.fail(f"{', '.join(missing)} is missing; .ci/run installs it.")
    if missing:
        pytest.skip(f"{', '.join(missing)} is missing.")


@contextmanager
def nginx(place: Place) -> Iterator[None]:
    """Run nginx with the page's configuration."""
    text = _with(
        block("nginx"),
        {
            "/etc/ssl/example.org.pem": str(place.certificate.file),
            "/etc/ssl/example.org.key": str(place.certificate.key),
            "/var/log/nginx/atelier.log": str(place.folder / "access.log"),
            "https://example.org": f"https://localhost:{place.https}",
            "example.org": "localhost",
            "listen 443": f"listen 127.0.0.1:{place.https}",
            "listen 80": f"listen 127.0.0.1:{place.http}",
            "127.0.0.1:8765": place.upstream,
        },
    )
    paths = "".join(f"{name}_temp_path {place.folder}/{name};\n" for name in _FOLDERS[1:])
    paths += f"client_body_temp_path {place.folder}/body;\n"
    user = "user root;\n" if os.geteuid() == 0 else ""  # else its workers could not use the folder
    config = place.folder / "nginx.conf"
    config.write_text(
        f"{user}daemon off;\npid {place.folder}/pid;\nworker_processes 1;\nevents {{}}\nhttp {{\n{paths}{text}}}\n"
    )
    with _running(["nginx", "-p", str(place.folder), "-e", "stderr", "-c", str(config)], place):
        yield


@contextmanager
def caddy(place: Place) -> Iterator[None]:
    """Run Caddy with the page's configuration."""
    text = _with(
        block("caddyfile"),
        {
            "/etc/ssl/example.org.pem": str(place.certificate.file),
            "/etc/ssl/example.org.key": str(place.certificate.key),
            "example.org {": f"localhost:{place.https} {{\n\tbind 127.0.0.1",
            "127.0.0.1:8765": place.upstream,
        },
    )
    config = place.folder / "Caddyfile"
    config.write_text(f"{{\n\tadmin off\n\thttp_port {place.http}\n\tskip_install_trust\n}}\n{text}")
    with _running(["caddy", "run", "--adapter", "caddyfile", "--config", str(config)], place):
        yield


#: The proxies that the page describes.
PROXIES = {"nginx": nginx, "caddy": caddy}


def _with(text: str, replaced: Mapping[str, str]) -> str:
    for old, new in replaced.items():
        assert old in text, f"{PAGE.name} no longer says {old}"
        text = text.replace(old, new)
    return text


@contextmanager
def _running(command: list[str], place: Place) -> Iterator[None]:
    homes = {name: str(place.folder) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    with (place.folder / "proxy.log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **homes}, stdout=log, stderr=log, cwd=place.folder)
        trusted = ssl.create_default_context(cafile=str(place.certificate.file))

        def answers() -> bool:
            assert process.poll() is None, (place.folder / "proxy.log").read_text()
            with suppress(httpx.TransportError):
                return httpx.get(f"{place.url}/healthz", verify=trusted, trust_env=False).status_code == 200
            return False

        try:
            wait_until(answers, "the proxy answers")
            yield
        finally:
            process.terminate()
            process.wait(20)
