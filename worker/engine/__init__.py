"""The engine: arrays and params in, steps out. Knows nothing of jobs, queues or databases.

Importing this package does not import TensorFlow; `worker.engine.stylize` does.
"""
