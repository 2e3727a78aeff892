"""Part of the report for directions: how right the surest forecasts are, and what abstaining would have come to."""

from typing import Any

from ensemble_forecast.report.chart import Mark, chart, table
from ensemble_forecast.report.words import paragraph

Record = dict[str, Any]


def sureness(findings: Record) -> str:
    """Draw the hit rate among the surest forecasts out of fold, and, where the test rows have been opened, what they say of all this."""
    parts = ["<h3>Out of fold: the surest forecasts</h3>", _curve("Hit rate among the surest forecasts, out of fold", findings["scored"]["surest"])]
    judged = findings["verdict"].get("probabilities")
    if judged is None:
        return "".join(parts)
    parts += ["<h3>On the test rows</h3>", paragraph(_slope(judged["recalibration"]))]
    parts.append(_curve("Hit rate among the surest forecasts, on the test rows", judged["surest"]))
    if judged["abstaining"]:
        parts.append(
            paragraph(
                "Conformal sets: classes are taken into a set until it holds what happens as often as promised, as the out-of-fold forecasts bear "
                "it out. A set of one class is a call; one of several, or of none, is an abstention. In brackets 95 % intervals."
            )
        )
        parts.append(table(["promised", "held", "called", "right where called", "several", "none"], map(_sets, judged["abstaining"])))
    return "".join(parts)


def _slope(found: Record) -> str:
    """Write the reliability slope."""
    if found["reason"]:
        return f"The reliability slope cannot be told: {found['reason']}."
    low, high = found["interval"]
    fair = "excludes 1: the probabilities are too " + ("bold" if high < 1 else "timid") if high < 1 or low > 1 else "does not exclude 1"
    return (
        f"Reliability slope {found['slope']:.2f} (95 % interval {low:.2f} to {high:.2f}), which {fair}. Honest probabilities have a slope of 1, bold "
        "ones less, timid ones more, and such as know nothing 0."
    )


def _curve(label: str, rows: list[Record]) -> str:
    """Draw the hit rate over the share of the forecasts that is called, with its interval."""
    if not rows:
        return paragraph("Nothing is called: every forecast is an even chance.", "missing")
    x = [row["share"] for row in rows]
    band = Mark(name="95 %", x=x, y=[row["interval"][1] for row in rows], low=[row["interval"][0] for row in rows], shape="band", tone="quiet")
    rates = Mark(name="right", x=x, y=[row["hit_rate"] for row in rows], tone="t0")
    titles = [
        f"surest {row['share']:.0%} (at least {row['least']:.1%}): {row['hit_rate']:.1%} right, about {row['bets']} independent bets" for row in rows
    ]
    dots = Mark(name="", x=x, y=rates.y, shape="dots", tone="t0", titles=titles)
    coin = Mark(name="a coin", x=[min(x), max(x)], y=[0.5, 0.5], tone="quiet")
    return chart(label, [band, coin, rates, dots], x_name="share called, the surest first", y_name="hit rate")


def _sets(row: Record) -> tuple[str, ...]:
    """Write a line of the table of sets."""
    right = "-" if row["hit_rate"] is None else f"{row['hit_rate']:.0%} [{row['interval'][0]:.0%}, {row['interval'][1]:.0%}]"
    held = f"{row['held']:.0%} [{row['held_interval'][0]:.0%}, {row['held_interval'][1]:.0%}]"
    return (f"{row['promised']:.0%}", held, f"{row['share']:.0%}", right, f"{row['several']:.0%}", f"{row['none']:.0%}")
