"""Zips and tars from untrusted clients, unpacked within bounds.

Python's own readers are not used: they hold a zip's whole directory, let bzip2 and LZMA unpack any amount at once, and
believe what headers claim.
"""
