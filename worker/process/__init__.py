"""The worker as a process: its watchdog, the row in which it describes itself, and how much it has grown."""

#: Set in the environment of a worker that has just replaced itself.
REPLACED = "ATELIER_REPLACED"
