"""The log of a server on standard error: lines for people, or one JSON object a line for what collects them."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from turnstream.errors import printable

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")


class JsonFormatter(logging.Formatter):
    """`time` (UTC), `level`, `logger` and `message` of a record; `error` holds the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """Messages on one line that obey `printable`, for addresses and errors may hold what strangers send."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """As logging.Formatter's."""
        return printable(super().formatMessage(record))


def begin_log(level: str, form: str) -> None:
    """From `level` on, in the form of FORMATS."""
    handler = logging.StreamHandler(sys.stderr)
    text = TextFormatter("%(asctime)s %(levelname)s %(message)s")
    handler.setFormatter(JsonFormatter() if form == "json" else text)
    logging.basicConfig(level=level.upper(), handlers=[handler])
