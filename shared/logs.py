"""Structured logs: fixed event names with fields, JSON in production, text on a terminal.

Fields bound with `structlog.contextvars`, such as `job_id` and `attempt`, are added to every line of the context.
Records of the standard library (Celery, gunicorn, SQLAlchemy) are rendered the same way.

Text is escaped as `shared.texts` does, since an event may hold what a stranger wrote; JSON is ASCII.

Invariant: the value of a field whose name suggests a secret is redacted. Texts and nested values are not searched, so
put no secret there.
"""

import logging
import re
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

from shared.texts import printable, printable_lines

_SECRET = re.compile("password|secret|token|authorization|cookie|api_key", re.IGNORECASE)


def redact(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Redact the value of every field whose name suggests a secret."""
    for name in event:
        if _SECRET.search(name):
            event[name] = "[redacted]"
    return event


def configure(log_format: str = "auto", level: str = "INFO") -> None:
    """Send all log records of this process to stderr in one format."""
    as_text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    structlog.configure(
        processors=[*common, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=common, processors=_last_steps(as_text=as_text))
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


def _last_steps(*, as_text: bool) -> list[Processor]:
    drop_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if as_text:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        return [drop_meta, structlog.processors.format_exc_info, _escape, renderer]
    # tracebacks as text: structured ones would carry the values of local variables
    return [drop_meta, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def _escape(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Escape the texts of an event for a terminal, and the lines of a traceback; other values are shown as `repr`."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = printable_lines(value) if name in ("exception", "stack") else printable(value)
    return event


def get(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module: `log = logs.get(__name__)`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
