"""Log lines for people (text) or for machines (one JSON object per line), on standard error."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

__all__ = ["setup_logging"]

# What every record has; anything else was given as `extra` and belongs into the JSON object.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
# Chatty at info, and at debug they print whole handshakes and events: the keys of clients, what people said.
_NEVER_BELOW_WARNING = ("uvicorn.error", "uvicorn.access", "websockets", "asyncio", "aiohttp.access")


# What uvicorn says, as an error, whenever a handshake was answered with a refusal on purpose.
_REFUSED = "ASGI callable returned without completing handshake."


def _is_news(record: logging.LogRecord) -> bool:
    return record.msg != _REFUSED


class JsonFormatter(logging.Formatter):
    """Members: time (RFC 3339, UTC), level, logger, message, what was given as `extra`, and exception."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update((key, value) for key, value in vars(record).items() if key not in _STANDARD)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """`12:34:56.789 INFO    server.startup  message  key=value`, the time being local."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        extra = "".join(f"  {key}={value}" for key, value in vars(record).items() if key not in _STANDARD)
        line = f"{time} {record.levelname:<7} {record.name}  {record.getMessage()}{extra}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def setup_logging(
    level: Literal["debug", "info", "warning", "error"] = "info",
    format: Literal["text", "json"] = "text",
    stream: TextIO | None = None,
) -> None:
    """Send the records of every logger to one place, in one format; may be called again to change it."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    root = logging.getLogger()
    for old in list(root.handlers):
        if isinstance(old.formatter, JsonFormatter | TextFormatter):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _NEVER_BELOW_WARNING:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").addFilter(_is_news)  # one function, so that it is added once
