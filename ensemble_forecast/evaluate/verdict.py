"""What the locked test origins say about an ensemble, in one plain sentence."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from ensemble_forecast.evaluate.diebold_mariano import LEAST_BETS, Test, diebold_mariano, two_way
from ensemble_forecast.windows import FEW_SERIES

SKILL, WEAK, NONE = "evidence of skill", "weak evidence", "no evidence of skill"
NAMES = {
    "naive": "repeating the last value",
    "seasonal_naive": "repeating the last season",
    "base_rate": "always giving the share of rises so far",
    "coin": "a fair coin",
}


@dataclass(frozen=True, eq=False)
class Losses:
    """Losses at N test origins, means over the horizon; origins where one of them is not finite are left out.

    Parameters
    ----------
    ensemble
        float64 (N,).
    baselines
        float64 (N,) by name: naive and seasonal_naive, or base_rate and coin for kind ``direction``.
    series
        int64 (N,): series of each origin.
    time
        int64 (N,): steps since the first test origin, the same number for series at the same time (``test.step - judged_S[test.series]``).
    """

    ensemble: np.ndarray
    baselines: dict[str, np.ndarray]
    series: np.ndarray
    time: np.ndarray


def judge(
    losses: Losses, horizon: int, *, trials: int, openings: int, hit_rate: float | None = None, coverage: float | None = None, nominal: float = 0.8
) -> dict[str, Any]:
    """Judge an ensemble against its baselines.

    The hardest baseline decides, whichever it is: evidence of skill needs p < 0.05 against each of them, weak evidence p < 0.10 against each.
    As every test has to succeed, none of them needs a correction for their number (intersection-union test, Berger 1982,
    doi:10.1080/00401706.1982.10487790).

    Below ``windows.FEW_SERIES`` series, time is the sample: the losses of all series at one time give one mean. From there on, series and
    times both are; at a single time a common shock cannot be told from skill, so that the evidence is weak at best.

    Parameters
    ----------
    trials
        Trials searched before, pruned and failed ones included.
    openings
        How often the test origins were looked at, this time included.
    hit_rate
        Share of directions called right (kind ``direction``).
    coverage, nominal
        Share of the truth inside the central interval, and the share that should be (kind ``quantiles``).

    Returns
    -------
    JSON-able dict: ``verdict``, ``sentence``, ``tests`` by baseline, ``independent_bets`` (times, on a panel), ``series``, ``origins``, ``trials``,
    ``openings``, and ``hit_rate`` or ``coverage`` with their 95 % Wilson intervals.
    """
    used_N = np.isfinite(losses.ensemble) & np.all([np.isfinite(loss_N) for loss_N in losses.baselines.values()], axis=0)
    series_N, time_N, ensemble_N = losses.series[used_N], losses.time[used_N], losses.ensemble[used_N]
    is_panel, n_times = len(np.unique(series_N)) >= FEW_SERIES, len(np.unique(time_N))
    tests, skills = {}, {}
    for name, loss_N in losses.baselines.items():
        if is_panel and n_times > 1:
            tests[name] = two_way(ensemble_N, loss_N[used_N], series_N, time_N)
        elif is_panel:
            tests[name] = diebold_mariano(ensemble_N, loss_N[used_N], 1)
        else:
            tests[name] = diebold_mariano(_group_means(ensemble_N, time_N), _group_means(loss_N[used_N], time_N), horizon)
        skills[name] = _skill(tests[name], loss_N[used_N])
    bets = n_times if is_panel else n_times // horizon
    verdict = _grade(tests)
    if is_panel and n_times == 1 and verdict == SKILL:
        verdict = WEAK
    answer: dict[str, Any] = {
        "verdict": verdict,
        "tests": {name: asdict(test) | {"skill_percent": skills[name]} for name, test in tests.items()},
        "independent_bets": bets,
        "series": len(np.unique(series_N)),
        "origins": int(used_N.sum()),
        "trials": trials,
        "openings": openings,
    }
    if hit_rate is not None:
        answer["hit_rate"] = {"share": hit_rate, "interval": wilson(hit_rate, bets)}
    if coverage is not None:
        answer["coverage"] = {"share": coverage, "interval": wilson(coverage, bets), "nominal": nominal}
    return answer | {"sentence": _sentence(answer)}


def wilson(share: float, n: int) -> list[float]:
    """Bound a share seen in n independent bets: 95 % interval (Wilson 1927, doi:10.1080/01621459.1927.10502953); [0, 1] without a bet."""
    return [float(edge) for edge in proportion_confint(share * n, n, method="wilson")] if n else [0.0, 1.0]


def _group_means(loss_N: np.ndarray, group_N: np.ndarray) -> np.ndarray:
    """Mean loss of each group, groups in increasing order."""
    _, position_N, count_G = np.unique(group_N, return_inverse=True, return_counts=True)
    return np.bincount(position_N, weights=loss_N, minlength=len(count_G)) / count_G


def _skill(test: Test, baseline_G: np.ndarray) -> float:
    """Share of the baseline's loss that the ensemble saves, in percent."""
    total = float(baseline_G.mean()) if len(baseline_G) else 0.0
    return -100 * test.mean_difference / total if total > 0 else 0.0


def _grade(tests: dict[str, Test]) -> str:
    """Apply the rule of `judge`."""
    hardest = max(test.p_value for test in tests.values())
    return SKILL if hardest < 0.05 else WEAK if hardest < 0.10 else NONE


def _sentence(answer: dict[str, Any]) -> str:
    """Say it so that a newcomer understands it."""
    against = [_comparison(name, test) for name, test in answer["tests"].items()]
    bets = answer["independent_bets"]
    few = " (too few to tell anything)" if bets < LEAST_BETS else ""
    sample = f"{bets} independent bets{few}" if answer["series"] < FEW_SERIES else f"{answer['series']} series at {bets} times"
    text = f"{answer['verdict'].capitalize()}: over {sample} its loss is {' and '.join(against)}"
    if "hit_rate" in answer:
        low, high = answer["hit_rate"]["interval"]
        text += f", and it calls {answer['hit_rate']['share']:.0%} of the directions right (95 % interval {low:.0%} to {high:.0%})"
    if "coverage" in answer:
        text += f", and its {answer['coverage']['nominal']:.0%} interval holds {answer['coverage']['share']:.0%} of the outcomes"
    times = "once" if answer["openings"] == 1 else f"{answer['openings']} times, so trust it less each time"
    return f"{text}; {answer['trials']} trials were searched before, and the test data were opened {times}."


def _comparison(name: str, test: dict[str, Any]) -> str:
    """Phrase one test."""
    side = "smaller" if test["mean_difference"] < 0 else "larger"
    chance = f"p = {test['p_value']:.3f}" if test["p_value"] >= 0.0005 else "p < 0.001"
    return f"{abs(test['skill_percent']):.1f} % {side} than that of {NAMES.get(name, name)} ({chance})"
