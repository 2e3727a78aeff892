"""Sections of the report on the search: leaderboard and failures, history, hyper-parameters, cost."""

from html import escape
from typing import Any

from ensemble_forecast.report.chart import Mark, bars, chart, table
from ensemble_forecast.report.words import paragraph

SHOWN = 20  # best candidates beside the baselines; the others fold away
MOST_ROWS = 500
TONES = {"linear": "t0", "statistical": "t1", "trees": "t2", "deep": "t3"}
OTHERS = "t4"
WORST_SHOWN = 1.5  # times the median loss: what lies above is drawn at the edge, or it would flatten the rest

Record = dict[str, Any]


def leaderboard(findings: Record) -> str:
    """Rank the finished trials; group the others by reason."""
    search, metric = findings["search"], findings["settings"]["metric"]
    finished = [row for row in search["board"] if row["state"] == "finished"]
    if not finished:
        return paragraph("No trial has finished yet.") + _failures(search["failures"])
    chosen = [row for row in finished if row["rank"] <= SHOWN or row["baseline"]]
    rest = [row for row in finished if row not in chosen]
    head = ["rank", "candidate", metric, "vs seasonal naive", "seconds", ""]
    intro = paragraph(
        f"Every candidate forecast windows of the past that it had not been fitted on. {metric} is its mean loss there: smaller is better. A "
        "baseline is a rule without any learning; what does not beat it is not worth its cost."
    )
    folded = ""
    if rest:
        left = f" The other {len(rest) - MOST_ROWS} stand in ledger.jsonl." if len(rest) > MOST_ROWS else ""
        rows = table(head, map(_row, rest[:MOST_ROWS]), left=(1, 5))
        folded = f"<details><summary>The other {len(rest)} finished candidates</summary>{rows}{paragraph(left) if left else ''}</details>"
    transfers = "".join(map(paragraph, search["transfers"]))
    return intro + table(head, map(_row, chosen), left=(1, 5)) + folded + transfers + _failures(search["failures"])


def history(findings: Record) -> str:
    """Draw every finished trial in the order in which it ended, and the best so far."""
    rows, metric = findings["search"]["history"], findings["settings"]["metric"]
    if not rows:
        return paragraph("No trial has finished yet.")
    values = sorted(row["value"] for row in rows)
    edge = max(WORST_SHOWN * values[len(values) // 2], values[0])
    above = sum(value > edge for value in values)
    marks = []
    for group in dict.fromkeys(row["group"] for row in rows):
        own = [row for row in rows if row["group"] == group]
        titles = [f"{row['id']}: {row['value']:.4f}" for row in own]
        x, y = [float(row["number"]) for row in own], [min(row["value"], edge) for row in own]
        marks.append(Mark(name=group, x=x, y=y, shape="dots", tone=TONES.get(group, OTHERS), titles=titles))
    steps = [row["best"] for row in rows for _ in range(2)][:-1]  # the best stays what it was until a better one ends
    best = Mark(
        name="best so far", x=[float(row["number"]) for row in rows for _ in range(2)][1:], y=[min(step, edge) for step in steps], tone="quiet"
    )
    note = f" {above} of them lie above {edge:.3g} and are drawn at that edge." if above else ""
    return paragraph(
        f"Each dot is a finished trial, from the first to the last; the line is the best loss so far. Where it has long been flat, more time would "
        f"hardly help.{note}"
    ) + chart("Loss of every finished trial, and the best so far", [best, *marks], x_name="trial", y_name=f"{metric}, smaller is better")


def importance(findings: Record) -> str:
    """Tell which parameters of a family mattered."""
    search = findings["search"]
    intro = paragraph(
        "How much of the difference between good and bad trials of a family each hyper-parameter explains (fANOVA, by Optuna). It speaks of the "
        f"ranges that were searched; families with fewer than {search['least_trials']} finished trials are left out, as theirs would be chance."
    )
    if not search["importance"]:
        return intro + paragraph("No family has enough trials yet: search longer, with a larger --budget.", "missing")
    return intro + "".join(
        f"<h3>{escape(family)}</h3>"
        + bars(f"Importance of the hyper-parameters of {family}", [(name, share, f"{share:.0%}") for name, share in shares.items()], full=1)
        for family, shares in search["importance"].items()
    )


def costs(findings: Record) -> str:
    """Tell seconds, CPU-seconds and energy by family."""
    search = findings["search"]
    rows = search["costs"]
    if not rows:
        return paragraph("Nothing has been spent yet.")
    total = sum(row["seconds"] for row in rows)
    intro = paragraph(
        "What each family took, over all its trials, failed ones included. A worker has one thread, so its seconds are its CPU-seconds. Energy is an "
        f"estimate and no measurement: {search['watts']:.0f} W for a busy core; what a GPU drew is not in it. In all {total:.0f} s, about "
        f"{total * search['watts'] / 3600:.2g} Wh."
    )
    figures = [
        (
            row["family"],
            str(row["trials"]),
            f"{row['seconds']:.1f}",
            f"{row['cpu_seconds']:.1f}",
            f"{row['watt_hours']:.2g}",
            "" if row["best"] is None else f"{row['best']:.4f}",
        )
        for row in rows
    ]
    head = ["family", "trials", "seconds", "CPU-seconds", "Wh (estimate)", f"best {findings['settings']['metric']}"]
    return intro + bars("Seconds by family", [(row["family"], row["seconds"], f"{row['seconds']:.1f} s") for row in rows]) + table(head, figures)


def _row(row: Record) -> tuple[str, ...]:
    """Write a line of the leaderboard as the terminal does."""
    skill = "" if row["skill"] is None else f"{row['skill']:+.1%}"
    note = "baseline" if row["baseline"] else ""
    return (str(row["rank"]), row["id"], f"{row['value']:.4f}", skill, f"{row['seconds']:.1f}", note)


def _failures(rows: list[Record]) -> str:
    """List what did not finish, by reason."""
    if not rows:
        return "<h3>Trials that did not finish</h3>" + paragraph("None: every trial finished.")
    told = [(row["state"], str(row["count"]), ", ".join(row["families"]), f"{row['reason']} ({row['id']})") for row in rows]
    return (
        "<h3>Trials that did not finish</h3>"
        + paragraph("Pruned means stopped because it could not win any more; failed means that it broke. Of each kind one reason is quoted in full.")
        + table(["state", "trials", "families", "for example"], told, left=(0, 2, 3))
    )
