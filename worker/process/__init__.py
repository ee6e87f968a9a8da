"""The worker as a process: its watchdog, and the row in which it describes itself."""
