"""The engine's speed and memory on an NVIDIA GPU: `make bench-gpu`.

Each case is a process of its own, so that neither its settings, which TensorFlow keeps for a process, nor its memory
reach the next one. The cases come in the order of what they tell, because the whole keeps to a budget of time: what no
longer fits is named and left out.
"""
