"""Damaged bodies without end, from a source of chance: flipped, cut, spliced, mislabelled, nested, doubled."""

import json
from collections.abc import Iterator
from random import Random
from typing import Any

from PIL import Image

from tests.support.sample_images import NOISE, QUARTERS, saved

Body = tuple[str, bytes]

_WORDS = [
    "content",
    "style",
    "styles",
    "params",
    "steps",
    "size",
    "weight",
    "label",
    "metadata",
    "preset",
    "init_job",
    "",
]
_VALUES: list[Any] = [None, True, -1, 0, 1e308, 2**70, "", "x" * 5000, "\0", "\ud800", [], {}, [[]], [None] * 50]
#: JSON that Python's reader takes and others do not, and the other way round.
_TOKENS = ["NaN", "-Infinity", "1e999", "-0", "'a'", "{", "]", '"\\ud800"', '"\\u0000"', "0123", "/**/", "1" * 5000]


def nasty_texts() -> list[str]:
    return [
        "",
        "\0",
        "a\0b",
        "\ud800",
        "\U0010ffff",
        "ﬀ\u202e",
        "%",
        "%s%n",
        "'; DROP TABLE jobs; --",
        "../../etc",
        "x" * 3000,
    ]


def mutated_images(chance: Random) -> Iterator[Body]:
    """Pictures of each format, damaged."""
    small = Image.fromarray(QUARTERS).resize((24, 16))
    wholes = [saved(small, kind) for kind in ("JPEG", "PNG", "WEBP", "TIFF")]
    wholes += [saved(small, "JPEG", progressive=True), saved(small, "TIFF", compression="tiff_lzw")]
    wholes += [saved(small.convert("P"), "PNG"), saved(Image.fromarray(NOISE[:20, :20]), "WEBP", lossless=True)]
    while True:
        data = damaged(chance.choice(wholes), chance, wholes)
        yield chance.choice(["image/png", "image/jpeg", "image/*", "application/octet-stream"]), data


def damaged(data: bytes, chance: Random, wholes: list[bytes]) -> bytes:
    """Damage bytes in one to three ways; one time in twenty not at all."""
    for _ in range(chance.choice([0] + [1, 2, 3] * 6 + [1])):
        data = chance.choice([_flipped, _cut, _spliced, _headed, _doubled])(data, chance, wholes)
    return data


def _flipped(data: bytes, chance: Random, _: list[bytes]) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 8) if data else 0):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _cut(data: bytes, chance: Random, _: list[bytes]) -> bytes:
    return data[: chance.randint(0, len(data))]


def _spliced(data: bytes, chance: Random, wholes: list[bytes]) -> bytes:
    other = chance.choice(wholes)
    return data[: chance.randint(0, len(data))] + other[chance.randint(0, len(other)) :]


def _headed(data: bytes, chance: Random, _: list[bytes]) -> bytes:
    """Change one of the numbers at the beginning, where sizes stand."""
    changed = bytearray(data)
    at, width = chance.randrange(80), chance.choice([1, 2, 4])
    changed[at : at + width] = chance.choice([b"\xff", b"\0", b"\x7f", b"\x80", chance.randbytes(1)]) * width
    return bytes(changed)


def _doubled(data: bytes, chance: Random, _: list[bytes]) -> bytes:
    at = sorted(chance.randint(0, len(data)) for _ in range(2))
    return data[: at[1]] + data[at[0] :]


def json_bodies(chance: Random, image_id: str) -> Iterator[Body]:
    """Requests for a job, damaged in what they say or in how they are written."""
    base = {"content": image_id, "style": image_id, "params": {"size": 32, "steps": 4}, "metadata": {"a": 1}}
    deep = b"[" * 20_000, b'{"a":' * 20_000, b'{"content":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    while True:
        text = json.dumps(_mistaken(base, chance), ensure_ascii=chance.random() < 0.7).encode("utf-8", "surrogatepass")
        way = chance.randrange(8)
        if way == 0:
            text = text.replace(b"32", chance.choice(_TOKENS).encode())
        elif way == 1:
            text = text[:-1] + b', "content": ' + json.dumps(chance.choice(_VALUES)).encode() + b"}"
        elif way == 2:
            text = chance.choice(deep)
        elif way == 3:
            text = damaged(text, chance, [text])
        elif way == 4:
            text = text.decode("utf-8", "replace").encode(chance.choice(["utf-16", "utf-32", "utf-8-sig"]))
        yield (
            chance.choice(
                ["application/json"] * 6 + ["application/json; charset=x", "text/json", "application/x+json"]
            ),
            text,
        )


def _mistaken(base: dict[str, Any], chance: Random) -> Any:
    """Put strange values in strange places."""
    made = json.loads(json.dumps(base))
    for _ in range(chance.randint(0, 3)):
        within = chance.choice([made, made["params"], made["metadata"]])
        within[chance.choice(_WORDS)] = chance.choice(_VALUES)
        if not isinstance(made.get("params"), dict) or not isinstance(made.get("metadata"), dict):
            return made
    return made


def multipart_bodies(chance: Random, png: bytes) -> Iterator[Body]:
    """Forms of a job, damaged in their parts, their headers, their boundaries or as bytes."""
    while True:
        boundary = chance.choice(["b", "b" * 70, "x y", "b" * 5000, '"', ""])
        parts = [_part(name, png) for name in ("content", "style")]
        parts += [_part("request", b'{"params": {"size": 32, "steps": 4}}', kind="application/json")]
        way = chance.randrange(9)
        if way < 3:
            number = chance.randrange(len(parts))
            parts[number] = damaged(parts[number], chance, parts)
        elif way == 3:
            parts += parts[:1] * chance.choice([1, 5, 63, 70, 2000])
        elif way == 4:
            parts.append(_part(chance.choice(_WORDS), chance.choice([b"", b"\0" * 2**17, png]), kind="image/png"))
        elif way == 5:
            parts.append(_part("request", chance.choice([b"{", b"\xff\xfe", b"[]", b"[" * 20_000, b"NaN"])))
        elif way == 6:
            parts.append(b"X: " + b"y" * chance.choice([10, 100_000]) + b"\r\n\r\n")
        mark = b"--" + boundary.encode()
        body = b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts) + mark + b"--\r\n"
        if way == 7:
            body = damaged(body, chance, [body])
        kind = f"multipart/form-data; boundary={boundary}"
        yield chance.choice([kind] * 8 + ["multipart/form-data", "multipart/form-data; boundary=other"]), body


def _part(name: str, data: bytes, *, kind: str = "image/png") -> bytes:
    file = f'; filename="{name}.png"' if kind.startswith("image/") else ""
    return f'Content-Disposition: form-data; name="{name}"{file}\r\nContent-Type: {kind}\r\n\r\n'.encode() + data
