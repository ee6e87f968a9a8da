"""What a command checks of its outputs before it sends anything: none of them overwrites one of its inputs."""

from collections.abc import Iterable
from pathlib import Path

import click

from shared.painting.cli_options import DEEP_FORMATS
from shared.paths import InputFiles
from shared.texts import printable

#: How many files a refusal names.
_MOST_NAMED = 20


def check_overwriting(outputs: Iterable[Path], inputs: Iterable[Path | None]) -> None:
    """Raise a `UsageError` if an output is an input, through links and on file systems that fold case too."""
    read = InputFiles(path for path in inputs if path is not None)
    hits = [(output, hit) for output in outputs if (hit := read.overwritten_by(output)) is not None]
    if hits:
        raise click.UsageError(
            "The results would overwrite pictures that they are made from; choose another output:"
            + listed(_pair_text(*hit) for hit in hits)
        )


def check_depth(depth: int | None, format_name: str) -> None:
    """Raise a `UsageError` if a result's format cannot hold so many bits per channel."""
    if depth == 16 and format_name not in DEEP_FORMATS:
        raise click.UsageError(f"A {format_name} has 8 bits per channel: choose png or tiff, or drop --depth 16.")


def listed(lines: Iterable[str]) -> str:
    """Write one line each, indented, up to a number."""
    texts = list(lines)
    rest = [f"and {len(texts) - _MOST_NAMED:,} more"] if len(texts) > _MOST_NAMED else []
    return "".join(f"\n  {text}" for text in [*texts[:_MOST_NAMED], *rest])


def _pair_text(output: Path, hit: Path) -> str:
    return printable(output) if output == hit else f"{printable(output)} (the same file as {printable(hit)})"
