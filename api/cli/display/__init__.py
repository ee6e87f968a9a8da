"""What the command shows: progress bars, tables, pictures in a terminal, and plain output for programs."""
