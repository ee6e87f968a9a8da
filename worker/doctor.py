"""Tell `atelier doctor` what this worker would paint with: `python -m worker.doctor WEIGHTS_DIR` prints JSON.

A process of its own, because the one that asks may not load TensorFlow.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from shared.painting.params import LAST_RESORT_WEIGHTS


def examine(weights_dir: Path) -> dict[str, Any]:
    """Describe the device, and say which weights are cached, the best first; nothing is fetched or made."""
    from worker.engine.device import hardware
    from worker.engine.vgg import weights

    cached = {known.name: weights.find_cached(known, weights_dir) for known in weights.PUBLISHED.values()}
    cached[LAST_RESORT_WEIGHTS] = weights.find_patch_file(weights_dir)
    return {"device": hardware.describe(), "cached": {name: str(path) for name, path in cached.items() if path}}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(examine(Path(sys.argv[1]))) + "\n")
