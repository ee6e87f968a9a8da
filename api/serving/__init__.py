"""Serving HTTP so that a peer that is slow, or wants to be, holds up nobody but itself."""
