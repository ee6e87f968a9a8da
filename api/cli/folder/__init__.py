"""`atelier batch`: which pictures of a folder to paint, and the run that paints them."""
