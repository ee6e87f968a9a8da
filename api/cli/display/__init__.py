"""What the command shows in a terminal: bars, tables, pictures."""
