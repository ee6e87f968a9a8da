"""One picture of a run while it is painted: what it is drawn to, how far it is, and what to show of it.

Invariant: `good` is a picture whose losses were found finite, or the one that painting began with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from shared.errors import Diverged
from shared.painting.params import StyleParams
from worker.engine.optimizers import state as painting
from worker.engine.optimizers.state import Painting
from worker.engine.pictures import colors
from worker.engine.pictures.resizing import resized
from worker.engine.types import Losses, Picture, Snapshot, Subject

#: What a snapshot keeps beside the painting, each with the type of its array.
_PLACE: dict[str, Any] = {"before": np.int64, "window_loss": np.float64, "left_scale": np.bool_}


@dataclass
class Canvas:
    """The state of subject `number`.

    `done` counts the steps at its `scale`, `before` the updates at all smaller ones; `window_loss` is the loss at the
    end of the last window of an early stop. `left_scale` says that this scale is done, `ended` that the run is.
    """

    number: int
    subject: Subject
    params: StyleParams
    scale: int = 0
    done: int = 0
    before: int = 0
    window_loss: float = np.inf
    left_scale: bool = False
    ended: bool = False
    content: Any = None
    painting: Any = None
    good: Any = None

    @property
    def painting_on(self) -> bool:
        """Whether there are steps to make at this scale."""
        return not (self.ended or self.left_scale)

    def begin_scale(self, scale: int, size: tuple[int, int], *, history: int = 0) -> None:
        """Go on to `scale`, painted at `size` (height, width): from the last one, or from a snapshot of this.

        L-BFGS remembers `history` updates, which memory may allow fewer of than the params say.
        """
        params, resume = self.params.model_copy(update={"lbfgs_history": history}), self.subject.resume
        self.content = resized(self.subject.content, size, antialias=params.antialias)
        if params.colors == "luminance":
            self.content = tf.constant(colors.grey(self.content[0].numpy())[np.newaxis])
        if self.painting is None and resume is not None:
            self.painting = self._restored(resume)
        elif self.painting is None:
            self.painting = painting.start(self._start(size), params)
        else:
            self.before += self.done
            shown = painting.result(self.painting, self.done, params)
            picture = resized(shown[0], size, antialias=params.antialias)
            self.painting = painting.carried(self.painting, picture, params)
            self.done, self.left_scale = 0, False
        self.scale = scale
        self.good = self.painting.picture

    def shown(self, shown: Painting, done: int) -> Picture:
        """Copy the picture of a painting after `done` updates at this scale from the device, in its final colours."""
        picture: Picture = np.array(painting.result(shown, done, self.params)[0], np.float32)
        return self._colored(picture)

    def last_good(self) -> Picture:
        """Copy the last good picture from the device."""
        return self._colored(np.array(self.good[0], np.float32))

    def snapshot(self, shown: Painting, done: int) -> Snapshot:
        """Copy all that the run needs to go on."""
        place = {name: np.asarray(getattr(self, name), kind) for name, kind in _PLACE.items()}
        return Snapshot(self.scale, done, {**shown.arrays(), **place})

    def _start(self, size: tuple[int, int]) -> Any:
        params = self.params
        if self.subject.init is not None:
            return resized(self.subject.init, size, antialias=params.antialias)
        if params.init == "noise":
            noise = np.random.default_rng(params.seed).random((1, *size, 3), np.float32)
            return tf.constant(noise)
        return self.content

    def _restored(self, resume: Snapshot) -> Painting:
        self.done = resume.done
        for name in _PLACE:
            setattr(self, name, resume.state[name].item())
        return painting.restored(resume.state, self.params)

    def _colored(self, picture: Picture) -> Picture:
        if self.params.colors != "luminance":
            return picture
        content = resized(self.subject.content, picture.shape[:2], antialias=self.params.antialias)
        return colors.recoloured(picture, content[0].numpy())


def finite_losses(rows: Any) -> tuple[Losses, ...]:
    """Take the losses `[count, 4]` of steps up to the first that is not finite."""
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    return tuple(Losses(*row) for row in rows[: bad[0] if bad.size else len(rows)].tolist())


def diverged(number: int) -> Diverged:
    """Tell of the first step, by its number, that has a loss that is not finite."""
    return Diverged(f"The losses of step {number} are not finite; lower the learning rate.", step=number)
