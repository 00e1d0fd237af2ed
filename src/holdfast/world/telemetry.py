"""Logs: events with fields, one line each.

The event is a short constant phrase, the facts are fields. A request's id is bound once, with
`bound(request_id=...)`, and is on every line until the block ends, also in tasks started inside it. Fields
named like secrets are never written.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TextIO

import structlog
from structlog.contextvars import bound_contextvars
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

from holdfast.world.errors import Failure, Trouble

REDACTED: Final = "(redacted)"

_SECRET_WORDS: Final = (
    "authorization",
    "cookie",
    "credential",
    "grant",
    "invitation",
    "passphrase",
    "password",
    "private",
    "secret",
    "signature",
    "token",
)
_SECRET_NAMES: Final = frozenset({"data_key", "key_bytes", "master_key", "seed", "tenant_key"})


def is_secret(name: str) -> bool:
    """Whether a field of this name is kept out of the log."""
    lowered = name.lower().replace("-", "_")
    return lowered in _SECRET_NAMES or any(word in lowered for word in _SECRET_WORDS)


def set_up_logging(*, as_json: bool = True, level: str = "info", to: TextIO | None = None) -> None:
    """Sends what the program logs to `to` (standard error), a JSON object a line, or set out for people.

    What libraries log through the standard library, from warnings on, comes out in the same form.
    """
    stream = sys.stderr if to is None else to
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _explain_failures,
        # Local variables hold keys and plain bytes: a traceback goes without them.
        structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
        if as_json
        else structlog.processors.StackInfoRenderer(),
        _redact,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(default=_as_text)
        if as_json
        else structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(number, logging.WARNING))


@contextmanager
def bound(**fields: object) -> Iterator[None]:
    """Puts `fields` on every line that is logged inside the block, in this task and those it starts."""
    with bound_contextvars(**fields):
        yield


def _redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for name, value in event.items():
        if is_secret(name):
            event[name] = REDACTED
        elif isinstance(value, Mapping):
            event[name] = _redacted(value)
    return event


def _redacted(fields: Mapping[Any, Any]) -> dict[Any, Any]:
    return {
        name: REDACTED if is_secret(str(name)) else _redacted(value) if isinstance(value, Mapping) else value
        for name, value in fields.items()
    }


def _explain_failures(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Turns `failure=error` into its code, words and facts; a designed failure needs no traceback."""
    failure = event.get("failure")
    if isinstance(failure, Failure):
        event["failure"] = failure.code
        event["words"] = failure.message
        if isinstance(failure, Trouble):
            event["retry"] = failure.retry
        for name, value in failure.facts.items():
            event.setdefault(name, value)
    elif isinstance(failure, BaseException):
        event["failure"] = type(failure).__name__
        event["words"] = str(failure)
    return event


def _as_text(value: object) -> str:
    """Bytes as hex, all else in its own words."""
    return bytes(value).hex() if isinstance(value, bytes | bytearray | memoryview) else str(value)
