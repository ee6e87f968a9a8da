"""Drawings of results: the contact sheet of one painting, and its loss chart."""
