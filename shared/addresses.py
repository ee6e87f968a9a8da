"""Addresses as people write them: the public URL of the service, hosts with ports, and peers of known networks.

Pure text: nothing is resolved and nothing is called. Which foreign addresses webhooks may reach is decided in
`shared.webhooks.ssrf_guard`.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple, Self
from urllib.parse import urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: What a path prefix may consist of: segments that every proxy and browser passes on as they are.
_PREFIX = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)*")
_AUTHORITY = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class PublicUrl(NamedTuple):
    """Where users reach the service."""

    scheme: str
    #: Host and port as browsers send them: in lower case, without the scheme's own port.
    authority: str
    #: The path in front of all paths of the service: empty, or with a slash at its beginning and none at its end.
    prefix: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a URL such as `https://example.org/atelier`; raise `ValueError`."""
        parts = urlsplit(text)
        prefix = parts.path.rstrip("/")
        is_plain = parts.scheme in _DEFAULT_PORTS and not (parts.query or parts.fragment)
        if not is_plain or not _AUTHORITY.fullmatch(parts.netloc) or not _PREFIX.fullmatch(prefix):
            raise ValueError("must be an address such as https://example.org or https://example.org/atelier")
        return cls(parts.scheme, parts.netloc.lower().removesuffix(_DEFAULT_PORTS[parts.scheme]), prefix)

    @property
    def origin(self) -> str:
        """What browsers call the origin of its pages."""
        return f"{self.scheme}://{self.authority}"

    def __str__(self) -> str:
        return self.origin + self.prefix


def parse_origin(text: str) -> str:
    """Return an origin such as `https://example.org` as browsers send it; raise `ValueError` for anything else."""
    url = PublicUrl.parse(text)
    if url.prefix:
        raise ValueError(f"{text} is not an origin, which has no path: write {url.origin}")
    return url.origin


def authority(host: str, port: int) -> str:
    """Write a host and a port as in a URL, IPv6 addresses in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_authority(text: str) -> bool:
    """Return whether a text is a host, with a port or without, as it stands in a URL or in the header `Host`."""
    return _AUTHORITY.fullmatch(text) is not None


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine alone; of names, only `localhost` is trusted to be."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def networks(text: str) -> tuple[Network, ...]:
    """Parse networks such as `10.0.0.0/8, 192.0.2.7`; raise `ValueError`."""
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def parse_peer(text: str) -> Address | None:
    """Read an address, with a port or without, IPv4 also where IPv6 embeds it; None for anything else."""
    host = text.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_in(address: Address | None, known: Iterable[Network]) -> bool:
    """Return whether an address lies in one of the networks."""
    return address is not None and any(address in network for network in known)
