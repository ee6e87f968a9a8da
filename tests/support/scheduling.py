"""Deals the tests out to the processes of `pytest -n`: a file at a time, the longest first.

Tests in browsers go to one process as a whole, so that their servers start once; tests that kill processes go to
another, so that none of them runs beside another.
"""

from xdist.scheduler import LoadScopeScheduling

#: Folders that are dealt out whole.
_WHOLE = ("tests/chaos/", "tests/browser/")
#: What begins first, since it takes longest: what is dealt out last should be short.
_FIRST = (*_WHOLE, "tests/conformance/", "tests/unit/worker/engine/", "tests/integration/", "tests/contract/")


class LongestFirst(LoadScopeScheduling):
    """Deals out files, and each of those folders as if it were one."""

    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in _WHOLE if nodeid.startswith(folder)), nodeid.partition("::")[0])

    def _assign_work_unit(self, node: object) -> None:
        self.workqueue.move_to_end(min(self.workqueue, key=_rank), last=False)
        super()._assign_work_unit(node)


def _rank(scope: str) -> int:
    return next((rank for rank, path in enumerate(_FIRST) if scope.startswith(path)), len(_FIRST))
