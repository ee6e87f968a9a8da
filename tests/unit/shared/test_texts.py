"""Which characters a text may hold, and texts as people see them."""

import os
import re

import pytest

from shared.texts import PRINTABLE_PATTERN, find_unprintable, printable, printable_lines


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Häuser \u202f.jpg", "Häuser \u202f.jpg"),
        ("a\nb\t.jpg", r"a\nb\t.jpg"),
        ("a\x1b[31m.jpg", r"a\x1b[31m.jpg"),
        (os.fsdecode(b"a\xff.jpg"), r"a\xff.jpg"),
        ("a\u2028.jpg", r"a\u2028.jpg"),
        ("a\u202egpj.exe", r"a\u202egpj.exe"),
        ("\U0001f468\u200d\U0001f469.jpg", "\U0001f468\u200d\U0001f469.jpg"),
    ],
)
def test_what_cannot_be_shown_is_escaped(name: str, shown: str) -> None:
    assert printable(name) == shown
    assert (find_unprintable(name) is None) == (shown == name)
    assert printable(name).encode()


def test_only_a_text_of_several_lines_may_have_tabs_and_line_breaks() -> None:
    for character in "\t\n\r":
        assert find_unprintable(f"a{character}b") == character
        assert find_unprintable(f"a{character}b", several_lines=True) is None
    for character in "\x00\x0b\x1b\x7f\x9b\u2029\u2066\ud800":
        assert find_unprintable(f"a{character}b", several_lines=True) == character
    assert printable_lines("a\n\x1b[2J\tb\r\n") == "a\n\\x1b[2J\tb\\r\n"


def test_the_published_pattern_refuses_the_same_characters() -> None:
    for code in (*range(0x300), *range(0x2000, 0x2100), 0xFEFF, 0x1F600):
        fits = re.fullmatch(PRINTABLE_PATTERN.removesuffix("$"), chr(code)) is not None
        assert fits == (find_unprintable(chr(code)) is None), hex(code)
