"""Charts as plain SVG and HTML: no script, no address, and one drawing for every width of screen.

The drawing area is stretched to the room there is (``preserveAspectRatio="none"``) while strokes keep their width on the screen; all text stands
beside it as HTML, placed in percent, so that it is as large on a telephone as on a desk. A dot is a line of no length with round ends. Colours
are classes, which the page's style names for a light and a dark background.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

SIZE = 1000.0  # units of the drawing area, either way
TICKS = 5  # about so many on an axis
MARGIN = 0.04  # of the range, above and below what is drawn

Form = Callable[[float], str]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What is drawn over x, under one name in the legend; without a name it is not in there.

    Parameters
    ----------
    x, y
        Positions; a y that is None or not finite leaves a gap.
    low
        Lower edge of a band whose upper edge is ``y``; empty: no band.
    shape
        ``"line"``, ``"dots"`` or ``"band"``.
    tone
        Class of its colour, ``t0`` to ``t5``, or ``quiet``.
    titles
        What a dot says under the pointer, one a dot.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    low: Sequence[float] = ()
    shape: str = "line"
    tone: str = "t0"
    titles: Sequence[str] = field(default_factory=tuple)


def chart(label: str, marks: Sequence[Mark], *, x_name: str, y_name: str, x_form: Form | None = None, y_form: Form | None = None) -> str:
    """Draw marks over common axes.

    Parameters
    ----------
    label
        What the chart shows, for those who cannot see it.
    x_form, y_form
        Write a position on an axis; by default as a number.
    """
    x_low, x_high = _range(value for mark in marks for value in mark.x)
    y_low, y_high = _range(value for mark in marks for value in (*mark.y, *mark.low))
    y_low, y_high = y_low - MARGIN * (y_high - y_low), y_high + MARGIN * (y_high - y_low)

    def right(x: float) -> float:
        return SIZE * (x - x_low) / (x_high - x_low)

    def down(y: float) -> float:
        return SIZE * (y_high - y) / (y_high - y_low)

    x_ticks = ticks(x_low, x_high) if x_form is None else [x_low + share * (x_high - x_low) / (TICKS - 1) for share in range(TICKS)]
    y_ticks = ticks(y_low, y_high)
    write_x, write_y = x_form or _number_by(x_ticks), y_form or _number_by(y_ticks)
    rules = "".join(f'<path class="rule" d="M0 {down(y):.1f}H{SIZE:.0f}"/>' for y in y_ticks)
    drawn = "".join(_draw(mark, right, down) for mark in marks)
    y_texts = "".join(f'<span style="top:{down(y) / 10:.2f}%">{escape(write_y(y))}</span>' for y in y_ticks)
    x_texts = "".join(f'<span style="left:{right(x) / 10:.2f}%">{escape(write_x(x))}</span>' for x in x_ticks)
    keys = "".join(f'<li><i class="{mark.tone} {mark.shape}"></i>{escape(mark.name)}</li>' for mark in marks if mark.name)
    return (
        f'<div class="chart" role="img" aria-label="{escape(label)}"><ul class="legend">{keys}</ul><p class="unit">{escape(y_name)}</p>'
        f'<div class="area"><div class="ys">{y_texts}</div><svg viewBox="0 0 {SIZE:.0f} {SIZE:.0f}" preserveAspectRatio="none">{rules}{drawn}</svg>'
        f'<div class="xs{" dates" if x_form else ""}">{x_texts}</div></div><p class="unit x">{escape(x_name)}</p></div>'
    )


def bars(label: str, rows: Iterable[tuple[str, float, str]], full: float = 0.0) -> str:
    """Draw horizontal bars: rows of a name, a length and what is written at its end; a length below zero counts as none.

    Parameters
    ----------
    full
        Length that takes all the room there is, such as 1 for shares of a whole; without one it is that of the longest.
    """
    rows = list(rows)
    longest = full or max((length for _, length, _ in rows), default=0.0) or 1.0
    drawn = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td class="bar"><i style="width:{100 * max(length, 0.0) / longest:.1f}%"></i></td>'
        f"<td>{escape(text)}</td></tr>"
        for name, length, text in rows
    )
    return f'<table class="bars" aria-label="{escape(label)}"><tbody>{drawn}</tbody></table>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Lay out a table; the columns named in ``left`` hold text, the others figures."""
    places = ["text" if place in left else "figure" for place in range(len(head))]
    top = "".join(f'<th class="{place}">{escape(name)}</th>' for name, place in zip(head, places, strict=True))
    body = "".join(
        "<tr>" + "".join(f'<td class="{place}">{escape(cell)}</td>' for cell, place in zip(row, places, strict=True)) + "</tr>" for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def ticks(low: float, high: float) -> list[float]:
    """Round positions in a range, 1, 2 or 5 times a power of ten apart.

    >>> ticks(0.0, 1.0), ticks(-3.0, 12.0)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0, 5.0, 10.0])
    """
    raw = (high - low) / TICKS
    exponent = math.floor(math.log10(raw))
    power = 10.0**exponent
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= 0.9 * raw)
    first = math.ceil(low / step - 1e-9)
    return [round(place * step, max(0, -exponent)) for place in range(first, math.floor(high / step + 1e-9) + 1)]


def _draw(mark: Mark, right: Callable[[float], float], down: Callable[[float], float]) -> str:
    """Draw one mark."""
    points = [None if y is None or not math.isfinite(y) else (right(x), down(y)) for x, y in zip(mark.x, mark.y, strict=True)]
    if mark.shape == "band":
        back = [(right(x), down(y)) for x, y in zip(reversed(mark.x), reversed(mark.low), strict=True)]
        return f'<path class="band {mark.tone}" d="M{_joined([*(point for point in points if point), *back])}Z"/>'
    if mark.shape == "dots":
        titles = mark.titles or [""] * len(points)
        return "".join(
            f'<path class="dots {mark.tone}" d="M{_joined([point])}h0">{f"<title>{escape(title)}</title>" if title else ""}</path>'
            for point, title in zip(points, titles, strict=True)
            if point is not None
        )
    stretches: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if point is not None:
            stretches[-1].append(point)
        elif stretches[-1]:
            stretches.append([])
    return f'<path class="line {mark.tone}" d="{"".join(f"M{_joined(stretch)}" for stretch in stretches if stretch)}"/>'


def _joined(points: Iterable[tuple[float, float]]) -> str:
    """Write points as a path does."""
    return "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _range(values: Iterable[float | None]) -> tuple[float, float]:
    """Smallest and largest known value, apart from each other."""
    known = [float(value) for value in values if value is not None and math.isfinite(value)] or [0.0]
    low, high = min(known), max(known)
    return (low, high) if high > low else (low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0))


def _number_by(positions: Sequence[float]) -> Form:
    """Write numbers with as many places as tell the positions apart."""
    step = min((b - a for a, b in pairwise(positions)), default=1.0)
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    return lambda value: f"{value:,.{places}f}"
