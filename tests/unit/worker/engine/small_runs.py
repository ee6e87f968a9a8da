"""Runs of the engine as lists of chunks, with params that take a moment."""

import itertools
from collections.abc import Sequence
from typing import Any

from shared.painting.params import StyleParams, resolve
from worker.engine.device.planner import Plan, Planner
from worker.engine.stylize import stylize
from worker.engine.types import Chunk, Losses, Picture, Style, Subject
from worker.engine.vgg.network import Network

SHALLOW = {"content_layers": {"block2_conv1": 1.0}, "style_layers": {"block1_conv1": 1.0, "block2_conv1": 0.5}}
SMALL = resolve(
    "balanced",
    {
        "size": 64,
        "start_size": 32,
        "steps": 5,
        "coarse_steps_factor": 1,
        "optimizer": "adam",
        "precision": "float32",
        **SHALLOW,
    },
)


def changed(**changes: Any) -> StyleParams:
    """Return `SMALL` with some changes."""
    return SMALL.model_copy(update=changes)


class Fixed(Planner):
    """A planner that always returns the same plan."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self._plan = plan

    def plan(self, params: StyleParams, size: tuple[int, int], count: int) -> Plan:
        return self._plan._replace(history=super().plan(params, size, count).history)


def run(
    content: Picture | Subject, style: Picture | Sequence[Style], params: StyleParams, network: Network, **options: Any
) -> list[Chunk]:
    """Paint one image; return its chunks."""
    subject = content if isinstance(content, Subject) else Subject(content)
    styles = style if isinstance(style, Sequence) else [Style(style)]
    return [chunks[0] for chunks in stylize([subject], styles, params, network, **options)]


def run_group(
    contents: Sequence[Picture], style: Picture, params: StyleParams, network: Network, **options: Any
) -> list[list[Chunk]]:
    """Paint several images together; return the chunks of each."""
    subjects = [Subject(content) for content in contents]
    found: list[list[Chunk]] = [[] for _ in contents]
    for chunks in stylize(subjects, [Style(style)], params, network, **options):
        for number, chunk in chunks.items():
            found[number].append(chunk)
    return found


def every_loss(chunks: list[Chunk]) -> list[Losses]:
    """Return the losses of all chunks in one list."""
    return list(itertools.chain.from_iterable(chunk.losses for chunk in chunks))
