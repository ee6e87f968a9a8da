"""HTTP, the command line and the embedded stack: everything a client or an operator touches.

Leaves painting to `worker` and the truth to `shared.db`. Imports neither `worker` nor TensorFlow, so it
starts in about a second on any machine.
"""
