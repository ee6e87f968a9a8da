"""Pictures as arrays: masks, colours, resizing."""
