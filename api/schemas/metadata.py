"""What a client keeps with its jobs and batches: any JSON, stored as it is and bounded as it is stored."""

import json
from typing import Annotated

from pydantic import AfterValidator, Field, JsonValue
from pydantic_core import PydanticCustomError

#: Most bytes that it takes as JSON, in UTF-8 and without spaces.
_MAX_BYTES = 16 * 1024


def _bounded(metadata: dict[str, JsonValue]) -> dict[str, JsonValue]:
    size_bytes = len(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode())
    if size_bytes > _MAX_BYTES:
        bounds = {"size_bytes": size_bytes, "le": _MAX_BYTES}
        raise PydanticCustomError("too_long", "It has {size_bytes} bytes as JSON; at most {le} are stored", bounds)
    return metadata


Metadata = Annotated[
    dict[str, JsonValue],
    Field(
        max_length=64,
        description=f"Stored as it is; up to {_MAX_BYTES // 1024} KiB of JSON. Its values may have several lines.",
    ),
    AfterValidator(_bounded),
]
