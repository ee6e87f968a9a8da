"""Decoders: real ones, and ones whose children do what a picture tells them."""

from collections.abc import Iterator

import pytest

from shared.imaging.decoders.fork_client import ForkClient
from shared.imaging.decoders.limits import Limits
from shared.imaging.decoders.pool import Decoders

LIMITS = Limits(max_upload_bytes=64 * 2**20, max_upload_px=50_000_000, decoders=3, decode_s=20.0, decode_memory_bytes=0)


@pytest.fixture(scope="module", params=[False, True], ids=["forked", "spawned"])
def decoders(request: pytest.FixtureRequest) -> Iterator[Decoders]:
    """Decoders whose children are forked, and such whose children are started from scratch, as on macOS."""
    opened = Decoders(LIMITS, ForkClient(spawns=request.param))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def broken() -> Iterator[Decoders]:
    """Decoders whose children obey the pictures; see `tests.support.broken_decoders`."""
    opened = Decoders(LIMITS, ForkClient(program="tests.support.broken_decoders"))
    yield opened
    opened.close()
