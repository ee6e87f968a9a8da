"""Ctrl-C while the commands are imported, which takes half a second: the process ends at once and without a traceback.

Importing this module begins that time, and `is_over` ends it; later, `api.cli.errors` says what was interrupted.
"""

import signal
import threading

_IS_OURS = threading.current_thread() is threading.main_thread() and (
    signal.getsignal(signal.SIGINT) is signal.default_int_handler
)
if _IS_OURS:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def is_over() -> None:
    """Let Ctrl-C raise `KeyboardInterrupt` again."""
    if _IS_OURS and signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
