"""Tell `atelier doctor` what this worker would paint with: `python -m worker.doctor WEIGHTS_DIR` prints JSON.

A process of its own, because the one that asks may not load TensorFlow.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def examine(weights_dir: Path) -> dict[str, Any]:
    """Describe the device, and say which weights are cached; nothing is fetched or made."""
    from worker.engine import device, weights

    patch = sorted(weights_dir.glob("patch-*.npz"))
    imagenet = weights.cached_imagenet(weights_dir)
    cached = {"imagenet": imagenet, "patch": patch[-1] if patch else None}
    return {"device": device.describe(), "cached": {name: str(path) for name, path in cached.items() if path}}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(examine(Path(sys.argv[1]))) + "\n")
