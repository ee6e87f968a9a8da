"""VGG19: its forward pass, and its weights: downloaded, read and checked, or learned here as a last resort."""
