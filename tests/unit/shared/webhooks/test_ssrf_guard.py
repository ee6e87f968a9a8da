"""Which addresses webhooks may be sent to: nothing reaches a listener that is not public."""

import socket
import threading
import time
from collections.abc import Iterator

import httpcore
import pytest

from shared.addresses import networks
from shared.errors import ForbiddenUrl
from shared.webhooks.ssrf_guard import GuardedBackend, check_url, is_allowed

#: Addresses in every form that a resolver may give or take, none of them public.
FORBIDDEN = [
    # this machine
    "127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "2130706433", "0x7f000001", "0x7f.1", "0x7F.0x0.0x0.0x1",
    "0177.0.0.1", "017700000001", "0177.1", "0", "0.0.0.0", "0.1.2.3", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[::7f00:1]", "[0:0:0:0:0:ffff:7f00:1]",
    # private networks
    "10.0.0.1", "10.255.255.255", "167772161", "0xa000001", "012.0.0.1", "10.1", "172.16.0.1", "172.31.255.255",
    "0xac100001", "172.16.1", "192.168.0.1", "192.168.1", "3232235521", "0xc0a80001", "0300.0250.0.1",
    "[::ffff:10.0.0.1]", "[::ffff:192.168.0.1]", "[::10.0.0.1]", "[fc00::1]", "[fd12:3456:789a::1]", "[fec0::1]",
    # link-local, and with it the metadata of clouds
    "169.254.169.254", "169.254.0.1", "2852039166", "0xa9fea9fe", "0xA9.0xFE.0xA9.0xFE", "0251.0376.0251.0376",
    "169.16689662", "[fe80::1]", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[fd00:ec2::254]",
    # shared, documentation, benchmarks, reserved
    "100.64.0.1", "100.127.255.254", "192.0.0.1", "192.0.2.1", "198.51.100.7", "203.0.113.9", "198.18.0.1",
    "198.19.255.255", "192.88.99.1", "240.0.0.1", "255.255.255.255", "224.0.0.1", "239.255.255.250", "[ff02::1]",
    "[2001:db8::1]", "[3fff::1]", "[100::1]", "[2001:2::1]", "[2001:10::1]", "[5f00::1]",
    # an IPv4 address in an IPv6 one
    "[64:ff9b::7f00:1]", "[64:ff9b::10.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::1]", "[64:ff9b:1::10.0.0.1]",
    "[2002:7f00:1::]", "[2002:a00:1::1]", "[2002:a9fe:a9fe::]", "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
    # written so that some resolver may read it, and what is public by its number only
    "127.0.0.1.", "0x7f.0.0.1.", "%31%32%37.0.0.1", "127.0.0.1%2e", "127.0.0.08", "1.2.3.4.5", "256.1.1.1",
    "[fe80::1%25eth0]", "[::1%25lo]", "[::ffff:127.0.0.1%25lo]", "[2606:2800::1%25eth0]", "168.63.129.16",
    "[2001:0:7f00:1::]", "[2a00:1450:4001:830:0:5efe:7f00:1]", "[2a00:1450:4001:830:200:5efe:a00:1]",
]  # fmt: skip
NAMES = [
    "localhost", "LOCALHOST", "localhost.", "a.localhost", "printer.local", "db.internal", "router.home.arpa",
    "metadata.google.internal",
]  # fmt: skip
WRONG = [
    "ftp://example.org/", "file:///etc/passwd", "gopher://example.org/", "//example.org", "example.org", "https://",
    "http://user@example.org/", "http://a:b@example.org/", "http://example.org:0/", "http://example.org:99999/",
    "http://exa mple.org/", "http://example.org/\n", "http://exämple.org/", "http://example.org\\@10.0.0.1/",
    "http://a..b/", "http://.example.org/", "http://a*b/", "http://[v1.a]/", "http://" + "a" * 64 + ".org/",
    "http://[::1", "javascript:alert(1)", "", "http://" + "a" * 2000,
]  # fmt: skip


def test_there_are_enough_of_them() -> None:
    assert len(set(FORBIDDEN)) >= 80


@pytest.mark.parametrize("host", FORBIDDEN + NAMES)
@pytest.mark.parametrize("form", ["http://{}/hook", "https://{}:8443/hook"])
def test_an_address_that_is_not_public_is_refused(host, form) -> None:
    with pytest.raises(ForbiddenUrl):
        check_url(form.format(host))


@pytest.mark.parametrize("url", WRONG)
def test_what_is_no_address_is_refused(url) -> None:
    with pytest.raises(ForbiddenUrl):
        check_url(url)


@pytest.mark.parametrize("url", [
    "https://example.org/hook?x=1", "http://93.184.215.14:8080/", "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/",
    "https://[64:ff9b::5db8:d70e]/", "https://localhost.example.org/",
])  # fmt: skip
def test_a_public_address_is_let_pass(url) -> None:
    check_url(url)


def test_an_operator_may_allow_a_network_and_no_more_than_that() -> None:
    allowed = networks("10.1.0.0/16, fd00::/8")
    check_url("http://10.1.2.3/", allowed)
    check_url("http://[fd00::1]/", allowed)
    assert not is_allowed("10.2.0.1", allowed)
    with pytest.raises(ValueError, match="network"):
        networks("everything")


@pytest.fixture
def listener() -> Iterator[tuple[int, list[object]]]:
    """A socket on this machine, and who connected to it."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.05)
    seen: list[object] = []
    ending = threading.Event()

    def accept() -> None:
        while not ending.is_set():
            try:
                connection, address = server.accept()
            except TimeoutError:
                continue
            seen.append(address)
            connection.close()

    thread = threading.Thread(target=accept)
    thread.start()
    yield server.getsockname()[1], seen
    ending.set()
    thread.join()
    server.close()


def connect(host: str, port: int, resolve=None, allowed: str = "") -> None:
    backend = GuardedBackend(networks(allowed), deadline=time.monotonic() + 5, resolve=resolve)
    backend.connect_tcp(host, port, timeout=1).close()


@pytest.mark.parametrize("host", [*FORBIDDEN, "localhost"])
def test_nothing_connects_to_a_listener_that_is_not_public(listener, host) -> None:
    port, seen = listener
    with pytest.raises((ForbiddenUrl, httpcore.ConnectError)):
        connect(host.strip("[]"), port)
    assert seen == []


def test_every_address_of_a_name_has_to_be_public(listener) -> None:
    port, seen = listener
    with pytest.raises(ForbiddenUrl):
        connect("example.org", port, lambda host, port: ["93.184.215.14", "127.0.0.1"])
    assert seen == []


def test_a_name_that_changes_its_mind_is_not_asked_twice(listener) -> None:
    port, seen = listener
    answers = iter([["192.0.2.1"], ["127.0.0.1"]])
    with pytest.raises(ForbiddenUrl):
        connect("rebinding.example.org", port, lambda host, port: next(answers))
    assert next(answers) == ["127.0.0.1"]
    assert seen == []


@pytest.mark.parametrize("found", [[], ["nonsense"], ["127.0.0.1%lo"], ["fe80::1%eth0"]])
def test_odd_answers_of_a_resolver_lead_nowhere(listener, found) -> None:
    port, seen = listener
    with pytest.raises((ForbiddenUrl, httpcore.ConnectError)):
        connect("example.org", port, lambda host, port: found)
    assert seen == []


def test_the_next_address_is_tried_where_one_does_not_answer(listener) -> None:
    port, _ = listener
    connect("example.org", port, lambda host, port: ["127.0.0.9", "127.0.0.1"], allowed="127.0.0.0/8")


def test_a_resolver_that_fails_is_a_failed_connection() -> None:
    def fail(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    with pytest.raises(httpcore.ConnectError, match="cannot be resolved"):
        connect("example.org", 80, fail)


def test_an_allowed_network_is_reached(listener) -> None:
    port, _ = listener
    connect("127.0.0.1", port, allowed="127.0.0.0/8")
