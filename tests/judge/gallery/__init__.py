"""Paints what `docs/gallery.md` shows, and writes it: `make gallery`.

The pairs by `balanced`, and beside it by the other programs of `tests.judge.rivals` that the command line names. With
`--portraits`, faces by `balanced` and by changes of it, side by side, to choose parameters by eye.
"""
