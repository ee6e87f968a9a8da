"""What is minimized: the terms of the loss, and their weighted sum."""
