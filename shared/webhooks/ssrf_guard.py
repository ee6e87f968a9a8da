"""Server-side request forgery: webhooks go to public addresses and to networks that the operator allows.

The threat: a client makes the server call an address of its choosing, and so reaches what only the server can reach:
cloud metadata, databases, other tenants. Checking the name is no protection, since its owner controls what it resolves
to and may change the answer between the check and the connection (DNS rebinding). So the check happens on connecting:
every address the name resolves to must be allowed, and the connection goes to one of these without resolving again.

Invariant: `GuardedBackend` connects only to addresses for which `is_allowed` holds.
"""

import ipaddress
import re
import socket
import time
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Network
from typing import Any
from urllib.parse import urlsplit

import httpcore
from httpcore import ConnectError, ConnectTimeout, NetworkBackend, NetworkStream

from shared.addresses import Address, Network
from shared.errors import ForbiddenUrl

Resolve = Callable[[str, int], list[str]]
#: Is told the addresses that are about to be called, and the port; it raises to prevent that.
Admit = Callable[[list[str], int], None]

#: Names that never resolve to public hosts. Source: RFC 6761, RFC 6762, RFC 8375, RFC 9476.
_PRIVATE_NAMES = ("localhost", "local", "internal", "home.arpa", "localdomain", "lan", "intranet", "corp", "home")
#: Networks whose addresses embed an IPv4 address, and how many bits follow it. Source: RFC 6052, 8215, 3056, 4291.
_EMBEDDING: tuple[tuple[IPv6Network, int], ...] = (
    (IPv6Network("64:ff9b::/96"), 0),
    (IPv6Network("64:ff9b:1::/48"), 0),
    (IPv6Network("2002::/16"), 80),
    (IPv6Network("::ffff:0:0:0/96"), 0),
    (IPv6Network("::/96"), 0),
)
#: NAT64: of these addresses only the embedded one is checked, as resolvers on IPv6-only networks return them for public
#: names too.
_NAT64 = IPv6Network("64:ff9b::/96")
#: The interface identifier of ISATAP. Source: RFC 5214.
_ISATAP = (0x00005EFE, 0x02005EFE)
#: A host name, and a number that some resolver may accept as an address.
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_NUMBER = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)")
#: How many of a name's addresses are tried.
_MAX_TRIES = 4
#: Special networks on which the supported versions of the standard library disagree. The last is the host of a virtual
#: machine in Azure, though its address is a public one. Source: Azure, on 168.63.129.16.
_NEVER: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4",
        "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16", "fec0::/10",
        "168.63.129.16/32",
    )
)  # fmt: skip


def is_allowed(text: str, allowed: Iterable[Network] = ()) -> bool:
    """Return whether an address and any IPv4 address embedded in it are public, or the address is in `allowed`."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if any(address in network for network in allowed):
        return True
    embedded = _embedded(address)
    checked = embedded if embedded and address in _NAT64 else [address, *embedded]
    return all(_is_public(each) for each in checked) and "%" not in text


def check_url(url: str, allowed: Iterable[Network] = ()) -> None:
    """Raise `ForbiddenUrl` for what is never allowed; the addresses of a name are checked when connecting."""
    if not re.fullmatch(r"[!-~]{1,2000}", url) or "\\" in url:
        raise ForbiddenUrl("The URL must be at most 2000 printable ASCII characters, without spaces or backslashes.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ForbiddenUrl("This is not a valid URL.") from None
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise ForbiddenUrl("The URL must look like https://host/path.")
    if "@" in parts.netloc:
        raise ForbiddenUrl("The URL must not contain a user name or password, because it is logged.")
    literal = None if "%" in host else _as_literal(host.rstrip("."))
    if literal is None:
        _check_name(host.removesuffix("."), bracketed="[" in parts.netloc)
    elif not is_allowed(literal, allowed):
        raise ForbiddenUrl("Webhooks are sent to public addresses only.")


class GuardedBackend(NetworkBackend):
    """Connects to allowed addresses only, with one deadline for the whole exchange, however slow the server is."""

    def __init__(
        self,
        allowed: Iterable[Network],
        *,
        deadline: float,
        resolve: Resolve | None = None,
        admit: Admit | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Fail every operation after `deadline`, by `clock`."""
        self._allowed = tuple(allowed)
        self._deadline, self._clock = deadline, clock
        self._resolve, self._admit = resolve or _resolved, admit
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> NetworkStream:
        """Resolve `host`, check every address and connect to one; raise `ForbiddenUrl` or `ConnectError`.

        Raises also what `admit` raises.
        """
        try:
            found = self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise ConnectError(f"{host} cannot be resolved: {error}") from error
        if not found:
            raise ConnectError(f"{host} has no addresses.")
        for address in found:
            if not is_allowed(address, self._allowed):
                raise ForbiddenUrl(f"{host} resolves to {address}, which is not a public address.")
        if self._admit is not None:
            self._admit(found[:_MAX_TRIES], port)
        failure: Exception = ConnectError(f"{host} cannot be reached.")
        for address in found[:_MAX_TRIES]:
            try:
                left_s = self.left_s(timeout)
                stream = self._plain.connect_tcp(address, port, left_s, local_address, socket_options)
                return _BoundedStream(stream, self)
            except (ConnectError, ConnectTimeout) as error:
                failure = error
        raise failure

    def left_s(self, timeout: float | None) -> float:
        """Return how long an operation may take; raise `ConnectTimeout` after the deadline."""
        left_s = self._deadline - self._clock()
        if left_s <= 0:
            raise ConnectTimeout("The deadline of the request has passed.")
        return left_s if timeout is None else min(left_s, timeout)


class _BoundedStream(NetworkStream):
    """A connection on which no operation continues after the deadline."""

    def __init__(self, stream: NetworkStream, backend: GuardedBackend) -> None:
        self._stream, self._backend = stream, backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._backend.left_s(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._backend.left_s(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, self._backend.left_s(timeout))
        return _BoundedStream(secured, self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _is_public(address: Address) -> bool:
    special = address.is_multicast or address.is_reserved or any(address in network for network in _NEVER)
    return address.is_global and not special


def _embedded(address: Address) -> list[IPv4Address]:
    """Return the IPv4 addresses embedded in an IPv6 address."""
    if isinstance(address, IPv4Address):
        return []
    value = int(address)
    found = [IPv4Address(value >> shift & 0xFFFFFFFF) for network, shift in _EMBEDDING if address in network]
    found += [address.ipv4_mapped] if address.ipv4_mapped else []
    found += list(address.teredo) if address.teredo else []
    if value >> 32 & 0xFFFFFFFF in _ISATAP:
        found.append(IPv4Address(value & 0xFFFFFFFF))
    return found


def _check_name(name: str, *, bracketed: bool) -> None:
    """Raise `ForbiddenUrl` for an invalid name, a numeric address in an unusual notation, and a private name."""
    if bracketed or not _NAME.fullmatch(name) or _NUMBER.fullmatch(name):
        raise ForbiddenUrl("This is not a valid host name.")
    if any(name == private or name.endswith(f".{private}") for private in _PRIVATE_NAMES):
        raise ForbiddenUrl("Webhooks are sent to public addresses only, and this name is private.")


def _as_literal(host: str) -> str | None:
    """Return the address if a host is one in any notation that resolvers accept, or None for a name."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
    return str(found[0][4][0])


def _resolved(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
