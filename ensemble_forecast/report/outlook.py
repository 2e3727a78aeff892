"""Sections of the report on what comes out: the forecast, who makes it, what it hangs on, and with which settings."""

from html import escape
from typing import Any

from ensemble_forecast.report.chart import Mark, bars, chart, table
from ensemble_forecast.report.words import dated, instant, missing, paragraph

MOST_DRIVERS = 20

Record = dict[str, Any]


def forecast(findings: Record) -> str:
    """Draw the fan over the recent past, or the probabilities of a rise."""
    ahead = findings["ahead"]
    if ahead["reason"]:
        return missing(findings, ahead)
    direction = findings["settings"]["kind"] == "direction"
    if "p_take" in ahead["series"][0]["future"]:
        intro = paragraph(
            "How likely it is that by each step ahead a position has met its barrier above (take), the one below (stop), or neither yet (timeout)."
        )
    elif direction:
        intro = paragraph("The probability that the target lies above its last value, for each step ahead; 50 % is a coin.")
    else:
        intro = paragraph(
            "What comes next, from the newest rows there are. The line is the median: half of the outcomes should lie above it. The darker the "
            "band, the likelier; the reliability below says how far to trust it. The numbers are those of the verb predict."
        )
    left = ahead["n_series"] - len(ahead["series"])
    note = paragraph(f"Of {ahead['n_series']:,} series the first {len(ahead['series'])} are drawn; predict --out FILE writes all.") if left else ""
    return intro + note + "".join(f"<h3>{escape(series['id'])}</h3>{_chances(series) if direction else _fan(series)}" for series in ahead["series"])


def members(findings: Record) -> str:
    """Show the weights, how many members that amounts to, and the contest."""
    told = findings["members"]
    if told["reason"]:
        return missing(findings, told)
    intro = paragraph(
        f"The final forecast is made by the combiner {told['combiner']!r} from {len(told['members'])} members. Effective number of members: "
        f"{told['effective_number']:.1f}, which is how many there would be if all had the same weight (1 over the sum of the squared weights); near "
        "1, one of them decides alone."
    )
    weights = bars("Weights of the members", [(member["id"], member["weight"], f"{member['weight']:.3f}") for member in told["members"]])
    judged = [
        (
            row["combiner"],
            f"{row['loss']:.4f}",
            f"{row['gain']:+.4f}",
            "-" if row["standard_error"] is None else f"{row['standard_error']:.4f}",
            "chosen" if row["combiner"] == told["combiner"] else "",
        )
        for row in told["contest"]
        if not row["reason"]
    ]
    absent = "".join(paragraph(f"{row['combiner']} was not judged: {row['reason']}.", "soft") for row in told["contest"] if row["reason"])
    contest = (
        "<h3>Contest of combiners</h3>"
        + paragraph("Each window judges what the others taught; the plain average wins ties, because it cannot be overfitted.")
        + table(["combiner", "loss", "gain over average", "standard error", ""], judged, left=(0, 4))
        if judged
        else ""
    )
    return intro + weights + contest + absent


def drivers(findings: Record) -> str:
    """Show what the forecasts hang on: shuffled covariates, and the contributions of the trees."""
    shuffled, trees = findings["drivers"]["permutation"], findings["drivers"]["contributions"]
    parts = ["<h3>Covariates shuffled</h3>"]
    if shuffled["reason"]:
        parts.append(paragraph(f"Not measured: {shuffled['reason']}.", "missing"))
    elif not shuffled["rows"]:
        parts.append(paragraph("Not measured: the time was over before the first covariate.", "missing"))
    else:
        parts.append(
            paragraph(
                f"How much larger the loss of {shuffled['id']} becomes when a covariate is shuffled in time. It was fitted once more on the rows "
                f"before the newest window, and asked at that window's {shuffled['origins']} origins, which it had not seen; its loss there is "
                f"{shuffled['loss']:.4f}. At or below zero the covariate is of no use, and behind ± is half the range over three shuffles. This is "
                "one member, not the ensemble."
            )
        )
        rows = shuffled["rows"][:MOST_DRIVERS]
        parts.append(
            bars("Loss gained by shuffling", [(row["name"], row["share"], f"{row['share']:+.2%} ± {row['spread'] / 2:.2%}") for row in rows])
        )
        rest = len(shuffled["rows"]) - len(rows)
        parts.append(paragraph(f"{rest} less important covariates are not shown.", "soft") if rest else "")
        parts.append(paragraph(f"{shuffled['left']} covariates were not shuffled: the time was over.", "soft") if shuffled["left"] else "")
    parts.append("<h3>Contributions in the trees</h3>")
    if trees["reason"]:
        parts.append(paragraph(f"Not measured: {trees['reason']}.", "missing"))
    else:
        parts.append(
            paragraph(
                f"How far each input moves the forecasts of {trees['id']} on average (mean absolute SHAP value, in units of its scaled target), at "
                "the same origins, fitted likewise. It tells what the trees use, not whether that is right. lag_1 is the change since the step "
                "before, h the steps ahead, phase_7_1 the newest value at its target's place in a season of 7 steps."
            )
        )
        parts.append(bars("Contributions", [(row["name"], row["value"], f"{row['value']:.4f}") for row in trees["rows"][:MOST_DRIVERS]]))
    return "".join(parts)


def settings(findings: Record) -> str:
    """Show what was run, and with what."""
    told = findings["settings"]
    resolved = told["resolved"]
    versions = ", ".join(f"{name} {version}" for name, version in resolved["versions"].items())
    return (
        paragraph(
            f"Data up to {resolved['data_end']} ({resolved['n_series']:,} series), {told['windows']} windows out of fold, {told['locked']:,} locked "
            f"test origins. Versions: {versions}."
        )
        + f"<details><summary>pipeline.toml, as it was run</summary><pre>{escape(told['pipeline'])}</pre></details>"
    )


def _fan(series: Record) -> str:
    """Draw the past, the bands between mirrored quantiles, and the median."""
    past, future = series["past"], series["future"]
    last_x, last_y = [instant(stamp) for stamp in past["ds"][-1:]], past["y"][-1:]  # the fan begins at the newest value, which is never missing
    x = last_x + [instant(stamp) for stamp in future["ds"]]
    levels = sorted((name for name in future if name.replace(".", "", 1).isdigit()), key=float)
    pairs = [(low, high) for low, high in zip(levels, reversed(levels), strict=True) if float(low) < 0.5]
    words = ", ".join(f"{low} to {high}" for low, high in pairs)
    bands = [
        Mark(name="" if place else f"between the quantiles {words}", x=x, y=last_y + future[high], low=last_y + future[low], shape="band", tone="t0")
        for place, (low, high) in enumerate(pairs)
    ]
    history = Mark(name="history", x=[instant(stamp) for stamp in past["ds"]], y=past["y"], tone="quiet")
    median = Mark(name="median", x=x, y=last_y + future["0.5"], tone="t0")
    outer = pairs[0] if pairs else ("0.5", "0.5")
    head = ["step", "median", f"from {outer[0]}", f"to {outer[1]}"]
    rows = [(stamp, *(f"{future[name][place]:,.6g}" for name in ("0.5", *outer))) for place, stamp in enumerate(future["ds"])]
    drawn = chart(
        f"Recent past and forecast of {series['id']}",
        [*bands, history, median],
        x_name="",
        y_name="target",
        x_form=dated([*past["ds"], *future["ds"]]),
    )
    return drawn + f"<details><summary>In numbers</summary>{table(head, rows)}</details>"


def _chances(series: Record) -> str:
    """Draw the past, and the probability of a rise, or of each outcome of a trade, at each step ahead."""
    past, future = series["past"], series["future"]
    history = Mark(name="history", x=[instant(stamp) for stamp in past["ds"]], y=past["y"], tone="quiet")
    drawn = chart(f"Recent past of {series['id']}", [history], x_name="", y_name="target", x_form=dated(past["ds"]))
    names = {"p_up": "a rise", "p_take": "take", "p_stop": "stop", "p_timeout": "timeout"}
    return drawn + "".join(
        bars(f"Probability of {name}", [(f"{stamp} {name}", p, f"{p:.1%}") for stamp, p in zip(future["ds"], future[key], strict=True)], full=1)
        for key, name in names.items()
        if key in future
    )
