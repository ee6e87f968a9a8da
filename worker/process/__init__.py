"""The worker as a process: its watchdog, what it sees of its child, its registration."""
