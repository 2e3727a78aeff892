import re
from itertools import pairwise

import pytest

from ensemble_forecast.report.chart import Mark, bars, chart, table, ticks


def drawn(*marks, **names):
    return chart("what it shows", marks, x_name="x", y_name="y", **names)


def paths(page, shape):
    return re.findall(rf'<path class="{shape} \w+" d="([^"]*)"', page)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 12), (0.001, 0.0012), (1e6, 3e9), (99_999, 100_001), (-1e-9, 1e-9)])
def test_ticks_are_few_even_and_inside(low, high):
    found = ticks(low, high)
    steps = {round((b - a) / (found[1] - found[0]), 6) for a, b in pairwise(found)}
    assert 2 <= len(found) <= 8
    assert steps == {1}
    assert low <= found[0]
    assert found[-1] <= high


def test_a_line_lies_where_its_values_are():
    page = drawn(Mark(name="a", x=[0, 5, 10], y=[2.0, 4.0, 3.0]))
    (path,) = paths(page, "line")
    points = [tuple(map(float, point.split())) for point in path.removeprefix("M").split("L")]
    assert [x for x, _ in points] == [0, 500, 1000]
    (_, first), (_, second), (_, third) = points
    assert second < third < first, "up is up"
    assert (first - third) == pytest.approx(third - second, abs=0.2)
    assert 0 < second < 50
    assert 950 < first < 1000


def test_what_is_missing_leaves_a_gap():
    (path,) = paths(drawn(Mark(name="a", x=range(5), y=[1.0, 2.0, None, float("nan"), 3.0])), "line")
    assert path.count("M") == 2
    assert path.count("L") == 1
    assert "nan" not in path


def test_a_band_goes_there_and_back():
    (path,) = paths(drawn(Mark(name="b", x=[0, 1], y=[3.0, 4.0], low=[1.0, 2.0], shape="band")), "band")
    xs = [float(point.split()[0]) for point in path.removeprefix("M").removesuffix("Z").split("L")]
    assert xs == [0, 1000, 1000, 0]


def test_a_dot_says_what_it_is():
    page = drawn(Mark(name="d", x=[1, 2], y=[1.0, 2.0], shape="dots", titles=["one", "<two>"]))
    assert len(paths(page, "dots")) == 2
    assert "<title>&lt;two&gt;</title>" in page


@pytest.mark.parametrize("y", [[5.0], [5.0, 5.0], [0.0, 0.0], [None, None], [-1e-12, -1e-12]])
def test_a_constant_or_nothing_at_all_is_drawn_too(y):
    page = drawn(Mark(name="flat", x=range(len(y)), y=y))
    assert "nan" not in page
    assert len(re.findall(r'<div class="ys">(<span.*?</span>){2,}</div>', page)) == 1


def test_labels_of_an_axis_differ():
    for low, high in [(0.8161, 0.8163), (83_000, 91_000), (0, 1)]:
        labels = re.findall(r'style="top:[^"]*">([^<]*)<', drawn(Mark(name="a", x=[0, 1], y=[low, high])))
        assert len(set(labels)) == len(labels) > 1


def test_bars_are_as_long_as_their_values_and_never_negative():
    page = bars("b", [("<a>", 4.0, "four"), ("b", 1.0, "one"), ("c", -2.0, "less")])
    assert re.findall(r"width:([\d.]+)%", page) == ["100.0", "25.0", "0.0"]
    assert "&lt;a&gt;" in page
    assert "width:0.0%" in bars("none", [("a", 0.0, "nothing")])
    assert re.findall(r"width:([\d.]+)%", bars("shares", [("a", 0.48, "48 %")], full=1)) == ["48.0"]


def test_a_table_escapes_and_sets_figures_right():
    page = table(["name", "value"], [("<b>", "1 & 2")])
    assert '<td class="text">&lt;b&gt;</td><td class="figure">1 &amp; 2</td>' in page
