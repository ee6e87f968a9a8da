"""The rule that all serializers share: what a row and its model call by the same name is copied, the rest is given."""

from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel

from shared.clock import rfc3339

View = TypeVar("View", bound=BaseModel)


def serialize(model: type[View], row: object, **given: Any) -> View:
    """Make the model of a row: the fields `given`, and the row's attributes for all others, times as RFC 3339."""
    copied = {name: getattr(row, name) for name in model.model_fields if name not in given}
    return model(
        **{name: rfc3339(value) if isinstance(value, datetime) else value for name, value in copied.items()}, **given
    )
