"""What the locked test origins say about an ensemble, and one plain sentence on top."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ensemble_forecast.data.task import Task
from ensemble_forecast.evaluate.abstention import abstaining, surest
from ensemble_forecast.evaluate.diebold_mariano import Test
from ensemble_forecast.evaluate.losses import cell_losses, deciding_loss
from ensemble_forecast.evaluate.pesaran_timmermann import directions
from ensemble_forecast.evaluate.rates import smallest_rate, wilson
from ensemble_forecast.evaluate.recalibration import recalibration
from ensemble_forecast.evaluate.sample import Sample, over_horizon
from ensemble_forecast.evaluate.sentence import sentence
from ensemble_forecast.evaluate.touched import as_directions
from ensemble_forecast.metrics import coverage, median_of

SKILL, WEAK, NONE = "evidence of skill", "weak evidence", "no evidence of skill"
SKILL_LEVEL, WEAK_LEVEL = 0.01, 0.05

Report = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Opened:
    """What is known once the N test origins have been opened.

    Parameters
    ----------
    truth_NH
        The target, or for kind ``direction`` the place of the class; NaN where unknown.
    ensemble_NHQ, rivals
        Forecasts; of the rivals by name (`rivals.rivals`).
    last_N, scale_N
        Last value and scale of the series at each origin.
    sample
        Series and time of each origin.
    thresholds
        Of conformal sets, as the calibration learnt them; empty where there are none.
    """

    task: Task
    truth_NH: np.ndarray
    ensemble_NHQ: np.ndarray
    rivals: dict[str, np.ndarray]
    last_N: np.ndarray
    scale_N: np.ndarray
    sample: Sample
    thresholds: np.ndarray = field(default_factory=lambda: np.empty(0))

    def take(self, index: np.ndarray) -> "Opened":
        """Select origins by position or mask."""
        rivals = {name: forecast_NHQ[index] for name, forecast_NHQ in self.rivals.items()}
        rest = (self.last_N[index], self.scale_N[index], self.sample.take(index), self.thresholds)
        return Opened(self.task, self.truth_NH[index], self.ensemble_NHQ[index], rivals, *rest)


def judge(opened: Opened, trials: Report, control: Report, opened_at: list[str], backtest: Report | None = None) -> Report:
    """Judge an ensemble on the test origins, and the search that led to it.

    Skill is claimed where p is below 0.01, weakly where it is below 0.05: the smallest Holm-adjusted p-value (Holm 1979) of three tests, or of those
    of them for which there was enough to compare:

    * Diebold-Mariano: a smaller loss than the best naive rival's, the one with the smallest loss on this very test;
    * Pesaran-Timmermann: directions called better than chance. A quantile forecast calls the sign of the change from the last value by its median;
      where the best naive calls changing directions itself (a season, a mean to return to), to know these is no skill, and the change from its
      median is called instead. For kind ``direction`` what the best naive foresaw is taken out of the outcome first; of barriers the
      directions are those of the trades that met one;
    * superior predictive ability of the best of all trials, out of fold. It guards against the luck of the best of many, but speaks of the trials
      and not of what was made of them: it counts only where the ensemble's own loss is below the best naive's too, and is 1 elsewhere.

    The first two are about the ensemble on data that nobody had seen, and need no other bound: who calls directions right has skill, even where
    his spread costs him more than that saves. Two bounds remain. Where the control found skill on shuffled changes there is no evidence of any; and
    at a single time a common shock of a panel cannot be told from skill, so that evidence is weak at best.
    Origins that somebody does not serve are left out for all.

    Parameters
    ----------
    trials
        From `trials.judge_trials`.
    control
        From `shuffle_control.shuffle_control`.
    opened_at
        When the test origins were looked at, this time included.
    backtest
        From `backtest.backtest`, where the target is a price: told, but no part of p, as a few test years of trading decide nothing.

    Returns
    -------
    JSON-able dict, the content of ``verdict.json``.
    """
    used, tests, best_naive = _against_rivals(opened)
    decides = deciding_loss(opened.task)
    against_best = tests[best_naive][decides]
    signs = _signs(used, best_naive)
    p_values = {"diebold_mariano": against_best["p_value"], "pesaran_timmermann": signs.p_value}
    if trials["reason"] is None:
        p_values["spa"] = trials["spa"] if against_best["mean_difference"] < 0 else 1.0
    p_value = min(1.0, len(p_values) * min(p_values.values()))
    bounds = _bounds(used.sample, control)
    direction = opened.task.kind == "direction"
    bets = used.sample.bets
    covered = None if direction or not len(used.truth_NH) else coverage(used.truth_NH, used.ensemble_NHQ)
    answer: Report = {
        "verdict": _grade(p_value, bounds),
        "p_value": p_value,
        "p_values": p_values,
        "bounds": list(bounds.values()),
        "decides": decides,
        "best_naive": best_naive,
        "tests": tests,
        "directions": _hits(used) | {"pesaran_timmermann": asdict(signs)},
        "trials": trials["trials"],
        "search": trials,
        "shuffle_control": control,
        "independent_bets": bets,
        "series": used.sample.n_series,
        "origins": len(used.sample.series),
        "openings": len(opened_at),
        "opened_at": opened_at,
    }
    if backtest is not None:
        answer["backtest"] = backtest
    if direction:
        answer["probabilities"] = _probabilities(used)
    if covered is not None:
        levels = opened.task.quantiles
        answer["coverage"] = {"share": covered, "interval": wilson(covered, bets), "nominal": levels[-1] - levels[0]}
    return answer | {"sentence": sentence(answer)}


def _against_rivals(opened: Opened) -> tuple[Opened, dict[str, Report], str]:
    """Test every loss against every rival on the origins that all serve; also name the rival whose deciding loss is smallest."""
    forecasts = {"ensemble": opened.ensemble_NHQ, **opened.rivals}
    losses = {
        name: {loss: over_horizon(cells) for loss, cells in cell_losses(opened.truth_NH, each, opened.scale_N, opened.task).items()}
        for name, each in forecasts.items()
    }
    decides = deciding_loss(opened.task)
    used_N = np.all([np.isfinite(each[decides]) for each in losses.values()], axis=0)
    used = opened.take(used_N)
    tests: dict[str, Report] = {}
    for name in opened.rivals:
        tests[name] = {}
        for loss, rival_N in losses[name].items():
            test = used.sample.compare(losses["ensemble"][loss][used_N], rival_N[used_N])
            tests[name][loss] = asdict(test) | {"skill_percent": _skill(test, rival_N[used_N])}
    best = min(opened.rivals, key=lambda name: losses[name][decides][used_N].sum())
    return used, tests, best


def _skill(test: Test, rival_N: np.ndarray) -> float:
    """Share of the rival's loss that the ensemble saves, in percent."""
    total = float(rival_N.mean()) if len(rival_N) else 0.0
    return -100 * test.mean_difference / total if total > 0 else 0.0


def _signs(used: Opened, best_naive: str) -> Test:
    """Test the directions called against what the best naive foresaw of them."""
    rival_NHQ = used.rivals[best_naive]
    if used.task.kind == "direction":
        rose_NH, chance_NH2 = as_directions(used.truth_NH, used.ensemble_NHQ)
        expected_NH = as_directions(used.truth_NH, rival_NHQ)[1][..., 1]
        return directions(rose_NH, _called(chance_NH2[..., 1], 0.5), expected_NH, used.sample)
    from_NH = np.repeat(used.last_N[:, None], rival_NHQ.shape[1], axis=1)
    naive_NH = median_of(rival_NHQ, used.task.quantiles)
    if len(np.unique(np.sign(naive_NH - from_NH))) > 1:
        from_NH = naive_NH
    called_NH = _called(median_of(used.ensemble_NHQ, used.task.quantiles), from_NH)
    rose_NH = np.where(np.isnan(used.truth_NH), np.nan, used.truth_NH > from_NH)
    return directions(rose_NH, called_NH, np.full(rose_NH.shape, 0.5), used.sample)


def _called(forecast_NH: np.ndarray, level_NH: np.ndarray | float) -> np.ndarray:
    """1 where a forecast lies above a level, 0 below; NaN where it lies on it: nothing is called."""
    return np.where(forecast_NH == level_NH, np.nan, (forecast_NH > level_NH).astype(float))


def _hits(used: Opened) -> Report:
    """Count the directions of change called right, of those called at all, and tell how high that rate would have to be to show."""
    if used.task.kind == "direction":
        rose_NH, chance_NH2 = as_directions(used.truth_NH, used.ensemble_NHQ)
        called_NH = _called(chance_NH2[..., 1], 0.5)
    else:
        rose_NH = np.where(np.isnan(used.truth_NH), np.nan, used.truth_NH > used.last_N[:, None])
        called_NH = _called(median_of(used.ensemble_NHQ, used.task.quantiles), used.last_N[:, None])
    known_NH = np.isfinite(rose_NH) & np.isfinite(called_NH)
    bets = used.sample.take(known_NH.any(axis=1)).bets
    share = float((rose_NH == called_NH)[known_NH].mean()) if known_NH.any() else None
    called = float(known_NH.sum() / np.isfinite(rose_NH).sum()) if known_NH.any() else 0.0
    interval = [0.0, 1.0] if share is None else wilson(share, bets)
    return {"hit_rate": share, "called": called, "interval": interval, "bets": bets, "smallest_rate": smallest_rate(bets)}


def _probabilities(used: Opened) -> Report:
    """Tell whether probabilities can be taken at their word, and what calling only the surest would have come to."""
    rose_NH, chance_NH2 = as_directions(used.truth_NH, used.ensemble_NHQ)
    return {
        "label": used.task.label,
        "recalibration": recalibration(rose_NH, chance_NH2, used.sample),
        "surest": surest(rose_NH, chance_NH2[..., 1], used.sample),
        "abstaining": abstaining(used.truth_NH, used.ensemble_NHQ, used.thresholds, used.sample),
    }


def _bounds(sample: Sample, control: Report) -> dict[str, str]:
    """Collect what keeps a verdict down, by the best verdict that is left."""
    bounds = {}
    if sample.is_panel and sample.n_times == 1:
        bounds[WEAK] = "at a single time a shock common to all series cannot be told from skill"
    if not control["passed"]:
        bounds[NONE] = "a ridge found skill on shuffled changes, where there is none: something leaks or a test is broken"
    return bounds


def _grade(p_value: float, bounds: dict[str, str]) -> str:
    """Apply the rule of `judge`."""
    if p_value >= WEAK_LEVEL or NONE in bounds:
        return NONE
    return SKILL if p_value < SKILL_LEVEL and WEAK not in bounds else WEAK
