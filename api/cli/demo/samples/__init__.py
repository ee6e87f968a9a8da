"""The demo's own pictures, drawn procedurally: a photograph-like scene and a painting.

They are deterministic, so the demo needs neither a download nor anyone's pictures. Both are sRGB as float32 in 0 to 1,
shape `[height, width, 3]`; each takes a second or two to draw.
"""

from api.cli.demo.samples.painting import painting
from api.cli.demo.samples.scene import scene

__all__ = ["painting", "scene"]
