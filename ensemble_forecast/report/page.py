"""The report: one HTML page of a run that needs no network and no script."""

from html import escape
from pathlib import Path
from typing import Any

from ensemble_forecast import atomic
from ensemble_forecast.report import evidence, hunt, outlook
from ensemble_forecast.report.words import check_page_name

STYLE = Path(__file__).with_name("page.css")
POLICY = "default-src 'none'; style-src 'unsafe-inline'"  # the page could not load anything, even if a name in it tried to

Record = dict[str, Any]

SECTIONS = {  # in the order of the page: what a reader asks first comes first
    "Verdict": evidence.verdict,
    "Forecast": outlook.forecast,
    "Leaderboard": hunt.leaderboard,
    "Search": hunt.history,
    "Hyper-parameters": hunt.importance,
    "Ensemble": outlook.members,
    "Reliability": evidence.reliability,
    "Error": evidence.errors,
    "Trading": evidence.trading,
    "Features": outlook.drivers,
    "Cost": hunt.costs,
    "Settings": outlook.settings,
}


def write_page(path: Path, findings: Record) -> None:
    """Write the report of a run, atomically.

    Parameters
    ----------
    findings
        As `findings.run.findings` collects them. All text in it is escaped: names of studies, series and columns come from users.

    Raises
    ------
    BadInput
        When the file's name does not end in .html.
    """
    check_page_name(path, "the report is")
    atomic.write_text(path, to_page(findings))


def to_page(findings: Record) -> str:
    """Lay out the page."""
    told, settings = findings["status"], findings["settings"]
    study = escape(told["study"])
    links = "".join(f'<a href="#{name.lower()}">{name}</a>' for name in SECTIONS)
    bodies = "".join(f'<section id="{name.lower()}"><h2>{name}</h2>{write(findings)}</section>' for name, write in SECTIONS.items())
    running = " It is running right now: this page is a snapshot." if told["running"] else ""
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{study}: report</title>'
        f"<style>{STYLE.read_text(encoding='utf-8')}</style></head><body><header><h1>Study {study}</h1>"
        f'<p class="soft">{_what(settings)} {told["finished"]} trials finished in {told["spent_s"]:.0f} s of {told["budget_s"]:.0f} s.{running}</p>'
        f"<nav>{links}</nav></header><main>{bodies}</main></body></html>\n"
    )


def _what(settings: Record) -> str:
    """Say in one sentence what was asked."""
    asked = "which barrier is met first" if settings["label"] == "barrier" else "whether it rises"
    asked = asked if settings["kind"] == "direction" else "its distribution"
    series = "one series" if settings["series"] == 1 else f"{settings['series']:,} series"
    return escape(f"Target {settings['target']!r}: {asked} over the next {settings['horizon']} steps ({settings['freq']}), {series}.")
