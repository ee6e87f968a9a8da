"""The keys of pictures by their paths."""

import os

import pytest

from api.cli.folder.keys import key_of
from api.schemas.batches import check_key

PLAIN = ["a.jpg", "2030/Häuser 1.jpg", "12:30.jpg", "a%0Ab.jpg", "x" * 251 + ".jpg", "~/a.jpg", "a~b.jpg"]
ODD = [
    os.fsdecode(b"a\xff.jpg"), os.fsdecode(b"a\xfe.jpg"), "a\tb.jpg", "a\nb.jpg", "a:b.jpg", "a\\b.jpg", "sub /b.jpg",
    "sub./b.jpg", "sub/b.jpg\n/c.jpg", " /a.jpg", "\u3000/a.jpg", "\x7f.jpg", "a/" * 300 + "a.jpg",
    "a/" * 301 + "a.jpg", os.fsdecode(b"\xff" * 251 + b".jpg"), os.fsdecode(b"\xff" * 250 + b"\xfe.jpg"),
]  # fmt: skip


@pytest.mark.parametrize("path", PLAIN)
def test_a_path_that_is_a_key_stays(path: str) -> None:
    assert key_of(path) == path


@pytest.mark.parametrize("path", ODD, ids=range(len(ODD)))
def test_any_other_path_has_a_valid_key_that_keeps_the_suffix(path: str) -> None:
    key = key_of(path)
    check_key(key)
    assert key != path
    assert key.endswith(".jpg")
    assert key == key_of(path)


def test_different_paths_have_different_keys_even_those_that_look_made() -> None:
    paths = [*PLAIN, *ODD]
    paths += [key_of(path) for path in ODD]  # somebody may have files of these names too
    paths += [key_of(path) for path in paths]
    paths = sorted(set(paths))
    keys = {key_of(path) for path in paths}
    assert len(keys) == len(paths)


def test_a_made_key_shows_where_it_comes_from() -> None:
    assert key_of("2030/a\nb.jpg").startswith("2030/a_b~")
