"""The parameters of painting, declared once.

`StyleParams` holds the default, bounds, unit and help of each; the API's schema and errors, the CLI's options and the
docs derive from it. The defaults are the published recipe, and a preset is a named set of differences from them.

Invariant: a `StyleParams` is complete and valid; nothing downstream fills in defaults or validates again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

from shared.painting.vgg19 import LAYERS

#: The named weights of VGG19; `auto` takes the best of the others that is available.
WeightsName = Literal["auto", "imagenet", "imagenet-8bit", "patch"]
WEIGHTS_NAMES: tuple[str, ...] = get_args(WeightsName)
#: The weights that need no download, and whose results are a blur.
LAST_RESORT_WEIGHTS = "patch"
LAST_RESORT_WARNING = (
    "`patch` weights are a last resort: learned from drawings, they paint a blur. "
    "`atelier weights fetch` gets trained ones."
)
#: The shortest side of which VGG19's last block, with a stride of 16, still sees one position.
MIN_SIDE_PX = 16
#: The longest side that WebP can hold; results are offered in that format.
MAX_SIZE_PX = 16_383

LayerWeight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
LayerWeights = dict[str, LayerWeight]


def _parameter(default: Any, text: str, *, unit: str = "", **bounds: Any) -> Any:
    """Declare one parameter: its default, help, unit and bounds."""
    extra: dict[str, JsonValue] | None = {"x-unit": unit} if unit else None
    make = {"default_factory": lambda: dict(default)} if isinstance(default, dict) else {"default": default}
    return Field(description=text, json_schema_extra=extra, **make, **bounds)


def _not_tiny(size: int) -> int:
    if 0 < size < MIN_SIDE_PX:
        raise ValueError(f"must be 0 or at least {MIN_SIDE_PX}")
    return size


class StyleParams(BaseModel):
    """How an image is painted. The defaults are the published recipe of Gatys et al., the preset `classic`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    size: Annotated[int, AfterValidator(_not_tiny)] = _parameter(
        512, "Long side of the result; 0 keeps the content's own size.", unit="px", ge=0, le=MAX_SIZE_PX
    )
    start_size: int = _parameter(
        0, "Long side of the first, smallest scale; 0 paints at a single scale.", unit="px", ge=0, le=MAX_SIZE_PX
    )
    scale_factor: float = _parameter(2**0.5, "Factor between the long sides of successive scales.", ge=1.1, le=4)
    steps: int = _parameter(15, "Optimizer updates at the last scale.", unit="steps", ge=1, le=10_000)
    coarse_steps_factor: float = _parameter(1.0, "Factor on the updates of all scales but the last.", ge=0.1, le=10)
    optimizer: Literal["adam", "lbfgs"] = _parameter(
        "adam", "`adam`, or `lbfgs`: needs fewer steps, and memory for its history."
    )
    lbfgs_history: int = _parameter(8, "Length of L-BFGS's history.", unit="updates", ge=1, le=100)
    learning_rate: float = _parameter(0.02, "Adam's step size, on a scale where black is 0 and white is 1.", gt=0, le=1)
    final_learning_rate: float | None = _parameter(
        None, "Learning rate at the last step of a scale, after geometric decay; null keeps it constant.", gt=0, le=1
    )
    beta_1: float = _parameter(0.99, "Decay of Adam's running mean of gradients.", ge=0, lt=1)
    beta_2: float = _parameter(0.999, "Decay of Adam's running mean of squared gradients.", ge=0, lt=1)
    epsilon: float = _parameter(1e-1, "Term in Adam's denominator that guards against division by zero.", gt=0, le=10)
    averaging: float = _parameter(
        0.0, "Decay of the exponential average over the steps that is the result; 0 takes the last step.", ge=0, lt=1
    )
    early_stop: float = _parameter(
        0.0, "End a scale when the loss falls by less than this fraction over a window; 0 never does.", ge=0, lt=1
    )
    early_stop_window: int = _parameter(20, "Length of the window for `early_stop`.", unit="steps", ge=1, le=1000)
    init: Literal["content", "noise"] = _parameter(
        "content", "What the first scale starts from, unless the request names an image."
    )
    seed: int = _parameter(0, "Seed of the noise; the same seed gives the same result.", ge=0, lt=2**32)
    content_weight: float = _parameter(1e4, "Weight of the content loss.", ge=0, le=1e12)
    style_weight: float = _parameter(1e-2, "Weight of the style loss.", ge=0, le=1e12)
    tv_weight: float = _parameter(0.0, "Weight of the total variation loss.", ge=0, le=1e12)
    color_weight: float = _parameter(
        0.0,
        "Weight of the loss of the pixels' colours, by their mean and covariance; keeps contrast from drifting.",
        ge=0,
        le=1e12,
    )
    laplacian_weight: float = _parameter(
        0.0, "Weight of the loss of the content's edges, by the Laplacian of its pixels.", ge=0, le=1e12
    )
    laplacian_pool: Literal[1, 2, 4, 8, 16] = _parameter(
        4,
        "Side of the squares of pixels that are averaged before the Laplacian; larger ones hold coarser edges.",
        unit="px",
    )
    tv_stencil: Literal["five-point", "nine-point"] = _parameter(
        "five-point", "Neighbours compared by the total variation: `nine-point` adds the diagonals."
    )
    content_layers: LayerWeights = _parameter(
        {"block5_conv2": 1.0}, "VGG19 layers of the content loss, with the weight of each.", min_length=1
    )
    style_layers: LayerWeights = _parameter(
        {f"block{b}_conv1": 1.0 for b in range(1, 6)},
        "VGG19 layers of the style loss, with the weight of each.",
        min_length=1,
    )
    style_statistic: Literal["gram", "covariance", "wasserstein"] = _parameter(
        "gram",
        "What is compared of style layers: `gram` their Gram matrices; `covariance` mean and covariance, each by "
        "itself; `wasserstein` both as the distance between normal distributions.",
    )
    gram_normalization: Literal["positions", "paper"] = _parameter(
        "positions",
        "`positions` divides Gram matrices by their positions; `paper` is the paper's 1 / (4·N²·M²). Other statistics "
        "of style have no use for it.",
    )
    loss_scaling: Literal["none", "target"] = _parameter(
        "none", "`target` divides each layer's loss by its target's mean square, so weights mean the same at any size."
    )
    pooling: Literal["max", "average", "l2"] = _parameter(
        "max", "How VGG19 pools its feature maps; `l2` takes the root of the mean square."
    )
    pooling_scale: float = _parameter(
        1.0,
        "Factor on pooled maps: with 2 for `average` and 0.78 for `l2` they are as strong as with `max`.",
        gt=0,
        le=4,
    )
    padding: Literal["zeros", "mirror"] = _parameter(
        "zeros", "How VGG19 pads its feature maps; `mirror` avoids a frame around the result."
    )
    antialias: bool = _parameter(False, "Resize images by an antialiasing Lanczos filter instead of bilinearly.")

    style_scale: float = _parameter(
        1.0, "Size of the style images relative to the content; above 1 makes longer strokes.", ge=0.1, le=4
    )
    colors: Literal["style", "luminance", "match", "histogram"] = _parameter(
        "style",
        "Colours of the result: `style` takes the style's; `luminance` keeps the content's and paints the luminance "
        "alone; `match` recolours the style to the content first, by mean and covariance, `histogram` by histograms.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = _parameter(
        "float32", "Of the convolutions; `auto` is bfloat16 where the device has it. Losses are always float32."
    )
    tile_size: int = _parameter(
        0,
        "Side of the tiles to compute in, a multiple of 16; 0 tiles only what does not fit in memory.",
        unit="px",
        ge=0,
        le=MAX_SIZE_PX,
        multiple_of=16,
    )
    timelapse: int = _parameter(0, "Frames of an animation of the run; 0 makes none.", unit="frames", ge=0, le=240)

    @model_validator(mode="after")
    def _known_layers(self) -> StyleParams:
        for name in (*self.content_layers, *self.style_layers):
            if name not in LAYERS:
                raise ValueError(f"{name!r} is not a VGG19 convolution; choose from {LAYERS[0]} to {LAYERS[-1]}")
        if not (any(self.content_layers.values()) and any(self.style_layers.values())):
            raise ValueError("at least one content layer and one style layer must have a weight above 0")
        return self


#: Scale-free losses, mirrored borders, coarse to fine. Tuned on VGG19 as trained on ImageNet, with `make judge` and
#: by eye: `docs/pictures.md` shows the pairs and what other loss weights gave.
_PAINTERLY: dict[str, Any] = {
    "start_size": 128,
    "scale_factor": 2.0,
    "optimizer": "lbfgs",
    "content_weight": 0.17,
    "style_weight": 1.0,
    "tv_weight": 0.02,
    "color_weight": 0.1,
    "laplacian_weight": 0.1,
    "content_layers": {"block4_conv2": 1.0},
    "loss_scaling": "target",
    "padding": "mirror",
    "antialias": True,
    "precision": "auto",
    # for jobs that choose Adam instead
    "final_learning_rate": 0.002,
    "beta_1": 0.9,
    "epsilon": 1e-8,
}

#: What each preset is for, and its differences from the defaults.
PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "classic": ("The published recipe, number for number: for comparison with other programs.", {}),
    "fast": (
        "A good result in a third of the time of balanced: for experiments and large batches.",
        _PAINTERLY | {"steps": 12},
    ),
    "balanced": (
        "Coarse to fine until more steps gain little: the default, for most images.",
        # steps at the last scale cost most and gain most
        _PAINTERLY | {"steps": 40, "coarse_steps_factor": 0.4, "lbfgs_history": 20},
    ),
    "quality": (
        "Larger, with more scales and more steps: for prints.",
        _PAINTERLY | {"size": 1024, "scale_factor": 2**0.5, "steps": 100, "lbfgs_history": 20},
    ),
}
DEFAULT_PRESET = "balanced"


def resolve(preset: str, overrides: Mapping[str, Any] | None = None) -> StyleParams:
    """Complete `overrides` by `preset` and the defaults.

    Raises `KeyError` for an unknown preset and pydantic's `ValidationError` for an invalid parameter.
    """
    return StyleParams.model_validate({**PRESETS[preset][1], **(overrides or {})})
