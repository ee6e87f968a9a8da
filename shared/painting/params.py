"""Everything that decides how a picture is painted, declared once.

`StyleParams` holds each parameter's default, bounds, unit and help; the API's schema and errors, the CLI's
options and the docs derive from it. The defaults are the published recipe; a preset is a named set of
departures from them. What the numbers do is the engine's business.

Invariant: a `StyleParams` is complete and valid; nothing downstream fills in or checks again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

from shared.painting.vgg19 import LAYERS

#: The weights of VGG19 that have a name; `auto` takes the best of the others that can be had.
WeightsName = Literal["auto", "imagenet", "imagenet-8bit", "patch"]
WEIGHTS_NAMES: tuple[str, ...] = get_args(WeightsName)
#: Those that need no download, and whose pictures are a blur.
LAST_RESORT_WEIGHTS = "patch"
LAST_RESORT_WARNING = (
    "`patch` weights are the last resort: learned from drawings, they paint a blur. "
    "`atelier weights fetch` gets trained ones."
)
#: The shortest side that still reaches the last block of VGG19, which sees it shrunk 16 times.
LEAST_PX = 16
#: The longest side that WebP, one of the formats of a result, can hold.
MAX_SIZE_PX = 16_383

LayerWeight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
LayerWeights = dict[str, LayerWeight]


def _parameter(default: Any, text: str, *, unit: str = "", **bounds: Any) -> Any:
    """Declare one parameter: its default, its help, its unit and its bounds."""
    extra: dict[str, JsonValue] | None = {"unit": unit} if unit else None
    make = {"default_factory": lambda: dict(default)} if isinstance(default, dict) else {"default": default}
    return Field(description=text, json_schema_extra=extra, **make, **bounds)


def _not_tiny(size: int) -> int:
    if 0 < size < LEAST_PX:
        raise ValueError(f"must be 0 or at least {LEAST_PX}")
    return size


class StyleParams(BaseModel):
    """How one picture is painted. The defaults are the published recipe of Gatys et al. as `classic`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    size: Annotated[int, AfterValidator(_not_tiny)] = _parameter(
        512, "Long side of the painted picture; 0 keeps the content's own size.", unit="px", ge=0, le=MAX_SIZE_PX
    )
    start_size: int = _parameter(
        0, "Long side of the first, smallest scale; 0 paints at one scale only.", unit="px", ge=0, le=MAX_SIZE_PX
    )
    scale_factor: float = _parameter(2**0.5, "Growth of the long side from one scale to the next.", ge=1.1, le=4)
    steps: int = _parameter(15, "Optimiser updates at each scale.", unit="steps", ge=1, le=10_000)
    optimizer: Literal["adam", "lbfgs"] = _parameter(
        "adam", "`adam`, or `lbfgs`: fewer and dearer steps, and a history that takes memory."
    )
    lbfgs_history: int = _parameter(8, "Updates that L-BFGS remembers.", unit="updates", ge=1, le=100)
    learning_rate: float = _parameter(0.02, "Adam's step, in units of the picture's range.", gt=0, le=1)
    final_learning_rate: float | None = _parameter(
        None, "Where the learning rate falls to, geometrically, by the last step of a scale; null keeps it.", gt=0, le=1
    )
    beta_1: float = _parameter(0.99, "Decay of Adam's mean of gradients.", ge=0, lt=1)
    beta_2: float = _parameter(0.999, "Decay of Adam's mean of squared gradients.", ge=0, lt=1)
    epsilon: float = _parameter(1e-1, "Adam's guard against division by zero.", gt=0, le=10)
    averaging: float = _parameter(
        0.0, "Decay of the running average of the pictures that becomes the result; 0 takes the last.", ge=0, lt=1
    )
    early_stop: float = _parameter(
        0.0, "Leave a scale once a window of steps lowers the loss by less than this share; 0 never does.", ge=0, lt=1
    )
    early_stop_window: int = _parameter(20, "Steps between two looks at that.", unit="steps", ge=1, le=1000)
    init: Literal["content", "noise"] = _parameter(
        "content", "What the first scale starts from, unless the request names a picture."
    )
    seed: int = _parameter(0, "Decides the noise; the same seed gives the same picture.", ge=0, lt=2**32)
    content_weight: float = _parameter(1e4, "Weight of the content loss.", ge=0, le=1e12)
    style_weight: float = _parameter(1e-2, "Weight of the style loss.", ge=0, le=1e12)
    tv_weight: float = _parameter(0.0, "Weight of the total variation loss.", ge=0, le=1e12)
    content_layers: LayerWeights = _parameter(
        {"block5_conv2": 1.0}, "VGG19 layers compared for content, with the weight of each.", min_length=1
    )
    style_layers: LayerWeights = _parameter(
        {f"block{b}_conv1": 1.0 for b in range(1, 6)},
        "VGG19 layers whose Gram matrices are compared, with the weight of each.",
        min_length=1,
    )
    gram_normalization: Literal["positions", "paper"] = _parameter(
        "positions", "Gram matrices divided by their positions, or the paper's 1 / (4·N²·M²) of plain sums."
    )
    loss_scaling: Literal["none", "target"] = _parameter(
        "none", "`target` divides each layer's loss by its target's mean square, so weights mean the same at any size."
    )
    pooling: Literal["max", "average"] = _parameter("max", "How VGG19 shrinks its feature maps.")
    padding: Literal["zeros", "mirror"] = _parameter(
        "zeros", "What VGG19 sees beyond the border of a feature map; `mirror` keeps frames off the picture."
    )
    antialias: bool = _parameter(
        False, "Scale pictures by Lanczos's filter over all their pixels, instead of bilinearly between four of them."
    )

    style_scale: float = _parameter(
        1.0, "Size of the style images relative to the content: above 1 for longer strokes.", ge=0.1, le=4
    )
    colors: Literal["style", "luminance", "match"] = _parameter(
        "style",
        "Whose colours: the style's; the content's, of which only the brightness is painted (`luminance`); or a "
        "style recoloured to the content first (`match`).",
    )
    precision: Literal["auto", "float32", "bfloat16"] = _parameter(
        "float32", "Of the convolutions; `auto` takes bfloat16 where the processor has it. Losses are always float32."
    )
    tile_size: int = _parameter(
        0,
        "Side of the tiles that the gradient is added up from, in steps of 16; 0 tiles only what does not fit memory.",
        unit="px",
        ge=0,
        le=MAX_SIZE_PX,
        multiple_of=16,
    )
    timelapse: int = _parameter(0, "Frames of an animation of the painting; 0 makes none.", unit="frames", ge=0, le=240)

    @model_validator(mode="after")
    def _known_layers(self) -> StyleParams:
        for name in (*self.content_layers, *self.style_layers):
            if name not in LAYERS:
                raise ValueError(f"{name!r} is not a VGG19 convolution; choose from {LAYERS[0]} to {LAYERS[-1]}")
        if not (any(self.content_layers.values()) and any(self.style_layers.values())):
            raise ValueError("at least one content layer and one style layer must have a weight above 0")
        return self


#: Scale-free losses over mirrored feature maps, coarse to fine. Tuned on VGG19 as trained on ImageNet, with
#: `make judge` and by eye: `docs/pictures.md` has the pairs and what other weights gave.
_PAINTERLY: dict[str, Any] = {
    "start_size": 128,
    "scale_factor": 2.0,
    "optimizer": "lbfgs",
    "content_weight": 0.2,
    "style_weight": 1.0,
    "tv_weight": 0.02,
    "content_layers": {"block4_conv2": 1.0},
    "loss_scaling": "target",
    "padding": "mirror",
    "antialias": True,
    "precision": "auto",
    # for who takes Adam instead
    "final_learning_rate": 0.002,
    "beta_1": 0.9,
    "epsilon": 1e-8,
}

#: What each preset is for, and what it sets apart from the defaults.
PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "classic": ("The published recipe, number for number: for comparison with other programs.", {}),
    "fast": (
        "A good picture in a quarter of the time: for trying things out and for large batches.",
        _PAINTERLY | {"steps": 15},
    ),
    "balanced": (
        "Coarse to fine until little more is gained: the default, for most pictures.",
        _PAINTERLY | {"steps": 50},
    ),
    "quality": (
        "Larger, in smaller steps between scales, and to the end: for a picture to be printed.",
        _PAINTERLY | {"size": 1024, "scale_factor": 2**0.5, "steps": 100, "lbfgs_history": 20},
    ),
}
DEFAULT_PRESET = "balanced"


def resolve(preset: str, overrides: Mapping[str, Any] | None = None) -> StyleParams:
    """Fill `overrides` up from `preset` and the defaults.

    Raises `KeyError` for an unknown preset and pydantic's `ValidationError` for a bad parameter.
    """
    return StyleParams.model_validate({**PRESETS[preset][1], **(overrides or {})})
