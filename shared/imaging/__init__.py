"""Images: decoded within bounds, encoded, and converted to sRGB."""
