"""VGG19: its layers, and its weights: fetched, read, checked, or made on this machine as a last resort."""
