"""What `atelier demo` does: start everything, paint one picture, write it, stop everything.

The stack is a real one in a temporary home; only the cache of weights is the user's, so that they are fetched once.

Invariant: no process outlives `run`, however it ends.
"""

import importlib.util
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from api.cli.demo import samples
from api.cli.display.job_bar import JobBar
from api.cli.display.layout import duration_text
from api.cli.errors import ensure_succeeded
from api.cli.outputs import check_overwriting
from api.client import Client
from api.client.files import check_picture_path, write_whole
from api.client.models import Event, Job
from api.local.stack import Stack
from api.sheets.contact_sheet import contact_sheet
from shared.errors import AtelierError, Misconfigured
from shared.imaging import codec
from shared.painting.params import LAST_RESORT_WARNING, LAST_RESORT_WEIGHTS
from shared.settings import Settings

#: The largest side that `atelier demo --size` allows, squared.
_LARGEST_RESULT_PX = 4096**2
#: Pause between two looks at the job and the processes, in seconds.
_POLL_EVERY_S = 0.25
#: Longest wait for the worker to start painting: it loads TensorFlow and may fetch weights first; in seconds.
_START_WITHIN_S = 300.0


def run(content: Path | None, style: Path | None, out: Path, *, size: int, settings: Settings) -> None:
    """Paint `content` in the style of `style`, by default drawn samples, into `result.png` and `sheet.png` in `out`."""
    outputs = [out / name for name in ("result.png", "sheet.png")]
    check_overwriting(outputs, [content, style])
    for path in outputs:
        check_picture_path(path)
    if settings.engine == "vgg19" and importlib.util.find_spec("tensorflow") is None:
        raise Misconfigured("TensorFlow is not installed: install the `cpu` or the `gpu` extra of Atelier.")
    photo, painting = _load(content, samples.scene, settings), _load(style, samples.painting, settings)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # an exit that still cleans up
    say = Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print
    say("Starting Redis, API, maintenance and a worker …")
    if not settings.weights_dir.is_dir():
        say("The first run also fetches the VGG19 weights, 19 to 80 MB, which takes up to a minute.")
    with (
        tempfile.TemporaryDirectory(prefix="atelier-demo-") as home,
        Stack(_isolated(settings, Path(home)), workers=1) as stack,
        Client(stack.url, stack.key) as client,
    ):
        started_at = time.monotonic()
        job = client.submit(photo.data, [painting.data], params={"size": size}, label="demo")
        job = _follow(stack, client, job)
        ensure_succeeded(job)
        result, losses = client.result(job.id), client.losses(job.id)
        _write(out, photo, painting, result, losses, job)
        _report(say, job, losses["total"], out, time.monotonic() - started_at)


class _Picture(NamedTuple):
    """A picture as encoded bytes to submit, and as pixels for the sheet."""

    data: bytes
    rgb: NDArray[np.float32]


def _load(path: Path | None, draw: Callable[[], NDArray[np.float32]], settings: Settings) -> _Picture:
    """Read a file, or draw a sample; an unreadable file is reported before anything starts."""
    if path is None:
        drawn = draw()
        return _Picture(codec.encode(drawn, format="png"), drawn)
    data = path.read_bytes()
    try:
        return _Picture(data, codec.decode(data, max_px=settings.max_upload_px).rgb)
    except AtelierError as error:
        raise type(error)(f"{path}: {error.detail}", **error.fields) from error


def _isolated(settings: Settings, home: Path) -> Settings:
    """Separate a stack from every other by its home and port; engine and weights stay the user's."""
    return settings.model_copy(
        update={
            "home": home,
            "host": "127.0.0.1",
            "port": 0,
            "database_url": f"sqlite:///{home}/atelier.db",
            "redis_url": f"unix://{home}/redis.sock",
            "storage_url": f"{home}/storage",
        }
    )


def _follow(stack: Stack, client: Client, job: Job) -> Job:
    """Show the job until it has ended; raise `Misconfigured` if the stack fails meanwhile.

    Polls instead of following events, because a process may die between two events.
    """
    deadline = time.monotonic() + _START_WITHIN_S
    with JobBar(job) as bar:
        while not (job := client.job(job.id)).ended:
            for child in stack.check():
                raise Misconfigured(f"The process {child.name} died. The end of its log:\n{child.log_tail()}")
            if job.progress:
                bar.show_step(job.progress)
            elif time.monotonic() > deadline:
                raise Misconfigured(f"No worker began within {_START_WITHIN_S:.0f} s: run `atelier doctor`.")
            time.sleep(_POLL_EVERY_S)
        if job.progress:
            bar.show_step(job.progress)
        bar.show(Event("", "end", {"state": job.state}))
    return job


def _write(
    out: Path, content: _Picture, style: _Picture, result: bytes, losses: dict[str, list[float]], job: Job
) -> None:
    """Write the result and the sheet."""
    painted = codec.decode(result, max_px=_LARGEST_RESULT_PX).rgb
    curves = {name: losses[name] for name in ("total", "content", "style", "tv")}
    height, width = painted.shape[:2]
    facts = (job.preset, f"{_weights_name(job)} weights", f"{width} × {height} px", f"{len(losses['total'])} steps")
    write_whole(out / "result.png", result)
    sheet = contact_sheet(content.rgb, [style.rgb], painted, curves, caption=" · ".join(map(str, facts)))
    write_whole(out / "sheet.png", sheet)


def _weights_name(job: Job) -> str:
    return str((job.weights or {}).get("name", "unknown"))


def _report(say: Callable[..., None], job: Job, losses: list[float], out: Path, took_s: float) -> None:
    weights = job.weights or {}
    sha256 = str(weights.get("sha256", ""))
    fingerprint = f" ({sha256[:12]})" if sha256 else ""
    say(f"loss     {losses[0]:.4g} at the first of {len(losses)} steps, {losses[-1]:.4g} at the last")
    say(f"weights  {_weights_name(job)}{fingerprint}")
    if _weights_name(job) == LAST_RESORT_WEIGHTS:
        say(f"         {LAST_RESORT_WARNING}")
    if weights.get("reason"):
        say(f"         {weights['reason']}")
    say(f"took     {duration_text(took_s)} from the submission to the picture")
    say(f"picture  {out / 'result.png'}")
    say(f"sheet    {out / 'sheet.png'}: content, style, result, losses")
