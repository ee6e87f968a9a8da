"""Paint a picture: the optimisation of Gatys et al. as a generator of steps.

Several steps run inside one compiled call, because reading the losses after every step would stall a GPU; the call
returns the losses of all its steps. What to do with them (report, cancel, save) is the caller's business between
two chunks.

Invariant: the number of steps per call changes how often the caller gets to look, never what is computed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from shared.errors import Diverged, InvalidParams, OutOfMemory
from shared.params import StyleParams
from worker.engine.network import Network
from worker.engine.objective import Objective, Recipe, Targets, Weights, objective
from worker.engine.optimizer import Adam, State, learning_rates
from worker.engine.pyramid import fitted, long_sides, resized
from worker.engine.steps import Chunk, Losses, Picture, Snapshot, Style

#: What one compiled call is meant to take, in seconds: long enough to hide the cost of a call, short enough for
#: a person who cancels or watches.
_CALL_S = 0.17


class _Call(NamedTuple):
    """What one compiled call did: the number of steps of this scale before it, its outcome, its time a step."""

    done: int
    state: State
    losses: tuple[Losses, ...]
    step_s: float


def stylize(
    content: Picture,
    styles: Sequence[Style],
    params: StyleParams,
    network: Network,
    *,
    resume: Snapshot | None = None,
    steps_per_call: int | None = None,
) -> Iterator[Chunk]:
    """Paint `content` like `styles`, from the coarsest scale to `params.size`, and yield every step.

    Pictures come at their original size. `resume` goes on where a run of the same arguments was.
    `steps_per_call` fixes the length of a chunk; by default a chunk takes about 0.17 s, or one step where that
    takes longer. Raises `InvalidParams` for a picture too narrow for the
    size, `Diverged` when a loss is not finite, `OutOfMemory` when the device cannot hold a scale.
    """
    sides = long_sides(params, [content.shape, *(style.picture.shape for style in styles)])
    model = objective(network, Recipe.of(params))
    painting: Any = content
    for scale, side in enumerate(sides, start=1):
        if resume is not None and scale < resume.scale:
            continue
        height, width = fitted(content.shape, side)
        with _memory_errors(side):
            if resume is not None and scale == resume.scale:
                state, done = State.restored(resume.state), resume.done
            else:
                state, done = State.start(resized(painting, (height, width), antialias=params.antialias)), 0
            targets = _targets(model, content, styles, side, antialias=params.antialias)
        for call in _calls(model, targets, state, params, done, steps_per_call):
            state = call.state
            first = (scale - 1) * params.steps + call.done + 1
            _check_finite(call.losses, first)
            yield Chunk(
                first=first,
                total=len(sides) * params.steps,
                scale=scale,
                scales=len(sides),
                size=(width, height),
                losses=call.losses,
                step_ms=call.step_s * 1000,
                eta_s=call.step_s * _steps_left(sides[scale - 1 :], params.steps, call.done + len(call.losses)),
                image=partial(_on_host, state.picture),
                snapshot=partial(_snapshot, scale, call.done + len(call.losses), state),
            )
        painting = state.picture[0]


def _calls(
    model: Objective, targets: Targets, state: State, params: StyleParams, done: int, steps_per_call: int | None
) -> Iterator[_Call]:
    """Make the steps of one scale that are still to do, timing each call to choose the length of the next."""
    settings = Weights.of(params), Adam.of(params), learning_rates(params)
    count = steps_per_call or 1
    while done < params.steps:
        count = min(count, params.steps - done)
        started = time.perf_counter()
        with _memory_errors(max(state.picture.shape)):
            state, rows = model.advance(state, targets, *settings, done, count)
            losses = tuple(Losses(*row) for row in rows.numpy().tolist())
        step_s = (time.perf_counter() - started) / count
        yield _Call(done, state, losses, step_s)
        done += count
        count = steps_per_call or max(1, round(_CALL_S / step_s))


def _targets(model: Objective, content: Picture, styles: Sequence[Style], side: int, *, antialias: bool) -> Targets:
    """Evaluate the pictures with `side` as their long side, the styles blended by their weights."""
    total = sum(style.weight for style in styles)
    if not total > 0:
        raise InvalidParams("At least one style must have a weight above 0.", parameter="styles")

    def at_side(picture: Picture) -> Any:
        return resized(picture, fitted(picture.shape, side), antialias=antialias)

    return model.targets(at_side(content), [(at_side(s.picture), s.weight / total) for s in styles if s.weight > 0])


def _steps_left(sides: Sequence[int], steps: int, done: int) -> float:
    """Count the steps to go in units of one at `sides[0]`, of which `done` are made; time goes with the area."""
    return steps * sum((side / sides[0]) ** 2 for side in sides) - done


def _check_finite(losses: tuple[Losses, ...], first: int) -> None:
    """Raise `Diverged` at the first step, numbered from `first`, with a loss that is not finite."""
    for number, step in enumerate(losses, start=first):
        if not np.isfinite(step).all():
            raise Diverged(f"The losses of step {number} are not finite; lower the learning rate.", step=number)


def _snapshot(scale: int, done: int, state: State) -> Snapshot:
    return Snapshot(scale, done, state.arrays())


def _on_host(pictures: Any) -> Picture:
    """Copy the only picture of a batch from the device."""
    picture: Picture = pictures[0].numpy()
    return picture


@contextmanager
def _memory_errors(side: int) -> Iterator[None]:
    """Turn TensorFlow's exhaustion of memory into `OutOfMemory`."""
    try:
        yield
    except tf.errors.ResourceExhaustedError:
        raise OutOfMemory(f"The device's memory does not hold a picture of {side} px.", size=side) from None
