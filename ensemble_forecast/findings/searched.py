"""What the search did: its history, its failures by reason, what mattered, and what it cost."""

from typing import Any

from ensemble_forecast import overview
from ensemble_forecast.learners.base import FAMILY_TABLES
from ensemble_forecast.ledger import Line
from ensemble_forecast.registry import WRAPPERS, find
from ensemble_forecast.search.importance import LEAST_TRIALS, importances
from ensemble_forecast.study import Study

WATTS = 10.0  # that a busy core of a server or desktop draws, the machine around it included: an assumption, and told as one
ARMS = "bags and chain"  # the group of learners that hold others

Record = dict[str, Any]


def searched(study: Study) -> Record:
    """Describe a search by its ledger and its journal.

    Returns
    -------
    ``board`` and ``transfers`` as the terminal shows them, ``history`` (a row a finished trial, oldest first), ``failures`` (a row a reason),
    ``importance`` by family with ``least_trials``, and ``costs`` (a row a family) with the watts assumed.
    """
    lines = study.folder.ledger()
    board = overview.leaderboard(study.folder)
    return {
        "board": board,
        "transfers": overview.transfers(board),
        "history": history(lines),
        "failures": overview.failures(lines),
        "importance": importances(study.folder.journal_path),
        "least_trials": LEAST_TRIALS,
        "costs": costs(overview.status(study.name, study.folder.path.parent)["families"]),
        "watts": WATTS,
    }


def history(lines: list[Line]) -> list[Record]:
    """List the finished trials in the order in which they ended: number, id, group, value and the best value so far."""
    rows: list[Record] = []
    best = float("inf")
    for number, line in enumerate(lines, start=1):
        if line["state"] == "finished":
            best = min(best, line["value"])
            rows.append({"number": number, "id": line["id"], "group": _group(line["family"]), "value": line["value"], "best": best})
    return rows


def costs(families: list[Record]) -> list[Record]:
    """Tell what each family cost, dearest first.

    A worker has one thread, so its seconds are its CPU-seconds; a trial on a GPU kept a core waiting, and the GPU's energy is not in it.
    """
    rows = [
        {
            "family": row["family"],
            "trials": sum(row[state] for state in overview.STATES),
            "seconds": row["seconds"],
            "cpu_seconds": row["seconds"],
            "watt_hours": row["seconds"] * WATTS / 3600,
            "best": row["best"],
        }
        for row in families
    ]
    return sorted(rows, key=lambda row: -row["seconds"])


def _group(family: str) -> str:
    """Group of a family: linear, statistical, trees or deep; of learners that hold others, their own."""
    return ARMS if family in WRAPPERS else str(find(family, *FAMILY_TABLES).group)
