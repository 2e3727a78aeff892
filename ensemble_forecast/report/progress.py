"""What a terminal shows while work goes on: progress and logs, on standard error."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

err = Console(stderr=True, highlight=False, soft_wrap=True)

Event = dict[str, Any]  # progress, as the search driver tells it


def logger(quiet: bool) -> Callable[[str], None]:
    """Return a function that logs a line, or drops it."""
    return (lambda _: None) if quiet else (lambda text: err.print(text, markup=False, style="dim"))


@contextmanager
def bar(title: str, quiet: bool) -> Iterator[Callable[[Event], None]]:
    """Show a bar with time left, trials done, the best score so far and the families that run; without a terminal, a line now and then."""
    if quiet:
        yield lambda _: None
        return
    if not err.is_terminal:
        yield _telling_skips(_sparse_lines(title))
        return
    progress = Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[left]} left"),
        TextColumn("{task.fields[facts]}"),
        console=err,
        transient=True,
    )
    task = progress.add_task(title, total=None, left="", facts="")
    begun = time.monotonic()

    def show(event: Event) -> None:
        passed = time.monotonic() - begun
        progress.update(task, completed=passed, total=passed + event["left_s"], left=clock(event["left_s"]), facts=_facts(event))

    with progress:
        yield _telling_skips(show)


def _telling_skips(show: Callable[[Event], None]) -> Callable[[Event], None]:
    """Log every family that is left out, beside the progress."""

    def tell(event: Event) -> None:
        if event["event"] == "skip":
            err.print(f"{event['family']} left out: {event['reason']}", markup=False, style="dim")
        show(event)

    return tell


def _sparse_lines(title: str) -> Callable[[Event], None]:
    """Log a progress line at most every ten seconds: for files and pipes."""
    last = [time.monotonic()]

    def show(event: Event) -> None:
        if time.monotonic() - last[0] >= 10:
            last[0] = time.monotonic()
            err.print(f"{title}: {clock(event['left_s'])} left, {_facts(event)}", markup=False)

    return show


def _facts(event: Event) -> str:
    best = "" if event.get("best") is None else f", best {event['best']:.4f} ({event['best_family']})"
    running = f", running {', '.join(event['running'])}" if event.get("running") else ""
    return f"{event['done']} trials{best}{running}"


def clock(duration_s: float) -> str:
    """Write seconds as minutes and seconds."""
    return f"{int(duration_s) // 60}:{int(duration_s) % 60:02d}"
