"""The demo's own pictures, drawn from nothing but numbers: a photograph-like scene and a painting.

They are always the same, so the demo needs no download and nobody's picture. Both are float32 RGB in 0 to 1,
shape `[height, width, 3]`, in sRGB, and each takes a second or two to draw.
"""

from api.cli.samples.painting import painting
from api.cli.samples.scene import scene

__all__ = ["painting", "scene"]
