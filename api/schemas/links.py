"""Links in answers: paths below the prefix under which this request's application is reached.

Serializers name paths of the application, such as `/v1/jobs/…`; the prefix is added here, once, as a model is made.

Invariant: whoever serves requests sets `mounted_at` before each of them, so that no request inherits another's prefix.
"""

from contextvars import ContextVar
from typing import Annotated

from pydantic import AfterValidator

#: The prefix of all paths, without a slash at its end; empty unless a proxy serves the application below a path.
mounted_at: ContextVar[str] = ContextVar("mounted_at", default="")


def mounted(path: str) -> str:
    """Return a path of the application as clients reach it."""
    return mounted_at.get() + path


#: Paths of the application by name.
Links = Annotated[dict[str, str], AfterValidator(lambda links: {name: mounted(path) for name, path in links.items()})]
