"""One image of a run: its content, its optimizer state, and how far it is.

Invariant: `last_finite` is an image whose losses were found finite, or the one that the scale started from.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from shared.errors import Diverged
from shared.painting.params import StyleParams
from worker.engine.optimizers.state import OptimizerState, rescaled, restored, result, start
from worker.engine.pictures import colors
from worker.engine.pictures.resizing import resize
from worker.engine.types import Losses, Picture, Snapshot, Subject

#: What a snapshot holds beside the optimizer's state, with the dtype of each.
_PROGRESS: dict[str, Any] = {"steps_before": np.int64, "window_loss": np.float64, "scale_finished": np.bool_}


@dataclass
class ImageState:
    """The state of subject `number`.

    `steps_done` counts the updates at the current `scale`, `steps_before` those at all smaller ones. `window_loss` is
    the total loss at the end of the last early-stopping window. `content` and `last_finite` are tensors
    `[1, height, width, 3]`.
    """

    number: int
    subject: Subject
    params: StyleParams
    scale: int = 0
    steps_done: int = 0
    steps_before: int = 0
    window_loss: float = np.inf
    scale_finished: bool = False
    finished: bool = False
    content: Any = None
    optimizer_state: Any = None
    last_finite: Any = None

    @property
    def unfinished(self) -> bool:
        """Whether steps remain at this scale."""
        return not (self.finished or self.scale_finished)

    def begin_scale(self, scale: int, size: tuple[int, int], *, history: int = 0) -> None:
        """Move on to `scale`, of `size` (height, width): from the previous one, the subject's snapshot or the start.

        `history` is the length of L-BFGS's history, which may be shorter than the params ask for.
        """
        params, resume = self.params.model_copy(update={"lbfgs_history": history}), self.subject.resume
        self.content = resize(self.subject.content, size, antialias=params.antialias)
        if params.colors == "luminance":
            self.content = tf.constant(colors.to_grey(self.content[0].numpy())[np.newaxis])
        if self.optimizer_state is None and resume is not None:
            self.optimizer_state = self._restored(resume)
        elif self.optimizer_state is None:
            self.optimizer_state = start(self._initial_image(size), params)
        else:
            self.steps_before += self.steps_done
            previous = result(self.optimizer_state, self.steps_done, params)
            image = resize(previous[0], size, antialias=params.antialias)
            self.optimizer_state = rescaled(self.optimizer_state, image, params)
            self.steps_done, self.scale_finished = 0, False
        self.scale = scale
        self.last_finite = self.optimizer_state.image

    def image(self, state: OptimizerState, steps_done: int) -> Picture:
        """Copy the result of `state`, after `steps_done` updates at this scale, from the device."""
        return self._in_final_colors(np.array(result(state, steps_done, self.params)[0], np.float32))

    def last_finite_image(self) -> Picture:
        """Copy the last image with finite losses from the device."""
        return self._in_final_colors(np.array(self.last_finite[0], np.float32))

    def snapshot(self, state: OptimizerState, steps_done: int) -> Snapshot:
        """Copy all that the run needs to resume from the device."""
        progress = {name: np.asarray(getattr(self, name), dtype) for name, dtype in _PROGRESS.items()}
        return Snapshot(self.scale, steps_done, {**state.arrays(), **progress})

    def _initial_image(self, size: tuple[int, int]) -> Any:
        params = self.params
        if self.subject.init is not None:
            return resize(self.subject.init, size, antialias=params.antialias)
        if params.init == "noise":
            return tf.constant(np.random.default_rng(params.seed).random((1, *size, 3), np.float32))
        return self.content

    def _restored(self, snapshot: Snapshot) -> OptimizerState:
        self.steps_done = snapshot.done
        for name in _PROGRESS:
            setattr(self, name, snapshot.state[name].item())
        return restored(snapshot.state, self.params)

    def _in_final_colors(self, image: Picture) -> Picture:
        if self.params.colors != "luminance":
            return image
        content = resize(self.subject.content, image.shape[:2], antialias=self.params.antialias)
        return colors.restore_colors(image, content[0].numpy())


def finite_losses(rows: Any) -> tuple[Losses, ...]:
    """Return the losses `[count, 4]` of the steps before the first that is not finite."""
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    return tuple(Losses(*row) for row in rows[: bad[0] if bad.size else len(rows)].tolist())


def diverged(step: int, optimizer: str) -> Diverged:
    """Return the error of a run whose losses are first not finite at `step`."""
    advice = "lower the learning rate" if optimizer == "adam" else "lower the weights, or choose `adam` as optimizer"
    return Diverged(f"The losses of step {step} are not finite; {advice}.", step=step)
