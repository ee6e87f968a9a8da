"""Adam and L-BFGS, and the state that they move."""
