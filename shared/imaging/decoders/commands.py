"""The commands that the fork server takes, and its answers: an operation with three numbers, and a number."""

import struct

#: An operation, and its numbers.
COMMAND = struct.Struct("!cQQQ")
ANSWER = struct.Struct("!q")
#: Make a child with these limits, and give it the socket that comes with the command; the answer is its process id.
FORK = b"f"
#: End the child with this id, if it has not ended; the answer is its exit code, negative for a signal.
END = b"e"
#: The server's word that it has loaded everything.
READY = 0
#: The answer to `END` for a process that is no child of the server's.
UNKNOWN = 2**32
