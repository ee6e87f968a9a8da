"""Who may make how many calls of webhooks at once: shared between owners, and between the addresses they call.

A host's name says little: dozens of names may lead to one slow machine. So a call also needs a place at each address
that its host's name resolves to, which is known only as it connects.

Invariant: whatever receivers an owner has, another owner finds a slot and a place at each address.
"""

import ipaddress
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from shared.shares import Shares

#: Calls at once: in total, of one owner to one host by its name, and to one address and port. One owner has at most
#: half of the first and the last.
AT_ONCE, PER_HOST, PER_ADDRESS = 16, 2, 4
#: Bits of an IPv6 address that belong to a network, of which one machine may use every address.
_NETWORK_BITS = 64


class ReceiverBusy(Exception):
    """As many calls to the receiver's address are being made as may be."""


class WebhookSlots:
    """The calls under way in this process; any number of threads may use it."""

    def __init__(self) -> None:
        """Start with all slots free."""
        self._slots = Shares(AT_ONCE)
        self._lock = threading.Lock()
        self._to_host: Counter[tuple[str, str]] = Counter()
        self._at: defaultdict[str, Shares] = defaultdict(lambda: Shares(PER_ADDRESS))

    def held_by(self, owner: str) -> int:
        """Return how many slots an owner has."""
        return self._slots.held_by(owner)

    def has_room(self, owner: str) -> bool:
        """Return whether an owner may have another slot."""
        return self._slots.has_room(owner)

    def take(self, owner: str, host: str) -> bool:
        """Take a slot for an owner's call to a host; return False if there is none."""
        with self._lock:
            if self._to_host[owner, host] >= PER_HOST or not self._slots.take(owner):
                return False
            self._to_host[owner, host] += 1
            return True

    def give_back(self, owner: str, host: str) -> None:
        """Return a slot."""
        with self._lock:
            self._slots.give_back(owner)
            self._to_host -= Counter([(owner, host)])

    @contextmanager
    def places(self, owner: str, addresses: Sequence[str], port: int) -> Iterator[None]:
        """Hold a place at each address while it is called; raise `ReceiverBusy` if one has none left."""
        with ExitStack() as held:
            for place in sorted({f"{_machine(address)} {port}" for address in addresses}):
                self._take_place(owner, place)
                held.callback(self._leave, owner, place)
            yield

    def _take_place(self, owner: str, place: str) -> None:
        with self._lock:
            if not self._at[place].take(owner):
                raise ReceiverBusy(place)

    def _leave(self, owner: str, place: str) -> None:
        with self._lock:
            self._at[place].give_back(owner)
            if not self._at[place].in_use:
                del self._at[place]


def _machine(address: str) -> str:
    """Return what tells machines apart: an IPv4 address, or the network of an IPv6 address."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if found.version == 4:
        return str(found)
    return str(ipaddress.ip_network((found, _NETWORK_BITS), strict=False))
