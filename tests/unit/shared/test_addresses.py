"""The public URL, hosts with ports, and peers, as they are written."""

import ipaddress

import pytest

from shared.addresses import PublicUrl, authority, is_in, networks, parse_origin, parse_peer


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("https://example.org", ("https", "example.org", "")),
        ("https://Example.org:443/", ("https", "example.org", "")),
        ("http://[2001:db8::1]:8080/a/b/", ("http", "[2001:db8::1]:8080", "/a/b")),
        ("http://example.org:443/atelier", ("http", "example.org:443", "/atelier")),
    ],
)
def test_a_public_url_is_read_as_browsers_send_it(text, read) -> None:
    assert PublicUrl.parse(text) == read


@pytest.mark.parametrize(
    "text",
    [
        "example.org",
        "ftp://example.org",
        "https://",
        "https://me:pw@example.org",
        "https://example.org/a?b",
        "http://::1",
    ]
    + [f"https://example.org{path}" for path in ("/a//b", "/../a", "/a b", "/%2e", "#x", "/a;b", '/"')],
)
def test_anything_else_is_no_public_url(text) -> None:
    with pytest.raises(ValueError, match="must be an address"):
        PublicUrl.parse(text)


def test_an_origin_has_no_path() -> None:
    assert parse_origin("https://App.example.org:443") == "https://app.example.org"
    with pytest.raises(ValueError, match="no path"):
        parse_origin("https://app.example.org/x")


def test_ipv6_hosts_stand_in_brackets() -> None:
    assert [authority("::1", 80), authority("127.0.0.1", 80), authority("host", 1)] == [
        "[::1]:80",
        "127.0.0.1:80",
        "host:1",
    ]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        (" 192.0.2.7:5060", "192.0.2.7"),
        ("[2001:db8::1]:5060", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_a_peer_may_have_a_port_and_be_written_in_either_way(text, address) -> None:
    assert parse_peer(text) == ipaddress.ip_address(address)


@pytest.mark.parametrize("text", ["", "unknown", "_hidden", "1.2.3", "a:b:c", "192.0.2.7, 192.0.2.8"])
def test_what_is_no_address_is_none(text) -> None:
    assert parse_peer(text) is None
    assert not is_in(parse_peer(""), networks("0.0.0.0/0,::/0"))
