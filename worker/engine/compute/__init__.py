"""Losses and gradients of a picture, whole or tile by tile, and what it is compared with."""
