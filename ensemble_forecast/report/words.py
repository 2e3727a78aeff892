"""Paragraphs of the report, and what it says where something is not there yet."""

import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from ensemble_forecast.errors import BadInput

Record = dict[str, Any]


def check_page_name(path: Path, what: str) -> None:
    """Refuse to write a page under a name that no browser takes for one.

    Raises
    ------
    BadInput
        When the file's name does not end in .html.
    """
    if path.suffix != ".html":
        raise BadInput(f"{what} a page that opens in any browser: give it a name ending in .html, not {path.name!r}")


def paragraph(text: str, kind: str = "") -> str:
    """Write a paragraph; the text is escaped."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def missing(findings: Record, section: Record) -> str:
    """Say what is not there, and the command that makes it."""
    if "verb" not in section:
        return paragraph(section["reason"], "missing")
    run = Path(findings["status"]["run"])
    runs = "" if run.parent == Path("runs") else f" --runs {shlex.quote(str(run.parent))}"
    command = f"python -m ensemble_forecast {section['verb']} --study {shlex.quote(run.name)}{runs}"
    return f'<p class="missing">{escape(section["reason"])} Type <code>{escape(command)}</code></p>'


def instant(stamp: str) -> float:
    """Place a stamp on an axis: seconds since 1970."""
    return datetime.fromisoformat(stamp[:26]).replace(tzinfo=UTC).timestamp()


def dated(stamps: list[str]) -> Callable[[float], str]:
    """Return what writes a place on an axis of these stamps: the day, and the hour where they lie closer than that."""
    placed = [instant(stamp) for stamp in stamps]
    form = "%Y-%m-%d" if not placed or max(placed) - min(placed) > 5 * 86_400 else "%m-%d %H:%M"
    return lambda seconds: datetime.fromtimestamp(seconds, UTC).strftime(form)
