"""The command `atelier demo`."""

from pathlib import Path

import click

from api.cli.options import PICTURE
from api.cli.ranges import IntRange
from shared import logs
from shared.settings import Settings


@click.command()
@click.argument("content", type=PICTURE, required=False)
@click.argument("style", type=PICTURE, required=False)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("demo"),
    show_default=True,
    metavar="FOLDER",
    help="Where to write the pictures.",
)
@click.option("--size", type=IntRange(64, 4096), default=384, show_default=True, help="Long side, in px.")
def demo(content: Path | None, style: Path | None, out: Path, size: int) -> None:
    """Start everything, paint one picture, write it to a folder, and stop everything.

    Without CONTENT and STYLE, the demo draws its own pictures.
    """
    from api.cli.demo.run import run  # imports NumPy and Pillow

    if (content is None) != (style is None):
        raise click.UsageError("Give both CONTENT and STYLE, or neither.")
    settings = Settings.load()
    logs.configure(settings.log_format, "WARNING")  # the terminal is for people; the processes log to files
    run(content, style, out, size=size, settings=settings)
