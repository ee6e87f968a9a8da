"""What a painting is asked for and what it takes: parameters, sizes, costs, layers, keys. Pure: no input or output."""
