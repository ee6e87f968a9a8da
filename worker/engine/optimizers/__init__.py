"""Adam and L-BFGS on images, and the state that they update."""
