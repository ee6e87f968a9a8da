"""atelier batch: paint a folder of pictures."""
