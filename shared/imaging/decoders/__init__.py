"""Decodes foreign pictures in processes of their own, which may crash, hang or be taken over without harm to others.

`pool.Decoders` is what callers use. Its processes are children of a fork server, which loads Pillow once, decodes
nothing itself, and gives a new child in milliseconds.

Threat: a picture is hostile and takes over the decoder that reads it. A child has no environment, no open files but its
socket, and limits on processor time, memory and files. Its answers are validated like any other foreign input. In the
API it is given the uploads of one owner, or one picture alone; a worker's children see the pictures of all its jobs.
"""
