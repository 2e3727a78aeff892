"""Sections of the report on how far to believe it: the verdict, reliability, errors, and trading after costs."""

from html import escape
from typing import Any

from ensemble_forecast.report.chart import Mark, chart, table
from ensemble_forecast.report.sureness import sureness
from ensemble_forecast.report.words import dated, instant, missing, paragraph

LOOKS = {"evidence of skill": "good", "weak evidence": "weak", "no evidence of skill": "none"}
TONES = ("t0", "t1", "quiet")
ACCOUNTS = {"forecast": ("the forecast", "t0"), "buy_and_hold": ("buy and hold", "t1"), "last_sign": ("repeating the last direction", "quiet")}
COST_BP = 10.0  # of the equity curves: a fee and slippage that a small account can have

Record = dict[str, Any]


def verdict(findings: Record) -> str:
    """Show the verdict's sentence and the tests that it rests on."""
    told = findings["verdict"]
    if told["reason"]:
        return missing(findings, told)
    box = f'<div class="verdict {LOOKS.get(told["verdict"], "none")}"><b>{escape(told["verdict"].capitalize())}</b>{escape(told["sentence"])}</div>'
    if "tests" not in told:
        return box
    losses = sorted(next(iter(told["tests"].values())), key=lambda name: name != told["decides"])  # what decides stands first
    rows = [(name, *(f"{own[loss]['skill_percent']:+.1f}% ({own[loss]['p_value']:.3f})" for loss in losses)) for name, own in told["tests"].items()]
    search = told["search"]
    if search["reason"]:
        searched = search["reason"]
    else:
        deflated = None if search["deflated_sharpe"] is None else search["deflated_sharpe"]["probability"]
        searched = (
            f"superior ability p {_p(search['spa'])}, Reality Check p {_p(search['reality_check'])}, probability of overfitting "
            f"{_p(search['backtest_overfitting'])}, deflated Sharpe {_p(deflated)}; as good as the best: "
            f"{', '.join(search['confidence_set']['members'])}"
        )
    control = told["shuffle_control"]
    played = control["reason"] or f"{control['wins']} wins in {len(control['p_values'])}"
    return (
        box
        + paragraph(
            "Before the search began, the newest rows were locked away; this is what they say. A rival is a rule that anybody can apply "
            "without learning. Each cell is the share of the rival's loss that the ensemble saves, and in brackets how likely a gain that large "
            "would be by luck (p of Diebold-Mariano): below 0.05 is worth a second look, and below 0.01 convincing."
        )
        + table(["rival", *losses], rows)
        + paragraph(f"All {told['trials']} trials, out of fold: {searched}.")
        + paragraph(f"Control on shuffled changes, where there is nothing to find: {played}.")
        + paragraph(f"The test data were opened {_times(told['openings'])}, last at {told['opened_at'][-1]}.", "soft")
    )


def reliability(findings: Record) -> str:
    """Draw promised against seen probabilities, out of fold."""
    told = findings["scored"]
    if told["reason"]:
        return missing(findings, told)
    curve = told["reliability"]
    direction = findings["settings"]["kind"] == "direction"
    what = "rises, by the probability given to them" if direction else "outcomes at or below each quantile"
    if findings["settings"]["label"] == "barrier":
        what = "takes among the trades that met a barrier, by the probability given to them"
    parts = [
        paragraph(
            f"Can the probabilities be taken at their word? Out-of-fold forecasts of the {curve['of']}, {told['origins']:,} origins, which are worth "
            f"about {told['bets']} independent ones. On the diagonal the promise is kept; within the grey band luck alone explains the distance (95 "
            "%)."
        ),
        _promises(f"Share of {what}, promised and seen", curve["levels"]),
    ]
    if "coverage" in curve:
        parts.append(
            paragraph("Coverage: how many outcomes lie within an interval that promises so many. Below the diagonal the intervals are too narrow.")
        )
        parts.append(_promises("Share of outcomes within intervals, promised and seen", curve["coverage"]))
    if direction:
        parts.append(sureness(findings))
    return "".join(parts)


def errors(findings: Record) -> str:
    """Draw the loss by horizon step and over time."""
    told = findings["scored"]
    if told["reason"]:
        return missing(findings, told)
    names = list(told["losses"])
    metric = "log loss" if findings["settings"]["kind"] == "direction" else "scaled quantile loss"
    means = table(["out of fold", metric], [(name, "-" if told["losses"][name] is None else f"{told['losses'][name]:.4f}") for name in names])
    parts = [
        paragraph(
            f"The {metric} out of fold: smaller is better, 1 of a scaled loss is about what repeating the last season costs. Each window is "
            "combined by weights learnt on the other windows; who the members are was chosen with all of them in view, so the ensemble looks a "
            "little better here than it is. The means are over origins: windows of different size do not count alike, as they do on the leaderboard."
        ),
        means,
    ]
    steps = [float(step) for step in range(1, findings["settings"]["horizon"] + 1)]
    if len(steps) > 1:
        marks = [Mark(name=name, x=steps, y=told["by_horizon"][name], tone=tone) for name, tone in zip(names, TONES, strict=False)]
        parts += ["<h3>By horizon</h3>", paragraph("The further ahead, the harder.")]
        parts.append(chart("Loss by steps ahead", marks, x_name="steps ahead", y_name=metric))
    if len(told["stamps"]) > 1:
        x = [instant(stamp) for stamp in told["stamps"]]
        marks = [Mark(name=name, x=x, y=told["over_time"][name], tone=tone) for name, tone in zip(names, TONES, strict=False)]
        parts += [
            "<h3>Over time</h3>",
            paragraph("By the stamp of the origin. Where all curves rise together, the times were hard and nobody did well."),
        ]
        parts.append(chart("Loss over time", marks, x_name="", y_name=metric, x_form=dated(told["stamps"])))
    return "".join(parts)


def trading(findings: Record) -> str:
    """Draw the equity curves that the verdict holds, and tell every cost."""
    told = findings["verdict"]
    if told["reason"]:
        return missing(findings, told)
    if "tests" not in told:
        return paragraph(told["sentence"], "missing")
    if "backtest" not in told:
        return paragraph("Not traded: where the target is a price, backtest = true in the pipeline of a new study adds this section.", "missing")
    backtest = told["backtest"]
    row = next((each for each in backtest["table"] if each["cost_bp"] == COST_BP), backtest["table"][-1])
    parts = [
        paragraph(
            f"What trading on the forecasts would have come to on the locked test rows, {backtest['steps']:,} steps, at {row['cost_bp']:.0f} basis "
            "points a trade: a capital of 1, rebalanced every step. A test of this length says little about trading; it is no part of the verdict, "
            "and no advice."
        )
    ]
    if "stamps" in backtest:
        x = [instant(stamp) for stamp in backtest["stamps"]]
        marks = [Mark(name=name, x=x, y=row[key]["equity"], tone=tone) for key, (name, tone) in ACCOUNTS.items()]
        parts.append(chart("Equity after costs", marks, x_name="", y_name="capital, from 1", x_form=dated(backtest["stamps"])))
    else:
        parts.append(paragraph("This verdict is older than equity curves; its figures follow.", "soft"))
    head = ["cost", "net", "Sharpe (95 %)", "largest drop", "traded a step", "won", "last sign", "hold"]
    return "".join(parts) + table(head, map(_account, backtest["table"]))


def _account(row: Record) -> tuple[str, ...]:
    """Write a line of the backtest as the terminal does."""
    told = row["forecast"]
    low, high = told["sharpe_interval"] or (None, None)
    ratio = "-" if low is None else f"{told['sharpe']:.1f} [{low:.1f}, {high:.1f}]"
    won = "no trade" if not told["trades"] else f"{told['win_rate']:.0%} of {told['trades']}"
    rivals = (f"{row[name]['net_return']:+.0%}" for name in ("last_sign", "buy_and_hold"))
    return (f"{row['cost_bp']:.0f} bp", f"{told['net_return']:+.1%}", ratio, f"{told['drawdown']:.1%}", f"{told['turnover']:.3f}", won, *rivals)


def _promises(label: str, rows: list[Record]) -> str:
    """Draw what was promised against what was seen, with the diagonal and the band of luck."""
    x = [row["promised"] for row in rows]
    band = Mark(name="luck (95 %)", x=x, y=[row["band"][1] for row in rows], low=[row["band"][0] for row in rows], shape="band", tone="quiet")
    diagonal = Mark(name="as promised", x=[min(x), max(x)], y=[min(x), max(x)], tone="quiet")
    seen = Mark(name="seen", x=x, y=[row["seen"] for row in rows], tone="t0")
    titles = [f"promised {row['promised']:.1%}, seen {row['seen']:.1%}" for row in rows]
    dots = Mark(name="", x=x, y=seen.y, shape="dots", tone="t0", titles=titles)
    return chart(label, [band, diagonal, seen, dots], x_name="promised", y_name="seen")


def _p(value: float | None) -> str:
    """Write a probability, or a dash."""
    return "-" if value is None else f"{value:.3f}"


def _times(count: int) -> str:
    """Write how often."""
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
