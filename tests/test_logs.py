"""The server's log: for people and for what collects it."""

from __future__ import annotations

import json
import logging
import sys

from turnstream.clients.logs import JsonFormatter


def record(message: str, *arguments: object, error: bool = False) -> logging.LogRecord:
    try:
        raise ValueError("why")
    except ValueError:
        found = sys.exc_info() if error else None
    return logging.LogRecord("turnstream.server", logging.WARNING, __file__, 1, message, arguments, found)


def test_a_record_is_one_line_of_json_whatever_it_says():
    line = JsonFormatter().format(record('websocket of %s\n"refused"', "ä"))
    assert "\n" not in line
    found = json.loads(line)
    assert found.pop("time").endswith("+00:00")
    assert found == {"level": "warning", "logger": "turnstream.server", "message": 'websocket of ä\n"refused"'}


def test_a_traceback_stays_in_its_line():
    line = JsonFormatter().format(record("failed", error=True))
    assert "\n" not in line
    assert json.loads(line)["error"].endswith("ValueError: why")
