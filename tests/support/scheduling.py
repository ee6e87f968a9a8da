"""Deals the tests out to the processes of `pytest -n`: a file at a time, the longest first.

What takes the machine for itself, as browsers and killed processes do, goes to one process as a whole: its servers
start once, and its proofs never run beside one another.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

#: What takes the machine for itself.
_ALONE = ("tests/browser/", "tests/chaos/")
#: What begins first, since it takes longest: what is dealt out last should be short.
_FIRST = ("alone", "tests/conformance/", "tests/unit/worker/engine/", "tests/integration/", "tests/contract/")


class LongestFirst(LoadScopeScheduling):
    """Deals out files, and what takes the machine for itself as if it were one."""

    def _split_scope(self, nodeid: str) -> str:
        return "alone" if nodeid.startswith(_ALONE) else nodeid.partition("::")[0]

    def _assign_work_unit(self, node: object) -> None:
        self.workqueue.move_to_end(min(self.workqueue, key=_rank), last=False)
        super()._assign_work_unit(node)


def _rank(scope: str) -> int:
    return next((rank for rank, path in enumerate(_FIRST) if scope.startswith(path)), len(_FIRST))
