"""What is painted and what it costs: parameters, sizes, costs, layers, keys. Pure: no I/O."""
