"""The views, one blueprint per resource, each a few lines with its contract declared above it."""
