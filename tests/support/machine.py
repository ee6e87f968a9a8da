"""Makes the most of the machine that the tests run on: files in memory, and processes that leave each other room."""

import os
import tempfile

#: As much as a file system in memory must have free: the tests' files, and several databases.
_ROOM_BYTES = 4 * 2**30


def memory_folder() -> str | None:
    """Name a file system in memory if there is plenty: a fresh database takes 15 ms there, on a disk up to 250."""
    try:
        found = os.statvfs("/dev/shm")
    except FileNotFoundError:
        return None
    roomy = found.f_bavail * found.f_frsize >= _ROOM_BYTES and not found.f_flag & os.ST_NOEXEC
    return "/dev/shm" if roomy else None


def keep_files_in_memory() -> None:
    """Have temporary files lie in memory, this process's and those of every process that it starts."""
    if (folder := memory_folder()) and "TMPDIR" not in os.environ:
        os.environ["TMPDIR"] = folder
        tempfile.tempdir = None


def share_processors() -> None:
    """Give TensorFlow one thread in every process to come, where several test at once."""
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
