"""From candidates to a saved ensemble: contest, calibration, refits; first judged/, which evaluate may score, then ensemble/."""

import math
import shutil
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ensemble_forecast import persist
from ensemble_forecast.arms import best_first, run_arms
from ensemble_forecast.data.origins import outcome
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.base import Combiner, Rows, weights_of
from ensemble_forecast.ensemble.calibration import Calibration
from ensemble_forecast.ensemble.contest import ContestResult, contest
from ensemble_forecast.ensemble.curves import AS_IS
from ensemble_forecast.ensemble.model import Ensemble
from ensemble_forecast.ensemble.pruning import are_copies, errors_of
from ensemble_forecast.ensemble.traits import rows_at
from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.base import fit_plain
from ensemble_forecast.refits import FOLDERS, Loaded, refit
from ensemble_forecast.registry import COMBINERS, did_you_mean, find
from ensemble_forecast.search.crew import Crew
from ensemble_forecast.search.reserve import MOST_MEMBERS, Prospect, affordable, varied
from ensemble_forecast.search.trial import origins_table
from ensemble_forecast.store import Candidate
from ensemble_forecast.study import OnEvent, Study, silent

SAVING_SHARE, SAVING_S = 0.07, 0.6  # of the time left after the contest, and at least so many seconds (but never half), to write the ensemble
ARMS_SHARE = 0.4  # of the time, for bags and the chain; the rest is for the contest and the refits
CONTEST_SHARE = 0.25  # of that rest
MOST_VALUES = 1_500_000  # numbers of a candidate that the contest reads, where origins overlap
LEAST_WEIGHT = 0.01  # members below it cost a refit and change nothing


@dataclass(frozen=True, eq=False)
class Contestants:
    """Candidates that forecast every scored origin, and their forecasts."""

    candidates: list[Candidate]
    forecasts_NHQM: np.ndarray
    truth_NH: np.ndarray
    rows: Rows


def stack(
    study: Study, pool: Crew, deadline: Deadline, *, combiner: str = "auto", size: int = MOST_MEMBERS, arms: bool = True, on_event: OnEvent = silent
) -> dict[str, Any]:
    """Build, judge and save the ensemble of a study. The run's lock must be held.

    Parameters
    ----------
    combiner
        ``"auto"``: the contest decides; else a registered combiner that wins whatever its loss.
    size
        Most members.
    arms
        Let bags of the best candidates and a boosted chain over groups enter the contest.

    Returns
    -------
    JSON-able summary: combiner, contest (a row a contestant), members with weights, notes.

    Raises
    ------
    BadInput
        When there is no candidate yet, or the combiner is unknown.
    Unfinished
        When not one member could be refitted in time.
    """
    combiners = {name: find(name, "combiners")() for name in COMBINERS}
    if combiner not in {"auto", *combiners}:
        raise BadInput(f"unknown combiner {combiner!r}; {did_you_mean(combiner, ['auto', *combiners])}")
    notes: list[str] = []
    if arms:
        notes += run_arms(study, pool, deadline.within(ARMS_SHARE * deadline.left()), on_event)
    field = gather(study)
    made_of = {"combiner": combiner, "size": size, "candidates": [candidate.id for candidate in field.candidates]}
    if standing := _standing(study, made_of):
        return summary(study, standing, ["nothing left to do: no candidate is new since this ensemble was built"])
    field = _affordable(study, pool, field, (1 - CONTEST_SHARE) * deadline.left())
    judging = deadline.within(CONTEST_SHARE * deadline.left())
    result = contest(field.forecasts_NHQM, field.truth_NH, field.rows, study.task, judging, combiners, size, None if combiner == "auto" else combiner)
    calibration = Calibration().fit(result.rehearsed_NHQ, field.truth_NH, field.rows, study.task)
    chosen = _chosen(field, result)
    on_event(_event(study, deadline, chosen))
    members, truncated = refit(study, pool, chosen, deadline.within(_until_saving_s(deadline.left())))
    lost = [id for id in chosen if id not in members["all"]]
    kept = np.array([position for position in result.members if field.candidates[position].id in members["all"]], dtype=int)
    if len(kept) < len(result.members):
        result = replace(result, members=kept, combiner=_taught(result.combiner, field, kept, study))
    written = {until: save(study, field, result, calibration, members[until], until, {} if lost else made_of) for until in members}
    shutil.rmtree(study.folder.work / "members", ignore_errors=True)
    notes.insert(0, f"combiner: {result.winner} ({_reason(result, combiner)})")
    if study.task.kind == "direction":
        notes.append(_bent(calibration))
    notes += [f"{id} was not refitted in time and left out; its weight went to the others" for id in lost]
    notes += [f"{id} was refitted, but the deadline cut its training short" for id in truncated]
    return summary(study, written["all"], notes)


def summary(study: Study, manifest: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """Tell what an ensemble is made of, heaviest member first."""
    members = [{"id": member["id"], "weight": member["weight"]} for member in manifest["members"]]
    return {
        "study": study.name,
        "combiner": manifest["combiner"],
        "contest": manifest["contest"],
        "members": sorted(members, key=lambda member: -member["weight"]),
        "notes": notes,
        "ensemble": str(study.folder.path / FOLDERS["all"]),
    }


def _standing(study: Study, made_of: dict[str, Any]) -> dict[str, Any] | None:
    """Return the manifest of the ensemble that stands, where it was made of just this, on just these data."""
    folders = [study.folder.path / folder for until, folder in FOLDERS.items() if until == "all" or len(study.plan.test)]
    if not all(folder.exists() for folder in folders):
        return None
    try:
        found = [persist.load(folder)[1] for folder in folders]
    except BadInput:  # changed or of another format: it is built anew
        return None
    return found[-1] if all(manifest.get("made_of") == made_of for manifest in found) else None


def _affordable(study: Study, pool: Crew, field: Contestants, left_s: float) -> Contestants:
    """Keep the candidates that there is time to refit."""
    reports = [candidate.report for candidate in field.candidates]
    prospects = [Prospect(report["family"], report["value"], report["seconds"]) for report in reports]
    n_fits = len(FOLDERS) if len(study.plan.test) else 1
    kept = affordable(prospects, len(study.plan.folds), len(pool.idle()), n_fits, left_s)
    if len(kept) == len(prospects):
        return field
    return replace(field, candidates=[field.candidates[position] for position in kept], forecasts_NHQM=field.forecasts_NHQM[..., kept])


def gather(study: Study) -> Contestants:
    """Read the out-of-fold forecasts of the best finished candidates of each family and folder of learners, without near-copies of a family.

    Where a few long series were scored at very many origins, which overlap, every so many of them are enough for the contest.

    Raises
    ------
    BadInput
        When there is none.
    """
    scored = study.plan.scored
    expected_N3 = origins_table(study.plan)
    complete = [candidate for candidate in best_first(study) if np.array_equal(candidate.origins_N3, expected_N3)]
    if not complete:
        raise BadInput(f"study {study.name!r} has no finished candidate yet: run python -m ensemble_forecast search --study {study.name}")
    kept = thinned(study)
    asked = scored.take(kept)
    rows = rows_at(study.panel, asked, study.plan.window_N[kept], study.task.season_length)
    truth_NH = outcome(study.panel, asked, study.task)
    families, errors = [candidate.report["family"] for candidate in complete], dict[int, np.ndarray]()

    def adds(position: int) -> bool:
        """Whether a candidate is no near-copy of a better one of its family: a sampler likes to draw what it liked before."""
        own_K = errors_of(complete[position].forecasts_NHQ[kept], truth_NH, rows, study.task)
        if any(are_copies(own_K, other_K) for other, other_K in errors.items() if families[other] == families[position]):
            return False
        errors[position] = own_K
        return True

    candidates = [complete[position] for position in varied(families, adds)]
    forecasts_NHQM = np.stack([each.forecasts_NHQ[kept] for each in candidates], axis=-1)  # float32, as stored: the largest array of all
    return Contestants(candidates, forecasts_NHQM, truth_NH, rows)


def thinned(study: Study) -> np.ndarray:
    """Positions of the scored origins that the contest reads: of those of one series in one window every so many, the first among them."""
    scored, window_N = study.plan.scored, study.plan.window_N
    stride = max(1, len(scored) * study.task.horizon * study.task.n_outputs // MOST_VALUES)
    first_WS = np.stack([fold.cutoff_S for fold in study.plan.folds])
    return np.flatnonzero((scored.step - first_WS[window_N, scored.series]) % stride == 0)


def save(
    study: Study, field: Contestants, result: ContestResult, calibration: Calibration, members: Loaded, until: str, made_of: dict[str, Any]
) -> dict[str, Any]:
    """Put the ensemble into its folder, atomically.

    Returns
    -------
    the manifest written.
    """
    ids = [field.candidates[position].id for position in result.members]
    cutoff_S = study.plan.judged_S if until == "judged" else study.panel.ends_S
    ensemble = Ensemble(
        task=study.task,
        members={id: members[id][0]["learner"] for id in ids},
        combiner=result.combiner,
        calibration=calibration,
        fallback=fit_plain("naive" if study.task.kind == "direction" else "seasonal_naive", study.panel, study.task, cutoff_S),
        ids=study.panel.ids,
        until=tuple(str(stamp) for stamp in study.panel.stamps_at(np.arange(study.panel.n_series), np.maximum(cutoff_S, 0))),
    )
    content = manifest(study, {id: members[id][1]["fitted_until"] for id in ids}, result, made_of)
    persist.save(study.folder.path / FOLDERS[until], ensemble.parts(), content)
    return content


def _until_saving_s(left_s: float) -> float:
    """Seconds for the refits, of what is left: the rest writes the ensemble."""
    return max(min((1 - SAVING_SHARE) * left_s, left_s - SAVING_S), left_s / 2)


def _taught(combiner: Combiner, field: Contestants, kept: np.ndarray, study: Study) -> Combiner:
    """Fit a combiner anew on the members that are really there."""
    return replace(combiner).fit(field.forecasts_NHQM[..., kept], field.truth_NH, field.rows, study.task, Deadline.never())


def manifest(study: Study, seen: dict[str, list[int]], result: ContestResult, made_of: dict[str, Any]) -> dict[str, Any]:
    """Say what an artefact is: how to read new data, who its members are, what they had seen, and how it was chosen."""
    pipeline, columns = study.pipeline, study.columns
    weights = zip(seen, weights_of(result.combiner).tolist(), strict=True)
    return {
        "study": study.name,
        "columns": {"target": columns.target, "past": columns.past, "known": columns.known, "static": columns.static, "freq": study.panel.freq},
        "gaps": pipeline.gaps,
        "features": list(pipeline.features),
        "transform": pipeline.transform,
        "members": [{"id": id, "weight": weight, "fitted_until": seen[id]} for id, weight in weights],
        "combiner": result.winner,
        "contest": contest_rows(result),
        "made_of": made_of,
    }


def contest_rows(result: ContestResult) -> list[dict[str, Any]]:
    """Lay the contest out as plain records, a row a contestant; one that was not judged has a reason in place of figures."""
    return [
        {
            "combiner": each.name,
            "loss": _finite(each.loss),
            "gain": _finite(each.gain),
            "standard_error": _finite(each.standard_error),
            "reason": each.reason,
        }
        for each in result.table
    ]


def _finite(value: float) -> float | None:
    """Write what cannot be told (what was not judged, the error of a single cluster) as None: JSON knows neither NaN nor infinity."""
    return value if math.isfinite(value) else None


def _chosen(field: Contestants, result: ContestResult) -> dict[str, float]:
    """Weigh the candidates that are worth a refit, heaviest first."""
    weights = zip(result.members, weights_of(result.combiner).tolist(), strict=True)
    pairs = [(field.candidates[position].id, weight) for position, weight in weights if weight >= LEAST_WEIGHT]
    return dict(sorted(pairs, key=lambda pair: -pair[1]))


def _reason(result: ContestResult, asked: str) -> str:
    """Say why this combiner."""
    if asked != "auto":
        return "asked for"
    if not result.table:
        return "one window only: nothing to judge by"
    return "nothing beats the simple average clearly" if result.winner == "mean" else "clearly ahead of the simple average"


def _bent(calibration: Calibration) -> str:
    """Say what became of the probabilities."""
    if calibration.curve_ == AS_IS:
        return "probabilities: left as they are; no curve that bends them gains clearly out of fold"
    return f"probabilities: bent by {calibration.curve_} calibration, which gains clearly out of fold"


def _event(study: Study, deadline: Deadline, chosen: dict[str, float]) -> dict[str, Any]:
    """Describe progress as the search driver does."""
    best = min((study.folder.candidate(id).report for id in chosen), key=lambda report: report["value"])
    return {
        "event": "refit",
        "left_s": deadline.left(),
        "done": len(chosen),
        "best": best["value"],
        "best_family": best["family"],
        "running": ["refits"],
    }
