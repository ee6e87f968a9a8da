"""Names of files that we hand out: fit for every file system, and no two of them one file on any."""

import unicodedata

import pytest

from api.usecases.file_names import UniqueNames, safe_part


def named(*keys: str, reserved: str = "manifest.jsonl") -> list[str]:
    names = UniqueNames(reserved)
    return [names.add(key, "png") for key in keys]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["a.jpg", "b/c.jpg"], ["a.png", "b/c.png"]),
        (["a.png", "a.jpg", "a.tif"], ["a.png", "a.jpg.png", "a.tif.png"]),
        (["a.jpg", "A.jpg", "A.JPG"], ["a.png", "A.jpg.png", "A.JPG-2.png"]),
        (["ä.jpg", unicodedata.normalize("NFD", "ä.jpg")], ["ä.png", unicodedata.normalize("NFD", "ä.jpg") + ".png"]),
        (["straße.jpg", "STRASSE.jpg"], ["straße.png", "STRASSE.jpg.png"]),
        (["a.jpg", "a.png/b.jpg"], ["a.png", "a.png_/b.png"]),
        (["a.png/b.jpg", "a.jpg"], ["a.png/b.png", "a.jpg.png"]),
        (["A/x.jpg", "a/X.jpg", "a/y.jpg"], ["A/x.png", "a/X.jpg.png", "a/y.png"]),
        (["manifest.jsonl"], ["manifest.png"]),
    ],
)
def test_the_second_of_two_that_would_be_one_file_is_renamed(keys, expected) -> None:
    assert named(*keys) == expected


def test_a_name_that_is_taken_in_any_case_is_not_given() -> None:
    assert named("a.jpg", reserved="A.PNG") == ["a.jpg.png"]


def test_many_that_would_be_one_file_are_as_many_files() -> None:
    keys = [f"{letter}{other}.jpg" for letter in "aA" for other in "bB"] * 50
    names = named(*keys)
    assert len({name.casefold() for name in names}) == len(keys)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("con.jpg", "_con.jpg"),
        ("CON", "_CON"),
        ("aux.tar.gz", "_aux.tar.gz"),
        ("com1.jpg", "_com1.jpg"),
        ("LPT¹.jpg", "_LPT¹.jpg"),
        ("nul .txt", "_nul .txt"),
        ("contour.jpg", "contour.jpg"),
        ("com.jpg", "com.jpg"),
        ('a<b>c:d"e|f?g*h.jpg', "a_b_c_d_e_f_g_h.jpg"),
        ("a\tb\x7f", "a_b_"),
        ("a. ", "a__"),
        ("...", "___"),
        ("", "_"),
        ("Häuser ✓.jpg", "Häuser ✓.jpg"),
    ],
)
def test_what_windows_refuses_is_replaced(name, safe) -> None:
    assert safe_part(name) == safe


@pytest.mark.parametrize(
    "key", ["con.jpg", "x/aux/nul.jpg", "a:b.jpg", "x" * 251 + ".jpg", "ä" * 120 + ".jpg", "a.b /c?.jpg"]
)
def test_any_key_becomes_a_name_that_windows_takes(key) -> None:
    for name in named(key, key.upper(), key):
        for part in name.split("/"):
            assert safe_part(part) == part
            assert len(part.encode()) <= 255
        assert name.endswith(".png")
