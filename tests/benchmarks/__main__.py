"""Run the benchmarks, print a line each, write them all to a JSON file; exit code 1 if one misses its bound."""

import argparse
import json
import math
import sys
from pathlib import Path

from tests.benchmarks.registry import run


def main() -> int:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("chosen", nargs="?", default="", help="part of the names to run; all by default")
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks.json"), help="JSON file to write")
    options = parser.parse_args()
    results = []
    for result in run(options.chosen):
        print(result.line(), flush=True)
        value = None if math.isnan(result.value) else result.value
        results.append({**result._asdict(), "value": value, "ok": result.ok})
    options.output.write_text(json.dumps(results, indent=2) + "\n")
    return 0 if results and all(result["ok"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
