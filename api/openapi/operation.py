"""The decorator that declares a view's contract: the access it needs, and what OpenAPI says about it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel

from api.access import Access
from shared.errors import AtelierError

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(kw_only=True)
class operation:  # noqa: N801 - it is read as a decorator
    """The contract of the view below it, whose docstring's first line is published as the operation's summary."""

    access: Access
    #: A model to send as JSON, or by media type: models, or plain schemas.
    returns: Any
    status: int = 200
    #: The request body by media type: models, or plain schemas.
    takes: dict[str, Any] = field(default_factory=dict)
    #: Whether the request may come without its body.
    body_optional: bool = False
    #: The model of the query, which the view reads with `parsed_query`.
    query: type[BaseModel] | None = None
    #: Besides those that access, path, query, body and headers imply.
    errors: tuple[type[AtelierError], ...] = ()
    #: Other successful responses by status: a description, and a model or None for an empty one.
    others: dict[int, tuple[str, Any]] = field(default_factory=dict)
    #: The request headers that the view reads.
    headers: tuple[str, ...] = ()
    #: Whether a token for the job's events, in the query, also opens it.
    takes_token: bool = False
    summary: str = field(default="", init=False)

    def __call__(self, view: View) -> View:
        """Attach the contract to a view."""
        self.summary = (view.__doc__ or "").partition("\n")[0].rstrip(".")
        view.access = self.access  # type: ignore[attr-defined]
        view.operation = self  # type: ignore[attr-defined]
        return view

    @property
    def content(self) -> dict[str, Any]:
        """What a successful response holds, by media type."""
        return self.returns if isinstance(self.returns, dict) else {"application/json": self.returns}
