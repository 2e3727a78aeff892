"""How far off forecasts were on the scored origins of all windows, and whether their probabilities could be believed."""

from typing import Any

import numpy as np

from ensemble_forecast.data.origins import outcome
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.model import Ensemble
from ensemble_forecast.ensemble.rehearsal import rehearse
from ensemble_forecast.ensemble.traits import rows_at
from ensemble_forecast.evaluate.abstention import surest
from ensemble_forecast.evaluate.rates import wilson
from ensemble_forecast.evaluate.sample import Sample, over_horizon
from ensemble_forecast.evaluate.touched import as_directions
from ensemble_forecast.features.contexts import scale_at
from ensemble_forecast.metrics import cell_loss
from ensemble_forecast.overview import leaderboard
from ensemble_forecast.search.trial import origins_table
from ensemble_forecast.stacking import thinned
from ensemble_forecast.study import Study

REHEARSAL_S = 30.0  # after which rules that learn step by step are cut short
MOST_TIMES = 60  # points of a curve over time: more are averaged, neighbour with neighbour
BINS = 10  # of the probabilities in a reliability curve
ENSEMBLE = "ensemble"

Record = dict[str, Any]


def scored(study: Study, ensemble: Ensemble | None) -> Record:
    """Score the ensemble, the best single candidate and the best baseline on their out-of-fold forecasts.

    The ensemble's forecast of a window is combined by weights learnt on the other windows, as the contest does it; where there is one window only,
    by the weights it has. Its calibration is left out, as it has seen all windows.

    Returns
    -------
    ``reason`` where nothing can be scored; else ``by_horizon``, ``over_time`` (with ``stamps``) and ``losses`` by name, ``reliability`` of the first
    of the names, ``bets``, and ``origins`` scored; for kind ``direction`` also ``surest``, as `evaluate.abstention.surest` lays it out.
    """
    forecasts = _forecasts(study, ensemble)
    if not forecasts:
        return {"reason": "no candidate that forecast every scored origin is finished yet"}
    panel, task, plan = study.panel, study.task, study.plan
    origins = plan.scored.take(thinned(study))
    truth_NH, scale_N = outcome(panel, origins, task), scale_at(panel, origins, task.season_length)
    losses = {name: cell_loss(truth_NH, each, scale_N, task.quantiles, task.kind) for name, each in forecasts.items()}
    known_NH = np.isfinite(truth_NH)
    sample = Sample(origins.series, origins.step - plan.judged_S[origins.series], task.horizon)
    stamp_N = panel.stamps_at(origins.series, origins.step)
    stamps, place_N = np.unique(stamp_N, return_inverse=True)
    group_N = place_N * min(len(stamps), MOST_TIMES) // len(stamps)
    groups = [group_N == group for group in np.unique(group_N)]
    first = next(iter(forecasts))
    own = {}
    if task.kind == "direction":
        rose_NH, chance_NH2 = as_directions(truth_NH, forecasts[first])
        own = {"surest": surest(rose_NH, chance_NH2[..., 1], sample)}
    return {
        **own,
        "reason": None,
        "origins": len(origins),
        "bets": sample.bets,
        "losses": {name: _mean(loss_NH[known_NH]) for name, loss_NH in losses.items()},
        "by_horizon": {name: [_mean(loss_NH[known_NH[:, h], h]) for h in range(task.horizon)] for name, loss_NH in losses.items()},
        "over_time": {name: [_mean(over_horizon(loss_NH)[own]) for own in groups] for name, loss_NH in losses.items()},
        "stamps": [str(stamp_N[own].min()) for own in groups],
        "reliability": {"of": first, **reliability(truth_NH, forecasts[first], task, sample.bets)},
    }


def reliability(truth_NH: np.ndarray, forecast_NHQ: np.ndarray, task: Task, bets: int) -> Record:
    """Compare what was promised with what happened.

    Returns
    -------
    ``levels``: rows of ``promised``, ``seen`` and ``band``, the 95 % interval (Wilson) around what was promised for so many independent bets. Of
    quantiles: the share of outcomes at or below each level; of probabilities of up: the share of rises where so much was promised. Of
    quantiles also ``coverage``: the same rows for the intervals between two levels that mirror each other.
    """
    if task.kind == "direction":
        truth_NH, forecast_NHQ = as_directions(truth_NH, forecast_NHQ)
    known_NH = np.isfinite(truth_NH)
    if task.kind == "direction":
        up_C, rose_C = forecast_NHQ[..., 1][known_NH], truth_NH[known_NH]
        edges = np.unique(np.quantile(up_C, np.linspace(0, 1, BINS + 1))) if len(up_C) else np.array([0.0, 1.0])
        bin_C = np.clip(np.searchsorted(edges, up_C, side="right") - 1, 0, max(len(edges) - 2, 0))
        bins = [bin_C == place for place in np.unique(bin_C)]
        return {"levels": [_promise(float(up_C[own].mean()), float(rose_C[own].mean()), bets // len(bins)) for own in bins]}
    below_Q = [float((truth_NH <= forecast_NHQ[..., q])[known_NH].mean()) for q in range(len(task.quantiles))]
    intervals = [(low, task.quantiles.index(mirror)) for low, level in enumerate(task.quantiles) if (mirror := _mirror(level, task)) is not None]
    inside = [
        (task.quantiles[high] - task.quantiles[low], ((truth_NH >= forecast_NHQ[..., low]) & (truth_NH <= forecast_NHQ[..., high]))[known_NH].mean())
        for low, high in reversed(intervals)
    ]
    return {
        "levels": [_promise(level, seen, bets) for level, seen in zip(task.quantiles, below_Q, strict=True)],
        "coverage": [_promise(promised, float(seen), bets) for promised, seen in inside],
    }


def rehearsed(study: Study, ensemble: Ensemble) -> np.ndarray:
    """Forecast each window by the ensemble's rule, learnt on the other windows: (N, H, Q) at the `thinned` scored origins."""
    kept, panel, task = thinned(study), study.panel, study.task
    forecasts_NHQM = np.stack([study.folder.candidate(id).forecasts_NHQ[kept] for id in ensemble.members], axis=-1)
    origins, window_N = study.plan.scored.take(kept), study.plan.window_N[kept]
    rows = rows_at(panel, origins, window_N, task.season_length)
    if len(np.unique(window_N)) == 1:
        return ensemble.combiner.combine(forecasts_NHQM, rows)
    played = rehearse(
        {ENSEMBLE: ensemble.combiner}, forecasts_NHQM, outcome(panel, origins, task), rows, task, Deadline.after(REHEARSAL_S), None, (ENSEMBLE,)
    )
    return played.forecasts[ENSEMBLE]


def _forecasts(study: Study, ensemble: Ensemble | None) -> dict[str, np.ndarray]:
    """Collect the forecasts that are compared, by name: the ensemble first, where there is one."""
    kept, expected_N3 = thinned(study), origins_table(study.plan)
    found = {} if ensemble is None else {ENSEMBLE: rehearsed(study, ensemble)}
    finished = [row for row in leaderboard(study.folder) if row["state"] == "finished"]
    for words, baseline in (("best candidate", False), ("best baseline", True)):
        best = next((row["id"] for row in finished if row["baseline"] == baseline), None)
        candidate = None if best is None else study.folder.candidate(best)
        if candidate is not None and np.array_equal(candidate.origins_N3, expected_N3):
            found[f"{words}: {best}"] = np.asarray(candidate.forecasts_NHQ[kept], dtype=float)
    return found


def _mirror(level: float, task: Task) -> float | None:
    """Level as far from one as this one is from zero, where it is among the levels and above this one."""
    return next((other for other in task.quantiles if other > 0.5 and abs(other + level - 1) < 1e-9), None) if level < 0.5 else None


def _promise(promised: float, seen: float, bets: int) -> Record:
    """Lay out one point of a reliability curve."""
    return {"promised": promised, "seen": seen, "band": wilson(promised, bets)}


def _mean(values: np.ndarray) -> float | None:
    """Mean of the finite values; None without any."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else None
