"""The decorator that declares a view's contract: the access it needs, and what OpenAPI says about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel

from api.access import Access
from shared.errors import AtelierError

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True)
class Operation:
    """The contract of one view. `returns` and `takes` map a media type to a model, or to a plain schema."""

    summary: str
    access: Access
    status: int
    returns: dict[str, Any]
    takes: dict[str, Any] = field(default_factory=dict)
    #: The model of the query, which the view reads with `parsed_query`.
    query: type[BaseModel] | None = None
    errors: tuple[type[AtelierError], ...] = ()
    #: Other successful responses by status: a description and a model.
    others: dict[int, tuple[str, Any]] = field(default_factory=dict)
    #: The request headers that the view reads.
    headers: tuple[str, ...] = ()


def operation(  # noqa: PLR0913 - each is a part of the contract
    summary: str,
    *,
    access: Access,
    returns: Any,
    status: int = 200,
    takes: dict[str, Any] | None = None,
    query: type[BaseModel] | None = None,
    errors: tuple[type[AtelierError], ...] = (),
    others: dict[int, tuple[str, Any]] | None = None,
    headers: tuple[str, ...] = (),
) -> Callable[[View], View]:
    """Declare the contract of a view; a model in `returns` means JSON of that model."""
    returned = returns if isinstance(returns, dict) else {"application/json": returns}

    def declare(view: View) -> View:
        view.access = access  # type: ignore[attr-defined]
        view.operation = Operation(  # type: ignore[attr-defined]
            summary, access, status, returned, takes or {}, query, errors, others or {}, headers
        )
        return view

    return declare
