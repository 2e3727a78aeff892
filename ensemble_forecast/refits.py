"""The members of an ensemble, fitted once more by the workers: on the rows before the locked test origins, and on all rows."""

import math
import shutil
import threading
from collections.abc import Iterable
from typing import Any

from ensemble_forecast import persist
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import Unfinished
from ensemble_forecast.learners.base import FAMILY_TABLES
from ensemble_forecast.registry import find
from ensemble_forecast.search.crew import Crew
from ensemble_forecast.study import Study

Loaded = dict[str, tuple[dict[str, Any], dict[str, Any]]]  # by candidate id: what persist.load gave

FOLDERS = {"judged": "judged", "all": "ensemble"}  # of the ensemble that was fitted until then
TRAINING_SHARE = 0.9  # of the time left, for the training of a refit: the rest saves it


def refit(study: Study, pool: Crew, chosen: dict[str, float], deadline: Deadline) -> tuple[dict[str, Loaded], list[str]]:
    """Fit every chosen recipe on the rows before the test origins, and on all rows; quick ones first, so that no deadline leaves nothing.

    Returns
    -------
    the fitted members by ``"judged"`` (only where test origins are locked) and ``"all"``, the same ones in both; and the ids cut short.

    Raises
    ------
    Unfinished
        When not one could be fitted both ways.
    """
    folder = (study.folder.work / "members").resolve()
    shutil.rmtree(folder, ignore_errors=True)
    kinds = tuple(FOLDERS) if len(study.plan.test) else ("all",)
    reports = {id: study.folder.candidate(id).report for id in chosen}
    jobs = [
        {
            "job": "refit",
            "id": f"{id}:{until}",
            "config": report["refit"],
            "fit_origins": report["fit_origins"],
            "until": until,
            "out": str(folder / until / id),
            "limit_s": None if math.isinf(deadline.left()) else TRAINING_SHARE * deadline.left(),
        }
        for id, report in sorted(reports.items(), key=lambda pair: pair[1]["seconds"])
        for until in kinds
    ]
    importing = threading.Thread(target=_import_families, args=({report["family"] for report in reports.values()},), daemon=True)
    importing.start()
    truncated, reasons = set(), {}
    done: dict[str, set[str]] = {until: set() for until in kinds}
    for answer in pool.run(jobs, deadline):
        id, until = answer["id"].rsplit(":", 1)
        if answer["event"] == "done" and answer["state"] == "finished":
            done[until].add(id)
            truncated |= {id} if answer["truncated"] else set()
        else:
            reasons[id] = answer["reason"]
    both = set.intersection(*done.values())
    if not both:
        why = "; ".join(f"{id}: {reason}" for id, reason in reasons.items()) or "the time was over: give a larger budget"
        raise Unfinished(f"no member of the ensemble could be refitted ({why})")
    importing.join()
    members = {until: {id: persist.load(folder / until / id) for id in chosen if id in both} for until in kinds}
    return members, sorted(truncated)


def _import_families(families: Iterable[str]) -> None:
    """Import what the members are made of while the workers fit them: a library of seconds would otherwise come after the deadline."""
    for family in families:
        find(family, *FAMILY_TABLES)
