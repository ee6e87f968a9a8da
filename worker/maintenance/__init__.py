"""Chores beside painting, each alone, so that one that breaks stops no other."""
