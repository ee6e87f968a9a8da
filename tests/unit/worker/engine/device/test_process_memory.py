import sys

import pytest

from worker.engine.device import process_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="main memory is measured on Linux only")


def test_trimming_returns_what_was_freed_between_blocks_in_use() -> None:
    blocks = [bytearray(2**16) for _ in range(6000)]  # small enough to lie in the heap, among others
    kept = blocks[::60]
    del blocks
    before = process_memory.resident_bytes()

    process_memory.trim()

    assert before - process_memory.resident_bytes() > 200 * 2**20
    assert len(kept) == 100


def test_a_process_has_held_at_least_what_it_holds() -> None:
    assert process_memory.peak_bytes() >= process_memory.resident_bytes() > 2**20
