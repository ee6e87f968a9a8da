"""The engine on its own: paint one image from the command line, without queue, database or server.

`python -m worker.engine photo.jpg painting.jpg -o painted.png` takes every parameter that a job takes. TensorFlow,
which needs seconds to import, is loaded only once the command line is known to be right.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from shared.errors import AtelierError, InvalidMask
from shared.imaging import codec
from shared.painting.cli_options import chosen_params, params_options
from shared.painting.params import (
    DEFAULT_PRESET,
    LAST_RESORT_WARNING,
    LAST_RESORT_WEIGHTS,
    PRESETS,
    WEIGHTS_NAMES,
    StyleParams,
    resolve,
)
from worker.engine.timelapse import Timelapse
from worker.engine.types import Chunk, Mask, Style, Subject

if TYPE_CHECKING:
    from worker.engine.device.planner import Planner
    from worker.engine.vgg.network import Network

#: Where weights are kept between runs: the default of the services too.
_WEIGHTS_DIR = Path(os.path.expanduser("~/.atelier/weights"))  # noqa: PTH111 - which never raises
_MOST_PX = 500_000_000
_FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_EXIT_FAILED = 3

_COLUMNS = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[loss]}"), TimeRemainingColumn()

_console = Console(stderr=True)


@click.command(epilog="Several STYLES are blended; give --weight and --mask once per style, in the same order.")
@click.argument("content", type=_FILE)
@click.argument("styles", type=_FILE, nargs=-1, required=True)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write.")
@click.option("--preset", type=click.Choice(list(PRESETS)), default=DEFAULT_PRESET, show_default=True)
@click.option("--weight", "weights", type=float, multiple=True, help="Weight of a style in the blend; 1 by default.")
@click.option("--mask", "mask_files", type=_FILE, multiple=True, help="White where a style is painted, else black.")
@click.option("--init-image", "init_file", type=_FILE, help="Image to start from, in place of `--init`.")
@click.option("--vgg19", default="auto", show_default=True, help=f"Weights: {', '.join(WEIGHTS_NAMES)} or a path.")
@click.option("--weights-dir", type=click.Path(file_okay=False, path_type=Path), default=_WEIGHTS_DIR)
@click.option("--memory-limit", type=float, default=0.0, metavar="GB", help="Most memory to use; 0 for what is free.")
@click.option("--manifest", type=click.Path(dir_okay=False, path_type=Path), help="JSON file for params and facts.")
@params_options
def main(content: Path, styles: tuple[Path, ...], output: Path, **options: Any) -> None:
    """Paint CONTENT in the style of STYLES."""
    if output.suffix.lower() not in _FORMATS:
        raise click.BadParameter(f"{output.name} must end in {', '.join(_FORMATS)}.", param_hint="--output")
    try:
        params = resolve(options["preset"], chosen_params(options))
    except ValidationError as error:
        raise click.UsageError(str(error.errors()[0]["msg"])) from None
    try:
        _paint(content, _load_styles(styles, options["weights"], options["mask_files"]), output, params, options)
    except AtelierError as error:
        _fail(f"{error.code}: {error.detail}")


def _load_styles(files: tuple[Path, ...], weights: tuple[float, ...], mask_files: tuple[Path, ...]) -> list[Style]:
    """Pair the styles with the weights and masks given, in order."""
    if max(len(weights), len(mask_files)) > len(files):
        raise click.UsageError("There are more weights or masks than styles.")
    styles = []
    for file, weight, mask in zip_longest(files, weights, mask_files):
        picture, opacity = _decode(file)
        style = Style(picture, 1.0 if weight is None else weight, opacity=opacity)
        styles.append(style if mask is None else style._replace(mask=_load_mask(mask)))
    return styles


def _load_mask(file: Path) -> Mask:
    if codec.is_blank_mask(file.read_bytes(), max_px=_MOST_PX):
        raise InvalidMask(f"{file.name} is black everywhere, so its style would be painted nowhere.")
    return _decode(file).mask


def _decode(file: Path) -> codec.Decoded:
    return codec.decode(file.read_bytes(), max_px=_MOST_PX)


def _paint(content_file: Path, styles: list[Style], output: Path, params: StyleParams, options: dict[str, Any]) -> None:
    """Load everything, paint, and write the result; a run that diverges leaves its last finite image."""
    content, init_file = _decode(content_file), options["init_file"]
    subject = Subject(content.rgb, init=_decode(init_file).rgb if init_file else None)
    with _console.status("Starting TensorFlow …"):
        network, planner = _open_engine(options)
        from worker.engine.stylize import stylize
    _print_weights(network)
    timelapse, last = Timelapse(params.timelapse), None
    with Progress(*_COLUMNS, console=_console) as progress:
        bar = progress.add_task("", total=None, loss="")
        for chunks in stylize([subject], styles, params, network, planner=planner):
            last = chunks[0]
            loss = f"loss {last.losses[-1].total:.4g}" if last.losses else ""
            size = "{} × {}".format(*last.size)
            progress.update(bar, completed=last.last, total=last.total, description=size, loss=loss)
            if params.timelapse and not last.final:
                timelapse.collect(last)
    if last is None:
        raise AtelierError("The engine made no steps.")
    _write(output, last, timelapse, content.alpha)
    if options["manifest"]:
        weights = {"name": network.name, "sha256": network.sha256, "reason": network.reason}
        facts = {"params": params.model_dump(), "weights": weights, **last.facts}
        options["manifest"].write_text(json.dumps(facts, indent=2) + "\n")
    if last.error is not None:
        _fail(f"{last.error.code}: {last.error.detail} {output} is the last image with finite losses.")
    _console.print(f"{output} · peak memory {last.facts['peak_memory_bytes'] / 1e9:.1f} GB", highlight=False)


def _open_engine(options: dict[str, Any]) -> tuple[Network, Planner]:
    with _without_import_messages():
        from worker.engine.device import hardware
        from worker.engine.device.planner import Planner
        from worker.engine.vgg import weights

    limit_bytes = int(options["memory_limit"] * 1e9)
    hardware.prepare(limit_bytes)
    network = weights.load(options["vgg19"], weights.WeightsLocation(options["weights_dir"]))
    return network, Planner(options["weights_dir"] / "profile.json", limit_bytes=limit_bytes)


def _print_weights(network: Network) -> None:
    """Name the weights in use, and why no better ones are; the last resort in red."""
    _console.print(f"Painting with {network.name} weights ({network.sha256[:12]}).", highlight=False)
    if network.name == LAST_RESORT_WEIGHTS:
        _console.print(LAST_RESORT_WARNING, style="red", highlight=False)
    if network.reason:
        _console.print(network.reason, style="yellow", highlight=False)


@contextmanager
def _without_import_messages() -> Iterator[None]:
    """Hide what TensorFlow prints at import, which no setting silences, unless the import fails."""
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        try:
            yield
        except BaseException:
            captured.seek(0)
            os.write(terminal, captured.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def _write(output: Path, last: Chunk, timelapse: Timelapse, alpha: Mask | None) -> None:
    """Write the image, and the timelapse beside it if one was asked for."""
    image = last.image()
    output.write_bytes(codec.encode(image, alpha, format=_FORMATS[output.suffix.lower()]))
    animation = timelapse.encode(image, last)
    if animation:
        output.with_suffix(".timelapse.webp").write_bytes(animation)


def _fail(message: str) -> NoReturn:
    _console.print(message, style="red", highlight=False)
    sys.exit(_EXIT_FAILED)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
