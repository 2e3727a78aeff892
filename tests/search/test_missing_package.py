"""A family whose package is not installed is left out of a search with its reason; a space that is wrong still ends it."""

import dataclasses
import os
import sys

import pytest

from ensemble_forecast.search.worker import Worker, write_panel

SETTING = {"metric": "sql", "share_bytes": 2**40}


@pytest.fixture
def worker(run_folder, panel, task, plan_spec, tmp_path):
    write_panel(tmp_path / "panel.npz", panel)
    told = {"run": str(run_folder.path), "panel": str(tmp_path / "panel.npz"), "task": dataclasses.asdict(task), "plan_spec": plan_spec}
    return Worker(os.open(os.devnull, os.O_WRONLY), SETTING | told)


def open_family(worker, table):
    job = {"job": "open", "id": "open-ces", "family": "ces", "source": {"ces": table}, "where": "mine.toml", "transforms": ["none", "log"]}
    return worker.do(job)


def test_a_family_without_its_package_cannot_be_opened_and_says_what_to_install(worker, monkeypatch):
    assert open_family(worker, {})["state"] == "finished"
    monkeypatch.setitem(sys.modules, "statsforecast", None)
    answer = open_family(worker, {"portfolio": [{"transform": "log"}]})
    assert (answer["state"], answer["reason"]) == ("failed", "learner 'ces' needs statsforecast; install ensemble-forecast[statistical]")


def test_a_table_that_is_wrong_is_refused_all_the_same(worker):
    assert open_family(worker, {"seasonality": "Z"})["state"] == "refused"
