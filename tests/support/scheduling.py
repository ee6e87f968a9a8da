"""Deals the tests out to the processes of `pytest -n`: a file at a time, the longest first.

A folder in `TOGETHER` goes to one process as a whole, so that its servers start once and its proofs never run beside
one another.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

TOGETHER = ("tests/browser", "tests/chaos")
#: What takes longest, in the order in which it begins: what is dealt out last should be short.
FIRST = ("tests/chaos", "tests/browser", "tests/conformance", "tests/unit/worker/engine", "tests/integration")


class LongestFirst(LoadScopeScheduling):
    """Deals out files, and folders that belong together."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return next((folder for folder in TOGETHER if path.startswith(f"{folder}/")), path)

    def _assign_work_unit(self, node: object) -> None:
        self.workqueue.move_to_end(min(self.workqueue, key=_rank), last=False)
        super()._assign_work_unit(node)


def _rank(scope: str) -> int:
    return next((rank for rank, path in enumerate(FIRST) if scope.startswith(path)), len(FIRST))
