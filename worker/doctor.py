"""Report to `atelier doctor` what a worker here would paint with: `python -m worker.doctor WEIGHTS_DIR` prints JSON.

It is a process of its own because the CLI may not load TensorFlow.
"""

import json
import sys
from pathlib import Path
from typing import Any


def examine(weights_dir: Path) -> dict[str, Any]:
    """Describe the device, and list the cached weights, best first; download and train none."""
    from worker.engine.device import hardware
    from worker.weights import list_weights

    cached = {known["name"]: known["path"] for known in list_weights(weights_dir) if known["path"]}
    return {"device": hardware.describe(), "cached": cached}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(examine(Path(sys.argv[1]))) + "\n")
