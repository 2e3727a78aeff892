"""The report in a real browser: nothing in the console, every chart drawn, nothing cut off on a telephone."""

import json
import re

import pytest
from browser import browser
from commands import typed

pytestmark = pytest.mark.soak

TELEPHONE, DESK = 360, 1280
SIZES = "[...document.querySelectorAll('{}')].map(each => {{const box = each.getBoundingClientRect(); return [box.width, box.height]}})"
OVERLAPS = """[...document.querySelectorAll('.xs, .ys')].flatMap(axis => {
  const boxes = [...axis.children].map(each => each.getBoundingClientRect()).filter(box => box.width);
  return boxes.flatMap((a, i) => boxes.slice(i + 1).filter(b => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom));
}).length"""


SMALLEST = "Math.min(...[...document.querySelectorAll('.area span')].map(each => parseFloat(getComputedStyle(each).fontSize)))"


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(smoke_home):
    path = smoke_home / "browser.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(smoke_home)
        assert typed("report", "--study", "smoke", "--out", path) == 0
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [TELEPHONE, DESK])
def test_the_report_opens_without_a_word_and_asks_for_nothing_else(tab, page, width, scheme):
    tab.open(page, width, scheme=scheme)
    assert tab.complaints() == []
    assert tab.addresses() == [page.resolve().as_uri()]
    red, green, blue = map(int, re.findall(r"\d+", tab.value("getComputedStyle(document.body).backgroundColor")))
    assert (red + green + blue > 600) == (scheme == "light")


@pytest.mark.parametrize("width", [TELEPHONE, DESK])
def test_every_chart_is_drawn_and_nothing_is_cut_off(tab, page, width):
    tab.open(page, width)
    charts, marks = tab.value(SIZES.format(".area svg")), tab.value(SIZES.format(".area svg .line, .area svg .band"))
    assert len(charts) == 7, "forecast, history, two of reliability, error by horizon and over time, equity"
    assert all(breadth > 0.6 * min(width, 992) and height > 150 for breadth, height in charts)
    assert len(marks) > 2 * len(charts)
    assert all(breadth > 5 for breadth, _ in marks)
    dots = tab.value(SIZES.format(".area svg .dots"))
    assert len(dots) > 3
    bars = tab.value(SIZES.format(".bar i"))
    assert max(breadth for breadth, _ in bars) > 0.2 * min(width, 992)
    assert tab.value("document.documentElement.scrollWidth") <= width, "nothing but wide tables scrolls sideways"
    assert tab.value(SMALLEST) >= 11, "pixels"
    assert tab.value(OVERLAPS) == 0, "no two labels of an axis lie on each other"


def test_the_policy_of_the_page_stops_what_escaping_would_have_missed(tab, page, tmp_path):
    name = "<img src=x onerror=alert(1)>"
    text = page.read_text().replace("Study smoke", f"Study {name}")
    assert name in text
    (tmp_path / "hostile.html").write_text(text)
    tab.open(tmp_path / "hostile.html", DESK)
    assert "Content Security Policy" in json.dumps(tab.complaints())
    assert not [event for event in tab.events if event["method"] == "Page.javascriptDialogOpening"]
