"""A picture of who spoke when: one lane a speaker, drawn by matplotlib without a screen."""

from __future__ import annotations

import io
from typing import Any

from turnstream.errors import TurnstreamError

from .document import Document

NEEDED = "pictures need matplotlib: pip install 'turnstream[export]'"
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#f0e442")  # Okabe and Ito
WIDTH_IN, LANE_IN, MARGIN_IN = 12.0, 0.4, 1.1


def png(document: Document) -> bytes:
    """Raises TurnstreamError where matplotlib is not installed."""
    return _drawn(document, "png")


def svg(document: Document) -> bytes:
    """Raises TurnstreamError where matplotlib is not installed."""
    return _drawn(document, "svg")


def _drawn(document: Document, kind: str) -> bytes:
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        raise TurnstreamError(NEEDED) from None
    labels = document.labels
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "turnstream", "text.parse_math": False}):
        figure = Figure(figsize=(WIDTH_IN, MARGIN_IN + LANE_IN * max(len(labels), 1)), layout="constrained")
        _draw(figure.add_subplot(), document)
        out = io.BytesIO()
        figure.savefig(out, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else {})
    return out.getvalue()


def _draw(axes: Any, document: Document) -> None:
    for lane, label in enumerate(labels := document.labels):
        bars = [(s.start_s, s.end_s - s.start_s) for s in document.spoken if s.label == label]
        axes.broken_barh(bars, (lane - 0.4, 0.8), color=COLORS[lane % len(COLORS)])
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(max(len(labels), 1) - 0.4, -0.6)
    axes.set_xlim(0, document.final.duration_s or 1)
    axes.xaxis.set_major_locator(_ticks(document.final.duration_s))
    axes.xaxis.set_major_formatter(lambda time_s, _: f"{int(time_s) // 60}:{int(time_s) % 60:02}")
    axes.set_title(document.recording)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)


def _ticks(duration_s: float) -> Any:
    """At whole seconds or minutes, about ten of them."""
    from matplotlib.ticker import MultipleLocator

    steps_s = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
    return MultipleLocator(next((step for step in steps_s if duration_s / step <= 12), 7200))
