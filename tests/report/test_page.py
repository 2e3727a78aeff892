"""The page: complete, escaped, in need of nothing; and its numbers are those of the terminal."""

import json
import re
import shutil
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from commands import typed

from ensemble_forecast import overview
from ensemble_forecast.findings.run import findings
from ensemble_forecast.pipeline import check
from ensemble_forecast.report.page import SECTIONS, to_page
from ensemble_forecast.study import open_study, reopen, silent

VOID = {"meta", "br", "link", "img"}
DROPPED = {"bare": ("ensemble", "judged", "verdict.json"), "stacked": ("verdict.json",)}


class Balance(HTMLParser):
    """Tags that were opened and closed in order; text and attributes as they are read."""

    def __init__(self, page):
        super().__init__()
        self.open, self.text, self.tags, self.values = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.values += [value for _, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def told(smoke_home):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(smoke_home)
        return findings(reopen("smoke", Path("runs"), log=silent))


@pytest.fixture(scope="module")
def page(told):
    return to_page(told)


def section(page, name):
    return unescape(re.search(rf'<section id="{name}">(.*?)</section>', page, re.DOTALL).group(1))


def test_the_page_is_whole_small_and_asks_for_nothing(page):
    read = Balance(page)
    assert read.open == []
    assert len(page.encode()) < 300_000, "far below the 6 MB that it may weigh"
    assert not {"script", "link", "img", "iframe"} & set(read.tags)
    assert not [value for value in read.values if value and ("//" in value or "url(" in value)]
    assert not re.search(r"url\(|@import|https?:", re.search(r"<style>(.*?)</style>", page, re.DOTALL).group(1))
    assert re.findall(r'<section id="([^"]*)"', page) == [name.lower() for name in SECTIONS]
    for name in ("verdict", "forecast", "ensemble", "reliability", "error", "trading"):
        assert 'class="missing"' not in section(page, name), "all is there once a study is judged"


def test_its_records_are_those_of_the_terminal(told, smoke_home, monkeypatch, capsys):
    monkeypatch.chdir(smoke_home)
    folder = reopen("smoke", Path("runs"), log=silent).folder
    verdict = json.loads((smoke_home / "runs/smoke/verdict.json").read_text())
    assert told["search"]["board"] == overview.leaderboard(folder)
    assert told["status"] == overview.status("smoke", Path("runs"))
    assert {key: told["verdict"][key] for key in verdict if key not in ("backtest", "openings", "opened_at")} == {
        key: value for key, value in verdict.items() if key not in ("backtest", "openings", "opened_at")
    }
    assert told["verdict"]["backtest"]["table"] == verdict["backtest"]["table"]
    manifest = json.loads((smoke_home / "runs/smoke/ensemble/manifest.json").read_text())["manifest"]
    assert [told["members"][key] for key in ("combiner", "contest")] == [manifest[key] for key in ("combiner", "contest")]
    assert {member["id"]: member["weight"] for member in told["members"]["members"]} == {own["id"]: own["weight"] for own in manifest["members"]}
    assert typed("predict", "--study", "smoke", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["forecast"]
    (series,) = told["ahead"]["series"]
    assert series["future"]["0.9"] == pytest.approx([row["0.9"] for row in rows])
    assert [stamp[:10] for stamp in series["future"]["ds"]] == [row["ds"][:10] for row in rows]


def test_the_page_writes_these_numbers(told, page):
    assert told["verdict"]["sentence"] in section(page, "verdict")
    for row in [row for row in told["search"]["board"] if row["state"] == "finished"][:20]:
        assert f">{row['id']}<" in section(page, "leaderboard")
        assert f">{row['value']:.4f}<" in section(page, "leaderboard")
    for member in told["members"]["members"]:
        assert f"{member['id']}</th>" in section(page, "ensemble")
    assert f"members: {told['members']['effective_number']:.1f}" in section(page, "ensemble")
    for row in told["verdict"]["backtest"]["table"]:
        assert f">{row['forecast']['net_return']:+.1%}<" in section(page, "trading")
    for row in told["search"]["costs"]:
        assert f">{row['seconds']:.1f}<" in section(page, "cost")


def test_an_equity_curve_ends_at_the_net_return_and_at_the_last_stamp(told):
    backtest = told["verdict"]["backtest"]
    assert len(backtest["stamps"]) == len(backtest["shown"])
    assert backtest["stamps"][-1].startswith("2025-04-11"), "the newest row of the sample"
    for row in backtest["table"]:
        assert row["forecast"]["equity"][-1] - 1 == pytest.approx(row["forecast"]["net_return"])


@pytest.mark.parametrize(("state", "verb"), [("bare", "stack"), ("stacked", "evaluate")])
def test_what_is_not_there_yet_is_said_with_the_command_to_type(smoke_home, tmp_path, monkeypatch, state, verb):
    shutil.copytree(smoke_home / "runs/smoke", tmp_path / "runs" / state)
    for name in DROPPED[state]:
        path = tmp_path / "runs" / state / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    monkeypatch.chdir(tmp_path)
    assert typed("report", "--study", state) == 0
    page = (tmp_path / "runs" / state / "report.html").read_text()
    assert Balance(page).open == []
    assert f"python -m ensemble_forecast {verb} --study {state}" in section(page, "verdict")
    assert 'class="chart"' in section(page, "search")
    assert 'class="chart"' in section(page, "reliability"), "the best candidate's, where there is no ensemble"
    assert ('class="chart"' in section(page, "forecast")) == (state == "stacked")
    assert not (tmp_path / "runs" / state / "verdict.json").exists(), "nothing was opened"


def test_a_study_without_a_single_trial_has_a_page_too(tmp_path):
    pipeline = check({"source": "btc_usd_daily", "target": "close", "horizon": 7, "test": 0.2}, "test")
    page = to_page(findings(open_study("empty", tmp_path, pipeline, log=silent)))
    assert Balance(page).open == []
    for name in ("leaderboard", "search"):
        assert "No trial has finished yet" in section(page, name)
    assert "no candidate" in section(page, "error")


def test_an_ensemble_that_cannot_be_read_is_told_and_the_rest_shown(smoke_home, tmp_path, monkeypatch):
    shutil.copytree(smoke_home / "runs/smoke", tmp_path / "runs/broken")
    (tmp_path / "runs/broken/ensemble/stray.txt").write_text("")
    monkeypatch.chdir(tmp_path)
    assert typed("report", "--study", "broken", "--out", "page.html") == 0
    page = (tmp_path / "page.html").read_text()
    assert "stray.txt does not belong to this artefact" in section(page, "ensemble")
    assert 'class="verdict' in section(page, "verdict")


def test_names_from_users_stay_text(told):
    danger = "<script>alert('x')</script>&\""
    hostile = json.loads(json.dumps(told))
    hostile["status"]["study"] = hostile["settings"]["target"] = hostile["settings"]["pipeline"] = danger
    hostile["ahead"]["series"][0]["id"] = hostile["members"]["members"][0]["id"] = hostile["verdict"]["sentence"] = danger
    hostile["search"]["importance"] = {danger: {danger: 1.0}}
    for row in (hostile["search"]["board"][0], hostile["search"]["history"][0], hostile["search"]["costs"][0]):
        row |= {key: danger for key in ("id", "family") if key in row}
    hostile["search"]["failures"] = [{"state": "failed", "count": 1, "families": [danger], "reason": danger, "id": danger}]
    hostile["search"]["transfers"] = [danger]
    hostile["drivers"]["permutation"] = {
        "reason": None, "id": danger, "loss": 1.0, "origins": 3, "left": 2, "rows": [{"name": danger, "loss": 1.0, "share": 0.1, "spread": 0.1}],
    }  # fmt: skip
    page = to_page(hostile)
    read = Balance(page)
    assert read.open == []
    assert "script" not in read.tags
    assert "".join(read.text).count(danger) >= 12


def test_a_page_needs_a_name_that_a_browser_opens(smoke_home, monkeypatch, capsys):
    monkeypatch.chdir(smoke_home)
    assert typed("report", "--study", "smoke", "--out", "page.pdf") == 2
    assert "ending in .html" in capsys.readouterr().err


def test_the_verb_says_where_it_wrote(smoke_home, monkeypatch, capsys):
    monkeypatch.chdir(smoke_home)
    assert typed("report", "--study", "smoke", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer == {"study": "smoke", "report": "runs/smoke/report.html", "bytes": Path("runs/smoke/report.html").stat().st_size}
