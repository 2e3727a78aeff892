"""What a run holds, as plain records: for the leaderboard, `status` and `list`."""

import importlib
import inspect
import json
from pathlib import Path
from typing import Any

from ensemble_forecast import pipeline as pipelines
from ensemble_forecast.data.columns import Columns
from ensemble_forecast.data.frames import to_panel
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.samples import btc_usd_daily
from ensemble_forecast.deadline import seconds
from ensemble_forecast.errors import BadInput
from ensemble_forecast.features.sets import columns_of
from ensemble_forecast.registry import COMBINERS, FEATURES, LEARNERS, METRICS, NETS, SOURCES, did_you_mean
from ensemble_forecast.search.extent import extent
from ensemble_forecast.search.spaces import load_space
from ensemble_forecast.store import Line, RunFolder
from ensemble_forecast.study import check_name, studies

BASELINES = ("naive", "seasonal_naive", "drift")
STATES = ("finished", "pruned", "failed", "stale")
REGISTERED = {"nets": NETS, "learners": LEARNERS, "combiners": COMBINERS, "features": FEATURES, "sources": SOURCES, "metrics": METRICS}
TOML_FOLDERS = {"spaces": "search_spaces", "pipelines": "pipelines"}


def leaderboard(folder: RunFolder) -> list[dict[str, Any]]:
    """List every trial of a run: the finished ones by rank, then the others with their reason.

    Returns
    -------
    rows with rank, id, family, state, value, skill (gain over the seasonal naive, as a share), seconds, baseline, reason, diagnosis
    (of a net's training) and params.
    """
    lines = folder.ledger()
    finished = sorted((line for line in lines if line["state"] == "finished"), key=lambda line: line["value"])
    reference = min((line["value"] for line in finished if line["family"] == "seasonal_naive"), default=None)
    rows = []
    for rank, line in enumerate([*finished, *(line for line in lines if line["state"] != "finished")], start=1):
        done = line["state"] == "finished"
        rows.append(
            {
                "rank": rank if done else None,
                "id": line["id"],
                "family": line["family"],
                "state": line["state"],
                "value": line["value"],
                "skill": 1 - line["value"] / reference if done and reference else None,
                "seconds": line["seconds"],
                "baseline": line["family"] in BASELINES,
                "reason": line["reason"],
                "diagnosis": line["diagnosis"],
                "params": line["params"],
            }
        )
    return rows


def transfers(board: list[dict[str, Any]]) -> list[str]:
    """Say of each family that began from earlier weights whether that pays: its best such candidate beside its best from scratch."""
    sentences = []
    finished = [row for row in board if row["state"] == "finished"]  # by rank
    for started in {row["family"]: row for row in reversed(finished) if row["params"].get("start")}.values():
        scratch = next((row for row in finished if row["family"] == started["family"] and not row["params"].get("start")), None)
        if scratch is None:
            beside = "cannot be judged: no candidate from scratch is finished"
        else:
            verb = "pays" if started["rank"] < scratch["rank"] else "does not pay"
            beside = f"{verb}: {started['value']:.4f} ({started['id']}), {scratch['value']:.4f} from scratch ({scratch['id']})"
        sentences.append(f"{started['family']}: starting from {started['params']['start']} {beside}")
    return sentences


def failures(lines: list[Line]) -> list[dict[str, Any]]:
    """Group the trials that did not finish by what happened to them, most frequent first: state, count, families, and one reason with its trial.

    The figures in a reason are its own: what is said up to the first digit tells one kind of failure from another.
    """
    groups: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        if line["state"] != "finished":
            reason = line["reason"] or "no reason was recorded"
            head = next((reason[:place] for place, letter in enumerate(reason) if letter.isdigit()), reason)
            groups.setdefault((line["state"], head), []).append(line)
    rows = [
        {
            "state": state,
            "count": len(own),
            "families": sorted({line["family"] for line in own}),
            "reason": own[0]["reason"] or head,
            "id": own[0]["id"],
        }
        for (state, head), own in groups.items()
    ]
    return sorted(rows, key=lambda row: -row["count"])


def status(name: str, runs: Path) -> dict[str, Any]:
    """Describe a study from its files alone, also while it runs elsewhere."""
    path = run_path(name, runs)
    folder = RunFolder(path)
    lines = folder.ledger()
    families = []
    for family in dict.fromkeys(line["family"] for line in lines):
        own = [line for line in lines if line["family"] == family]
        counts = {state: sum(line["state"] == state for line in own) for state in STATES}
        best = min((line["value"] for line in own if line["state"] == "finished"), default=None)
        families.append({"family": family, **counts, "best": best, "seconds": sum(line["seconds"] for line in own)})
    verdict = path / "verdict.json"
    return {
        "study": name,
        "run": str(path),
        "running": folder.is_running(),
        "finished": sum(row["finished"] for row in families),
        "spent_s": folder.spent_s(),
        "budget_s": seconds(pipelines.read(path / "pipeline.toml").budget),
        "failures": failures(lines),
        "families": sorted(families, key=lambda row: (row["best"] is None, row["best"])),
        "ensemble": str(path / "ensemble") if (path / "ensemble").exists() else None,
        "verdict": json.loads(verdict.read_text())["verdict"] if verdict.exists() else None,
    }


def newest(runs: Path) -> str:
    """Name the study that was touched last.

    Raises
    ------
    BadInput
        When there is none.
    """
    found = studies(runs)
    if not found:
        raise BadInput(f"no study in {runs}/ yet; begin one with: python -m ensemble_forecast search --study btc")
    return found[0]


def run_path(name: str, runs: Path) -> Path:
    """Folder of a study that exists.

    Raises
    ------
    BadInput
        When it does not; the message offers the nearest name.
    """
    path = runs / check_name(name)
    if not (path / "pipeline.toml").exists():
        raise BadInput(f"no study {name!r} in {runs}/; {did_you_mean(name, studies(runs) or ['none yet'])}")
    return path


def list_kind(kind: str, runs: Path) -> list[dict[str, Any]]:
    """List the entries of a kind with a line on each.

    Raises
    ------
    BadInput
        When the kind is unknown.
    """
    if kind == "features":
        candles = to_panel(btc_usd_daily().head(30), Columns())
        return [entry for name in FEATURES for entry in _columns(name, candles)]
    if kind in REGISTERED:
        return [{"name": name, "summary": _summary(path)} for name, path in REGISTERED[kind].items()]
    if kind in TOML_FOLDERS:
        return [{"name": name, "summary": str(path), **_extent(kind, path)} for name, path in pipelines.names(TOML_FOLDERS[kind]).items()]
    if kind == "studies":
        return [{"name": name, "summary": str(runs / name)} for name in studies(runs)]
    raise BadInput(f"unknown kind {kind!r}; {did_you_mean(kind, [*REGISTERED, *TOML_FOLDERS, 'studies'])}")


def _columns(name: str, candles: Panel) -> list[dict[str, Any]]:
    """List a feature set and the columns it makes, as of a few candles."""
    made = columns_of(name, candles)
    return [{"name": name, "summary": _summary(FEATURES[name])}, *({"name": column, "summary": f"in set {name}"} for column in made)]


def _extent(kind: str, path: Path) -> dict[str, Any]:
    """Describe what a space holds; nothing of a pipeline."""
    return {"families": extent(load_space(str(path)))} if kind == "spaces" else {}


def _summary(import_string: str) -> str:
    """First line of the docstring behind an import string."""
    module, name = import_string.split(":")
    return (inspect.getdoc(getattr(importlib.import_module(module), name)) or "").split("\n")[0]
