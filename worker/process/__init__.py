"""The worker as a process: its watchdog, the row in which it describes itself, and how much it has grown."""
