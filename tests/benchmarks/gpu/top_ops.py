"""The operations that take the most time of what is run: TensorFlow's profile, reduced to a few lines.

On a GPU these are its kernels, by the streams that it ran them on; on a CPU the operations of TensorFlow's own threads.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

_MOST = 20
_LONGEST_NAME = 120
_GPU, _CPU = "/device:GPU", "/host:CPU"
#: A GPU's other lines, where there are any, show the same time again, summed up by step or module.
_STREAM = "Stream"


def top_ops(run: Callable[[], object]) -> list[dict[str, Any]]:
    """Profile `run`; list name, milliseconds, share of all and number of calls, the longest first."""
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        try:
            run()
        finally:
            tf.profiler.experimental.stop()
        planes = [plane for file in Path(folder).rglob("*.xplane.pb") for plane in _planes(file)]
    on_gpu = [plane for plane in planes if plane.name.startswith(_GPU)]
    return _longest(on_gpu or [plane for plane in planes if plane.name.startswith(_CPU)])


def _planes(file: Path) -> list[Any]:
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    space.ParseFromString(file.read_bytes())
    return list(space.planes)


def _longest(planes: list[Any]) -> list[dict[str, Any]]:
    taken, calls = Counter[str](), Counter[str]()
    for name, picoseconds in (event for plane in planes for event in _events(plane)):
        taken[name] += picoseconds
        calls[name] += 1
    all_of_it = sum(taken.values()) or 1
    return [
        {"op": name[:_LONGEST_NAME], "ms": time / 1e9, "share": time / all_of_it, "calls": calls[name]}
        for name, time in taken.most_common(_MOST)
    ]


def _events(plane: Any) -> Iterator[tuple[str, int]]:
    """Yield what ran and for how long: a GPU's kernels, or a CPU's operations by their type."""
    on_gpu = plane.name.startswith(_GPU)
    for line in plane.lines:
        if on_gpu and not line.name.startswith(_STREAM):
            continue
        for event in line.events:
            name = plane.event_metadata[event.metadata_id].name
            found = name if on_gpu else _operation(name)
            if found:
                yield found, event.duration_ps


def _operation(name: str) -> str:
    """Give the type in `path/of/node:Type`; empty for what the executor does around operations."""
    path, _, kind = name.rpartition(":")
    return kind if path and kind.isidentifier() and not path.endswith(":") else ""
