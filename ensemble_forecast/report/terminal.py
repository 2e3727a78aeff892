"""Results, as a terminal shows them on standard output."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pandas as pd
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from ensemble_forecast.report.progress import clock

SHOWN_SHARES = (0.1, 0.2, 0.5, 1.0)  # of the surest forecasts; verdict.json and the report have more

out = Console(highlight=False, soft_wrap=True)

Record = dict[str, Any]  # a result to print


def say(text: str) -> None:
    """Print a line of result."""
    out.print(text, markup=False)


def print_leaderboard(board: list[Record], metric: str, rows: int = 15) -> None:
    """Print the best candidates, every baseline, and how many failed."""
    table = Table(title=f"Leaderboard (out of fold, {metric}: smaller is better)", title_justify="left", box=None)
    for name in ("rank", "candidate", metric, "vs seasonal naive", "seconds", ""):
        table.add_column(name, justify="left" if name in ("candidate", "") else "right")
    finished = [row for row in board if row["state"] == "finished"]
    for row in finished:
        if row["rank"] <= rows or row["baseline"]:
            skill = "" if row["skill"] is None else f"{row['skill']:+.1%}"
            table.add_row(str(row["rank"]), row["id"], f"{row['value']:.4f}", skill, f"{row['seconds']:.1f}", "baseline" if row["baseline"] else "")
    out.print(table)
    others = [row for row in board if row["state"] != "finished"]
    counts = {state: sum(row["state"] == state for row in others) for state in ("pruned", "failed", "stale")}
    say(f"{len(finished)} finished, " + ", ".join(f"{count} {state}" for state, count in counts.items()))
    for row in [row for row in others if row["state"] == "failed"][:5]:
        say(f"  failed: {row['id']}: {row['reason']}")


def print_contest(summary: Record) -> None:
    """Print how the combiners did on windows that had not taught them, and who is in the ensemble."""
    table = Table(title="Contest of combiners (each window judges what the others taught; the average wins ties)", title_justify="left", box=None)
    for name in ("combiner", "loss", "gain over average", "standard error", ""):
        table.add_column(name, justify="left" if name in ("combiner", "") else "right")
    for row in [row for row in summary["contest"] if not row["reason"]]:
        note = "chosen" if row["combiner"] == summary["combiner"] else ""
        table.add_row(row["combiner"], f"{row['loss']:.4f}", f"{row['gain']:+.4f}", _figure(row["standard_error"]), note)
    if summary["contest"]:
        out.print(table)
    for row in [row for row in summary["contest"] if row["reason"]]:
        say(f"  {row['combiner']} was not judged: {row['reason']}")
    members = Table(title="Members", title_justify="left", box=None)
    for name in ("candidate", "weight"):
        members.add_column(name, justify="left" if name == "candidate" else "right")
    for member in summary["members"]:
        members.add_row(member["id"], f"{member['weight']:.3f}")
    out.print(members)
    for line in summary["notes"]:
        say(line)


def print_table(table: pd.DataFrame, rows: int = 40) -> None:
    """Print a forecast."""
    say(table.head(rows).to_string(index=False, float_format=lambda value: f"{value:.6g}"))
    if len(table) > rows:
        say(f"... {len(table) - rows} more rows; --out FILE writes all")


def print_verdict(verdict: Record) -> None:
    """Print the verdict's sentence, then what it rests on."""
    say(verdict["sentence"])
    losses = list(next(iter(verdict["tests"].values())))
    table = Table(title="Loss saved against the naive rivals, and p (Diebold-Mariano)", title_justify="left", box=None)
    for name in ("rival", *losses):
        table.add_column(name, justify="left" if name == "rival" else "right")
    for name, tests in verdict["tests"].items():
        table.add_row(name, *(f"{tests[loss]['skill_percent']:+.1f}% ({tests[loss]['p_value']:.3f})" for loss in losses))
    out.print(table)
    search = verdict["search"]
    say(f"all trials, out of fold: {search['reason'] or _search_in_words(search)}")
    control = verdict["shuffle_control"]
    wins = f"{control['wins']} wins in {len(control['p_values'])}"
    say(f"control on shuffled changes: {control['reason'] or wins}")
    if "probabilities" in verdict:
        _print_surest(verdict["probabilities"])
    if "backtest" in verdict:
        _print_backtest(verdict["backtest"])


def _print_surest(probabilities: Record) -> None:
    """Print the hit rate among the surest forecasts, and what conformal sets would have called."""
    table = Table(title="Calling only the surest, and only what conformal sets call", title_justify="left", box=None)
    for name in ("rule", "called", "right (95 %)", "bets"):
        table.add_column(name, justify="left" if name == "rule" else "right")
    told = [(f"surest {row['asked']:.0%}", row) for row in probabilities["surest"] if row["asked"] in SHOWN_SHARES]
    told += [(f"sets that promise {row['promised']:.0%} (held {row['held']:.0%})", row) for row in probabilities["abstaining"]]
    for rule, row in told:
        right = "-" if row["hit_rate"] is None else "{:.0%} [{:.0%}, {:.0%}]".format(row["hit_rate"], *row["interval"])
        table.add_row(rule, f"{row['share']:.0%}", right, str(row["bets"]))
    out.print(table)


def _search_in_words(search: Record) -> str:
    """Tell the figures of a search in one line."""
    deflated = search["deflated_sharpe"]
    figures = {
        "superior ability p": search["spa"],
        "Reality Check p": search["reality_check"],
        "probability of overfitting": search["backtest_overfitting"],
        "deflated Sharpe": None if deflated is None else deflated["probability"],
    }
    told = ", ".join(f"{name} {'-' if value is None else f'{value:.3f}'}" for name, value in figures.items())
    return f"{told}; as good as the best: {', '.join(search['confidence_set']['members'])}"


def _print_backtest(backtest: Record) -> None:
    """Print what trading on the forecasts came to at every cost, and the net return of its rivals."""
    table = Table(
        title=f"Backtest over {backtest['steps']} steps: net return, largest drop, share traded a step; net of last sign and of buy-and-hold",
        title_justify="left",
        box=None,
    )
    for name in ("cost", "net", "Sharpe (95 %)", "drop", "traded", "won", "sign", "hold"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in backtest["table"]:
        told = row["forecast"]
        low, high = told["sharpe_interval"] or (None, None)
        ratio = "-" if low is None else f"{told['sharpe']:.1f} [{low:.1f}, {high:.1f}]"
        won = "no trade" if not told["trades"] else f"{told['win_rate']:.0%} of {told['trades']}"
        rivals = (f"{row[name]['net_return']:+.0%}" for name in ("last_sign", "buy_and_hold"))
        table.add_row(
            f"{row['cost_bp']:.0f} bp", f"{told['net_return']:+.1%}", ratio, f"{told['drawdown']:.1%}", f"{told['turnover']:.3f}", won, *rivals
        )
    out.print(table)


def print_depth(report: Record) -> None:
    """Print what depth cost and gained, the controls, and what was found about gradients and data."""
    table = Table(title=f"Depth (unseen origins, {report['seeds']} seeds)", title_justify="left", box=None)
    for name in ("condition", "layers", "loss", "hit rate [95 %]", "steps", "seconds", "MiB", "weights"):
        table.add_column(name, justify="left" if name == "condition" else "right")
    for row in report["rows"]:
        if row["failed"] and "steps" not in row:
            table.add_row(row["condition"], str(row["layers"]), row["failed"][0])
            continue
        hit = "" if row["hit_rate"] is None else "{:.1%} [{:.0%}, {:.0%}]".format(row["hit_rate"], *row["hit_interval"])
        told = [f"{row[name]:,.0f}" for name in ("steps", "seconds", "peak_mib", "parameters")]
        table.add_row(row["condition"], str(row["layers"]), f"{row['loss']:.4f}", hit, *told)
    for row in report["controls"]:
        hit = "" if row["hit_rate"] is None else f"{row['hit_rate']:.1%}"
        table.add_row("control", row["family"], f"{row['loss']:.4f}", hit, "", f"{row['seconds']:.0f}")
    out.print(table)
    for found in report["examinations"]:
        say(f"{found['layers']} layers: {found['sentence']}")
    say(report["sentence"])


def print_status(status: Record, *, brief: bool = False) -> None:
    """Print the state of a study, or one line on it."""
    if brief:
        say(_status_line(status))
    else:
        out.print(_status_view(status))


def watch(read: Callable[[], Record]) -> None:
    """Refresh the state of a study until interrupted, which is how watching ends."""
    with suppress(KeyboardInterrupt), Live(_status_view(read()), console=out, refresh_per_second=1) as live:
        while True:
            time.sleep(2)
            live.update(_status_view(read()))


def _status_line(status: Record) -> str:
    """Say in one line how far a study is."""
    running = "running now" if status["running"] else "not running"
    spent = f"{clock(status['spent_s'])} of {clock(status['budget_s'])} spent"
    return f"study {status['study']}: {status['finished']} trials finished, {spent}, {running}"


def _status_view(status: Record) -> Group:
    """Lay out the state of a study."""
    table = Table(box=None)
    for name in ("family", "finished", "pruned", "failed", "stale", "best", "seconds"):
        table.add_column(name, justify="left" if name == "family" else "right")
    for row in status["families"]:
        best = "" if row["best"] is None else f"{row['best']:.4f}"
        table.add_row(row["family"], *(str(row[state]) for state in ("finished", "pruned", "failed", "stale")), best, f"{row['seconds']:.0f}")
    unfinished = [_failures(status["failures"])] if status["failures"] else []
    return Group(
        _status_line(status),
        table,
        *unfinished,
        f"ensemble: {status['ensemble'] or 'not built yet'}; verdict: {status['verdict'] or 'not opened yet'}",
    )


def _failures(rows: list[Record]) -> Table:
    """Lay out what did not finish, by reason; of each kind one reason is told in full."""
    table = Table(title="Trials that did not finish, by reason", title_justify="left", box=None)
    for name in ("state", "trials", "families", "for example"):
        table.add_column(name, justify="right" if name == "trials" else "left")
    for row in rows:
        table.add_row(row["state"], str(row["count"]), ", ".join(row["families"]), escape(f"{row['reason']} ({row['id']})"))
    return table


def print_export(told: Record, *, brief: bool = False) -> None:
    """Print what was exported, how far it is from what it stands for, and what was left out with its reason."""
    table = Table(title="Exported (largest difference: in units of the series' scale)", title_justify="left", box=None)
    for name in ("graph", "family", "largest difference"):
        table.add_column(name, justify="right" if name == "largest difference" else "left")
    for row in told["graphs"]:
        table.add_row(row["name"], row["family"], f"{row['largest_difference']:.1e}")
    if not brief:
        out.print(table)
    for row in told["left_out"]:
        say(f"not exported: {row['name']} ({row['family']}): {row['reason']}")
    say(f"written: {told['folder']}")


def print_doctor(report: Record) -> None:
    """Print every problem with its place and its mend."""
    for problem in report["problems"]:
        say(problem)
    for change in report["changes"]:
        say(f"fixed: {change}")
    say(report["sentence"])


def print_entries(entries: list[dict[str, Any]], *, brief: bool = False) -> None:
    """Print names and what they are (of a space also what may vary), or the names alone."""
    if brief:
        for entry in entries:
            say(entry["name"])
        return
    table = Table(box=None, show_header=False)
    for entry in entries:
        table.add_row(entry["name"], entry["summary"])
        for family in entry.get("families", ()):
            table.add_row(f"  {family['family']}", _extent_in_words(family))
    out.print(table)


def _extent_in_words(family: dict[str, Any]) -> str:
    """Tell what may vary in a family, and how much of it there is."""
    size = f"{family['portfolio']} tried first"
    if not family["holes"]:
        return size
    continuum = f" x {family['continuous']} continuous" if family["continuous"] else ""
    return f"{size}; {family['combinations']:,} combinations{continuum}: {'; '.join(family['holes'])}"


def _figure(value: float | None) -> str:
    """Write a number, or a dash for one that is not known."""
    return "-" if value is None else f"{value:.4f}"
