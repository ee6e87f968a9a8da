"""Losses, gradients and updates, on whole images or tile by tile, and the targets that images are compared with."""
