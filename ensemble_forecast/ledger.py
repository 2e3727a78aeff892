"""The ledger of a run: one JSON line for every ended trial, in one file for each writer; reading merges the files.

A driver that is alone writes ``ledger.jsonl``. Searches that share a study through a storage write ``ledger-<host>-<pid>.jsonl`` each: several
hosts cannot append to one file of a network file system.
"""

import json
import math
import os
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ensemble_forecast.errors import BadInput

Line = dict[str, Any]
LEDGER_FIELDS = (
    "id",
    "family",
    "params",
    "state",
    "metric",
    "value",
    "windows",
    "truncated",
    "seconds",
    "peak_mib",
    "started",
    "reason",
    "retry_of",
    "curve",
    "diagnosis",
)
ALONE = "ledger.jsonl"


def own_name() -> str:
    """Name the ledger of this process beside others."""
    return f"ledger-{socket.gethostname()}-{os.getpid()}.jsonl"


def files(folder: Path) -> list[Path]:
    """List the ledgers of a run folder that exist."""
    return [path for path in (folder / ALONE, *sorted(folder.glob("ledger-*.jsonl"))) if path.exists()]


def read(paths: Sequence[Path]) -> list[Line]:
    """Read one line for every ended trial, in the order in which they ended; a torn last line of a file is left out.

    Where two searches wrote of one trial, because one of them was taken for dead, what has finished counts.

    Raises
    ------
    BadInput
        When a line before the last one of a file is damaged.
    """
    lines = [line for path in paths for line in _read_one(path)]
    if len(paths) < 2:
        return lines
    by_id: dict[str, Line] = {}
    for line in sorted(lines, key=lambda line: (line["state"] != "finished", ended_at(line))):
        by_id.setdefault(line["id"], line)
    return sorted(by_id.values(), key=ended_at)


def ended_at(line: Line) -> float:
    """Second at which a trial ended, since 1970."""
    return datetime.fromisoformat(line["started"]).timestamp() + float(line["seconds"])


def spent_s(lines: Sequence[Line]) -> float:
    """Wall seconds in which at least one trial ran."""
    total, until = 0.0, -math.inf
    for start, end in sorted((ended_at(line) - line["seconds"], ended_at(line)) for line in lines):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def now() -> str:
    """Tell the time as the ledger writes it: UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def whole_length(content: bytes) -> int:
    """Bytes of a file of JSON lines up to the end of its last whole line."""
    end = content.rfind(b"\n") + 1
    last = content[content.rfind(b"\n", 0, end - 1) + 1 : end]
    try:
        json.loads(last or b"0")
    except ValueError:
        return end - len(last)
    return end


def cut_torn_line(path: Path) -> None:
    """Cut a file of JSON lines after its last whole line: a crash can tear only the one being written."""
    if not path.exists():
        return
    content = path.read_bytes()
    if whole_length(content) < len(content):
        os.truncate(path, whole_length(content))


def _read_one(path: Path) -> list[Line]:
    content = path.read_bytes()
    lines = []
    for number, line in enumerate(content[: whole_length(content)].splitlines(), start=1):
        try:
            lines.append(dict.fromkeys(LEDGER_FIELDS) | json.loads(line))  # a field may be newer than the line
        except json.JSONDecodeError as error:
            raise BadInput(f"{path}: line {number} is not JSON ({error}); remove that line to continue") from error
    return lines
