"""The engine on its own: paint one image from the command line, without queue, database or server.

`python -m worker.engine photo.jpg painting.jpg -o painted.png` takes every parameter that a job takes. TensorFlow,
which needs seconds to import, is loaded only once the command line is known to be right.
"""

from __future__ import annotations

import os
import signal
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
from shared.imaging import codec, metadata
from shared.painting.cli_options import PictureFile, chosen_params, depth_option, metadata_option, params_options
from shared.painting.params import (
    DEFAULT_PRESET,
    LAST_RESORT_WARNING,
    LAST_RESORT_WEIGHTS,
    PRESETS,
    WEIGHTS_NAMES,
    StyleParams,
    resolve,
)
from shared.texts import printable
from worker.engine.outputs import Outputs
from worker.engine.timelapse import Timelapse
from worker.engine.types import Chunk, Mask, Style, Subject

if TYPE_CHECKING:
    from worker.engine.device.planner import Planner
    from worker.engine.vgg.network import Network

#: Where weights are kept between runs: the default of the services too.
_WEIGHTS_DIR = Path(os.path.expanduser("~/.atelier/weights"))  # noqa: PTH111 - which never raises
_MOST_PX = 500_000_000
_FILE = PictureFile()
_EXIT_FAILED = 3
#: The exit code of a process that Ctrl-C ended: 128 and the number of the signal.
_EXIT_INTERRUPTED = 128 + signal.SIGINT

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
@depth_option
@metadata_option
@params_options
def main(content: Path, styles: tuple[Path, ...], output: Path, **options: Any) -> None:
    """Paint CONTENT in the style of STYLES. Ctrl-C writes the picture so far."""
    try:
        params = resolve(options["preset"], chosen_params(options))
    except ValidationError as error:
        raise click.UsageError(str(error.errors()[0]["msg"])) from None
    outputs = Outputs(
        output, depth=options["depth"] or 8, has_timelapse=params.timelapse > 0, manifest=options["manifest"]
    )
    more = [options["init_file"], Path(options["vgg19"])]  # the name of published weights is that of no file
    outputs.check([content, *styles, *options["mask_files"], *(path for path in more if path and path.is_file())])
    try:
        _paint(content, _load_styles(styles, options["weights"], options["mask_files"]), outputs, params, options)
    except AtelierError as error:
        _fail(f"{error.code}: {error.detail}")
    except OSError as error:
        _fail(f"{error.filename or output}: {error.strerror or error}.")
    except KeyboardInterrupt:
        _fail("Interrupted before there was a picture; nothing is written.", _EXIT_INTERRUPTED)


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


def _paint(
    content_file: Path, styles: list[Style], outputs: Outputs, params: StyleParams, options: dict[str, Any]
) -> None:
    """Load everything, paint, and write the result.

    A run that diverges leaves its last finite image, one that Ctrl-C ends the image after its last chunk.
    """
    content, init_file = _decode(content_file), options["init_file"]
    kept = metadata.read(content_file.read_bytes()) if options["keep_metadata"] else None
    subject = Subject(content.rgb, init=_decode(init_file).rgb if init_file else None)
    with _console.status("Starting TensorFlow …"):
        network, planner = _open_engine(options)
        from worker.engine.stylize import stylize
    _print_weights(network)
    timelapse = Timelapse(params.timelapse)
    last, interrupted = _follow(stylize([subject], styles, params, network, planner=planner), timelapse)
    with _uninterrupted():
        image = last.image()
        outputs.write_picture(image, content.alpha, kept)
        outputs.write_timelapse(timelapse.encode(image, last))
        weights = {"name": network.name, "sha256": network.sha256, "reason": network.reason}
        partial = {"partial": True} if interrupted else {}
        outputs.write_manifest({"params": params.model_dump(), "weights": weights, **partial, **last.facts})
    if interrupted:
        so_far = f"{outputs.picture} is the picture after step {last.last} of {last.total}."
        _fail(f"Interrupted: {so_far}", _EXIT_INTERRUPTED)
    if last.error is not None:
        _fail(f"{last.error.code}: {last.error.detail} {outputs.picture} is the last image with finite losses.")
    _say(f"{outputs.picture} · peak memory {last.facts['peak_memory_bytes'] / 1e9:.1f} GB")


def _follow(painting: Iterator[dict[int, Chunk]], timelapse: Timelapse) -> tuple[Chunk, bool]:
    """Show a run until it ends; return its last chunk, and whether Ctrl-C ended it.

    Raises `KeyboardInterrupt` if that comes before the first chunk.
    """
    last = None
    with Progress(*_COLUMNS, console=_console) as progress:
        bar = progress.add_task("", total=None, loss="")
        try:
            for chunks in painting:
                last = chunks[0]
                loss = f"loss {last.losses[-1].total:.4g}" if last.losses else ""
                size = "{} × {}".format(*last.size)
                progress.update(bar, completed=last.last, total=last.total, description=size, loss=loss)
                if not last.final:
                    timelapse.collect(last)
        except KeyboardInterrupt:
            if last is None:
                raise
            return last, not last.final
    if last is None:
        raise AtelierError("The engine made no steps.")
    return last, False


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ignore Ctrl-C for the seconds that writing takes: hours of painting may be in memory alone."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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
    _say(f"Painting with {network.name} weights ({network.sha256[:12]}).")
    if network.name == LAST_RESORT_WEIGHTS:
        _say(LAST_RESORT_WARNING, style="red")
    if network.reason:
        _say(network.reason, style="yellow")


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


def _fail(message: str, code: int = _EXIT_FAILED) -> NoReturn:
    _say(message, style="red")
    sys.exit(code)


def _say(message: str, *, style: str | None = None) -> None:
    """Print a message, which may hold names of files that look like markup or would move the cursor."""
    _console.print(printable(message), style=style, highlight=False, markup=False)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
