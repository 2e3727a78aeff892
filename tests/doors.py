"""Tables drawn at random, sound and spoilt, for the door of the data: what is read must be what was written, or refused."""

import contextlib
import datetime
import io
from dataclasses import dataclass

import numpy as np
import pandas as pd
from commands import typed
from hypothesis import strategies as st

from ensemble_forecast.data.columns import Columns
from ensemble_forecast.data.files import read_table
from ensemble_forecast.data.frames import to_panel
from ensemble_forecast.errors import BadInput

FREQS = ("D", "h", "15min", "W-MON", "MS", "ME", "QS", "B", "YS")
STYLES = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y/%m/%d %H:%M:%S", "%d.%m.%Y %H:%M:%S")
NUMBERS = st.one_of(
    st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3)),
    st.integers(-(10**9), 10**9).map(float),
    st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False, min_value=-1e300, max_value=1e300),
)
NAMES = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), min_size=1, max_size=8)
JUNK = ("n.a.", "12a", "--", "#REF!", "=1+1", "1e999", "inf", "-inf", "1.2.3", "NaT", "0x10", "\u2212", " ", "'", "1e400000")
ODDLY = {"True": 1.0, "1_0": 10.0, "\u0663": 3.0, "$5": 5.0, "\u22127": -7.0}  # what such cells say
WRONG_STAMPS = ("", "yesterday", "2024-02-30", "0000-00-00", "99999-01-01", "2024-13-01", "1", "-1", "12:30", "9999-12-31", "1677-01-01", "1e18")


@dataclass
class Drawn:
    """A table as rows of (series, stamp, value), how it is spoilt (empty: not at all), and how it is written."""

    rows: list
    spoilt: str
    frame: pd.DataFrame
    content: bytes
    suffix: str

    def __repr__(self):
        return f"Drawn(spoilt={self.spoilt!r}, suffix={self.suffix!r}, {len(self.content)} bytes, frame=\n{self.frame.head(30)})"


@st.composite
def tables(draw):
    """Draw a table of one to three series on a calendar, perhaps spoil it, and write it in some style."""
    freq = draw(st.sampled_from(FREQS))
    names = draw(st.lists(NAMES.filter(str.strip), min_size=1, max_size=3, unique_by=lambda name: name.strip()))
    start = draw(st.datetimes(datetime.datetime(1970, 1, 2), datetime.datetime(2100, 1, 1))).replace(microsecond=0)
    rows = []
    for name in names:
        stamps = pd.date_range(start if freq in {"h", "15min"} else pd.Timestamp(start).normalize(), periods=draw(st.integers(5, 24)), freq=freq)
        values = draw(st.lists(NUMBERS, min_size=len(stamps), max_size=len(stamps)))
        values[0] = values[1] + 1 if values[0] == values[1] and abs(values[1]) < 1e15 else values[0]
        rows += [(name, stamp, value) for stamp, value in zip(stamps, values, strict=True)]
    frame = pd.DataFrame(rows, columns=["unique_id", "ds", "y"])
    if len(names) == 1 and draw(st.booleans()):
        frame = frame.drop(columns="unique_id")
    spoilt = draw(st.sampled_from(["", "", *SPOILS]))
    frame = frame.astype(object) if spoilt else frame
    if spoilt:
        frame = SPOILS[spoilt](draw, frame)
    suffix = draw(st.sampled_from([".csv", ".csv", ".parquet"])) if frame.columns.is_unique else ".csv"
    content = parquet(draw, frame) if suffix == ".parquet" else csv(draw, frame)
    if not spoilt and draw(st.integers(0, 3)) == 0:
        spoilt, content = "its bytes", damage(draw, content)
    return Drawn(rows, spoilt, frame, content, suffix)


def csv(draw, frame):
    """Write a table as people do."""
    style = draw(st.sampled_from(STYLES))
    delimiter = draw(st.sampled_from(",;\t|"))
    text = frame.map(lambda cell: cell.strftime(style) if isinstance(cell, pd.Timestamp) else cell)
    written = text.to_csv(index=False, sep=delimiter, decimal="," if delimiter == ";" else ".", lineterminator=draw(st.sampled_from(["\n", "\r\n"])))
    return written.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])))


def parquet(draw, frame):
    """Write a table as parquet; what has no one type there becomes text."""
    made = io.BytesIO()
    indexed = "unique_id" not in frame and "ds" in frame and draw(st.booleans())
    typed_frame = frame.infer_objects()
    for name in typed_frame.select_dtypes(object):
        typed_frame[name] = typed_frame[name].map(str)
    (typed_frame.set_index("ds") if indexed else typed_frame).to_parquet(made)
    return made.getvalue()


def damage(draw, content):
    """Cut a file, or change some of its bytes."""
    if draw(st.booleans()):
        return content[: draw(st.integers(0, len(content) - 1))]
    spoilt = bytearray(content)
    for place in draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=5)):
        spoilt[place] = draw(st.integers(0, 255))
    return bytes(spoilt)


def put(column, cells):
    """Return a way to spoil: write one of some cells somewhere in a column."""

    def spoil(draw, frame):
        frame.iloc[draw(st.integers(0, len(frame) - 1)), frame.columns.get_loc(column)] = draw(st.sampled_from(cells))
        return frame

    return spoil


def repeat(draw, frame):
    return frame.iloc[sorted([*range(len(frame)), draw(st.integers(0, len(frame) - 1))])]


def leave_out(draw, frame):
    return frame.drop(frame.index[draw(st.integers(1, len(frame) - 2))])


def shuffle(draw, frame):
    return frame.iloc[draw(st.permutations(range(len(frame))))]


def double_name(draw, frame):
    names = ["y", "Y", "ds", "", *(["unique_id", "id"] if "unique_id" in frame else [])]  # else it would say which series there are
    return pd.concat([frame, frame[["y"]].rename(columns={"y": draw(st.sampled_from(names))})], axis=1)


def without(draw, frame):
    return frame.drop(columns=draw(st.sampled_from(list(frame.columns))))


def move(draw, frame):
    place = draw(st.integers(0, len(frame) - 1))
    frame.iloc[place, frame.columns.get_loc("ds")] += pd.Timedelta(seconds=draw(st.integers(1, 10**6)))
    return frame


SPOILS = {
    "a cell that is no number": put("y", JUNK),
    "a number in odd writing": put("y", list(ODDLY)),
    "a value that is none": put("y", [None, np.nan, np.inf, -np.inf]),
    "a stamp that is none": put("ds", WRONG_STAMPS),
    "a stamp from far away": put("ds", [pd.Timestamp("1700-01-01"), pd.Timestamp("2261-01-01")]),
    "a repeated row": repeat,
    "a missing row": leave_out,
    "rows in disorder": shuffle,
    "a column too many": double_name,
    "a column too few": without,
    "a moved stamp": move,
    "no rows": lambda _, frame: frame.iloc[:0],
    "one row": lambda _, frame: frame.iloc[:1],
}


def expected(drawn):
    """What the rows say: value by (series, stamp); of a single series without a name, by stamp alone."""
    return {(str(name).strip(), stamp): value for name, stamp, value in drawn.rows}


def read_back(panel):
    """What a panel says, in the same form."""
    found = {}
    for index, name in enumerate(panel.ids):
        for stamp, value in zip(panel.stamps(index, 0, int(panel.lengths_S[index])), panel.values(index), strict=True):
            found[name.strip(), stamp] = value
    return found


def check(drawn, folder):
    """Demand: the doctor ends with 0 or 2 and without a traceback; what is accepted holds the numbers that were written, and no others."""
    path = folder / f"data{drawn.suffix}"
    path.write_bytes(drawn.content)
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        code = typed("doctor", "--data", path, "--json")
    told = told.getvalue()
    assert code in (0, 2), told
    assert "Traceback" not in told
    assert told.strip(), "it says nothing"
    panels = [table_of(lambda: read_table(path)), table_of(lambda: drawn.frame)]
    if not drawn.spoilt:
        assert all(panels) or is_dull(drawn), "a sound table is refused"
    for panel in panels if drawn.spoilt != "its bytes" else panels[1:]:
        if panel is not None:
            assert_unchanged(panel, drawn)
    if panels[0] is not None:
        assert code == 0, f"the doctor complains of what the door accepts: {told}"


def table_of(read):
    """Take a frame through the door; None where it is refused in one line."""
    try:
        return to_panel(read(), Columns())
    except BadInput as refusal:
        message = str(refusal)
    assert message.strip()
    assert "\n" not in message, message
    return None


def is_dull(drawn):
    """Whether a single series is constant, which is refused."""
    return len({name for name, *_ in drawn.rows}) == 1 and len({value for *_, value in drawn.rows}) == 1


def assert_unchanged(panel, drawn):
    """Every number that came in is one that was written there."""
    truth, found = expected(drawn), read_back(panel)
    if len(panel.ids) == 1:
        truth = {stamp: value for (_, stamp), value in truth.items()} if len({name for name, _ in truth}) == 1 else truth
        found = {stamp: value for (_, stamp), value in found.items()} if truth and not isinstance(next(iter(truth)), tuple) else found
    if not drawn.spoilt:
        assert found == truth, {place: (found.get(place), truth.get(place)) for place in found.keys() | truth if found.get(place) != truth.get(place)}
    also = ODDLY.values() if drawn.spoilt == "a number in odd writing" else ()
    for place, value in found.items():
        assert np.isnan(value) or value == truth.get(place) or value in also, f"{place}: {value!r} was never written there; {truth.get(place)!r} was"
