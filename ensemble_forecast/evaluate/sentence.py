"""The verdict in words that a newcomer understands."""

from typing import Any

from ensemble_forecast.evaluate.diebold_mariano import LEAST_BETS
from ensemble_forecast.evaluate.rivals import NAMES
from ensemble_forecast.windows import FEW_SERIES

Report = dict[str, Any]
USUAL_COST_BP = 10.0


def sentence(answer: Report) -> str:
    """Say what was found, on how much, and how sure it is.

    Parameters
    ----------
    answer
        Content of ``verdict.json``.
    """
    parts = [_loss(answer), _directions(answer), _search(answer["search"]), _coverage(answer), _reliable(answer)]
    parts += [_traded(answer), *answer["bounds"]]
    times = "once" if answer["openings"] == 1 else f"{answer['openings']} times, so trust it less each time"
    head = f"{answer['verdict'].capitalize()} ({_chance(answer['p_value'])}): over {_sample(answer)}"
    return f"{head} {'; '.join(part for part in parts if part)}. {_counted(answer['search'])}, and the test data were opened {times}."


def _sample(answer: Report) -> str:
    """Tell how much there was to judge by."""
    bets = answer["independent_bets"]
    if answer["series"] >= FEW_SERIES:
        return f"{answer['series']} series at {bets} time{'' if bets == 1 else 's'}"
    return f"{bets} independent bets{' (too few to tell anything)' if bets < LEAST_BETS else ''}"


def _loss(answer: Report) -> str:
    """Compare the loss with that of the best naive."""
    name, test = answer["best_naive"], answer["tests"][answer["best_naive"]][answer["decides"]]
    side = "smaller" if test["mean_difference"] < 0 else "larger"
    return f"its loss is {abs(test['skill_percent']):.1f} % {side} than that of the best naive, {NAMES[name]} ({_chance(test['p_value'])})"


def _directions(answer: Report) -> str:
    """Tell the hit rate, of barriers among the trades that met one."""
    found = answer["directions"]
    if found["hit_rate"] is None:
        return "it calls no direction"
    low, high = found["interval"]
    barriers = answer.get("probabilities", {}).get("label") == "barrier"
    what = "the trades that met a barrier" if barriers else "the directions"
    of = what if found["called"] > 0.995 else f"the {found['called']:.0%} of {what} that it calls"
    chance = _chance(found["pesaran_timmermann"]["p_value"])
    needed = f"less than {found['smallest_rate']:.0%} could hardly have shown"
    return f"it is right in {found['hit_rate']:.0%} of {of} (95 % interval {low:.0%} to {high:.0%}; against chance {chance}), where {needed}"


def _search(search: Report) -> str:
    """Tell what all trials together show."""
    if search["reason"] is not None:
        return ""
    naive = NAMES[search["best_naive"]]
    return f"the best of {search['compared']} finished trials against {naive} out of fold, luck of the best included: {_chance(search['spa'])}"


def _coverage(answer: Report) -> str:
    """Tell how much of the truth the outermost quantiles hold."""
    if "coverage" not in answer:
        return ""
    return f"its {answer['coverage']['nominal']:.0%} interval holds {answer['coverage']['share']:.0%} of the outcomes"


def _reliable(answer: Report) -> str:
    """Tell whether probabilities can be taken at their word."""
    if "probabilities" not in answer:
        return ""
    found = answer["probabilities"]["recalibration"]
    if found["reason"] is not None:
        return f"whether its probabilities can be taken at their word cannot be told: {found['reason']}"
    low, high = found["interval"]
    slope = f"the reliability slope of its probabilities is {found['slope']:.2f} (95 % interval {low:.2f} to {high:.2f})"
    if high < 1:
        return f"{slope}, which excludes 1: they are too bold"
    if low > 1:
        return f"{slope}, which excludes 1: they are too timid"
    return f"{slope}, which excludes neither 1, honest ones, nor 0, empty ones" if low <= 0 else f"{slope}, which does not exclude 1, honest ones"


def _traded(answer: Report) -> str:
    """Tell what trading came to, before costs and at a usual one."""
    if "backtest" not in answer:
        return ""
    net = {row["cost_bp"]: row["forecast"]["net_return"] for row in answer["backtest"]["table"]}
    hold = answer["backtest"]["table"][0]["buy_and_hold"]["net_return"]
    return f"traded, it earns {net[0.0]:+.0%} before costs and {net[USUAL_COST_BP]:+.0%} at {USUAL_COST_BP:.0f} bp a trade (buy-and-hold {hold:+.0%})"


def _counted(search: Report) -> str:
    """Count the trials, those that left nothing to compare apart."""
    unfinished = search["trials"] - search["finished"]
    apart = f" ({unfinished} of them pruned or failed, which left nothing to compare)" if unfinished else ""
    return f"{search['trials']} trials were searched before{apart}"


def _chance(p_value: float) -> str:
    return f"p = {p_value:.3f}" if p_value >= 0.0005 else "p < 0.001"
