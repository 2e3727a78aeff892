"""Searches that join a study on a real PostgreSQL server, which they may lose, and each other too."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import odd
import postgres
import pytest

from ensemble_forecast import ledger
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.store import RunFolder

pytestmark = pytest.mark.soak

SCRIPT = Path(__file__).parents[1] / "shared_search.py"
AWAY_S = 20


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("psycopg", reason="needs ensemble-forecast[distributed]")
    if postgres.programs() is None:
        pytest.skip(postgres.HOW_TO_GET_IT)
    with postgres.server() as running:
        yield running


@pytest.fixture
def begin(server, tmp_path):
    """Begin searches of a study that are to run so many trials between them."""
    begun = []

    def begin(name, n_trials, sleeps_s=0.2):
        command = [sys.executable, str(SCRIPT), str(tmp_path / name), server.url, str(n_trials), str(sleeps_s)]
        environment = os.environ | odd.environment(tmp_path / "python")
        begun.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True))
        return begun[-1]

    yield begin
    for process in begun:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for(folder, n_finished):
    patience = Deadline.after(120)
    while len(folder.candidate_ids()) < n_finished:
        assert not patience.passed(), f"{len(folder.candidate_ids())} of {n_finished} trials have finished"
        time.sleep(0.1)


def assert_each_finished_once(folder, n_trials):
    done = [line for line in folder.ledger() if line["state"] == "finished"]
    assert sorted(line["params"]["tag"] for line in done) == list(range(n_trials))
    assert sorted(line["id"] for line in done) == folder.candidate_ids()


def ended(process):
    said, complained = process.communicate(timeout=180)
    assert process.returncode == 0, complained
    return [int(word) for word in said.split()]


def test_searches_share_the_trials_and_each_runs_once(begin, tmp_path, server):
    both = [begin("shared", 20) for _ in range(2)]
    new = [ended(process) for process in both]
    folder = RunFolder(tmp_path / "shared")
    assert_each_finished_once(folder, 20)
    assert sum(count for count, _ in new) == 20
    assert all(finished == 20 for _, finished in new)
    assert len(ledger.files(folder.path)) == 2
    assert server.ask("SELECT count(*) FROM trials WHERE state = 'RUNNING'") == "0"


def test_what_a_killed_search_ran_is_done_by_the_other(begin, tmp_path):
    one, two = begin("killed", 16, 0.5), begin("killed", 16, 0.5)
    folder = RunFolder(tmp_path / "killed")
    wait_for(folder, 6)
    os.killpg(one.pid, signal.SIGKILL)
    ended(two)
    assert_each_finished_once(folder, 16)
    assert {line["reason"] for line in folder.ledger() if line["state"] == "stale"} <= {"its search died", "interrupted before it began"}


def test_searches_wait_for_a_server_that_is_away_and_go_on(begin, tmp_path, server):
    both = [begin("away", 24, 0.5) for _ in range(2)]
    folder = RunFolder(tmp_path / "away")
    wait_for(folder, 4)
    server.stop()
    time.sleep(AWAY_S)
    server.start()
    for process in both:
        ended(process)
    assert_each_finished_once(folder, 24)
    assert {line["state"] for line in folder.ledger()} == {"finished"}


def test_four_searches_finish_three_times_as_much_where_trials_wait_for_something_else(begin, tmp_path):
    """In the seconds in which all four were at work, against one alone."""
    ended(begin("alone", 4, 1.5))
    alone = [line for line in RunFolder(tmp_path / "alone").ledger() if line["state"] == "finished"]
    for process in [begin("four", 20, 1.5) for _ in range(4)]:
        ended(process)
    of_each = [ledger.read([path]) for path in ledger.files(tmp_path / "four")]
    assert len(of_each) == 4
    since = max(ledger.ended_at(lines[0]) for lines in of_each)
    until = min(ledger.ended_at(lines[-1]) for lines in of_each)
    together = sum(since < ledger.ended_at(line) <= until for lines in of_each for line in lines) / (until - since)
    assert together >= 3 * (len(alone) - 1) / (ledger.ended_at(alone[-1]) - ledger.ended_at(alone[0]))
