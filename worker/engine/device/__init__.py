"""The device: what it is, what fits its memory, and how a run is planned for it."""
