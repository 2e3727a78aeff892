"""Whole searches on a simulated clock: workers whose trials take exactly as long as they are told to."""

import types

import numpy as np
import pytest

from ensemble_forecast import deadline as clockwork
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.search.driver import search
from ensemble_forecast.search.reserve import refit_s
from ensemble_forecast.search.space import canonical
from ensemble_forecast.search.spaces import parse_space

TICK = 0.5


class Clock:
    """Seconds that pass only when told to."""

    now = 0.0

    def __call__(self):
        return self.now


class FakePool:
    """Workers that answer when the clock says so.

    Parameters
    ----------
    work_of
        (family, params) to the work a learner would claim.
    speed
        Real seconds for a unit of work.
    value_of
        (family, params) to the loss.
    """

    has_gpu = False

    def __init__(self, clock, n_workers, space, work_of, speed=1.0, value_of=lambda *_: 1.0):
        self.clock, self.n_workers, self.space, self.work_of, self.speed, self.value_of = clock, n_workers, space, work_of, speed, value_of
        self.jobs, self.begun, self.busy_s, self.killed, self.declined = {}, [], 0.0, [], 0

    def idle(self):
        return ["cpu"] * (self.n_workers - len(self.jobs))

    def too_large(self):
        return {}

    def running(self):
        return {id: self.clock.now - begun for id, (begun, _, _) in self.jobs.items()}

    def submit(self, job, device):  # noqa: ARG002
        took, answer = self._do(job)
        if job["job"] == "trial" and answer["state"] == "finished":
            self.begun.append((self.clock.now, job["family"], job["params"], took))
        self.jobs[job["id"]] = (self.clock.now, self.clock.now + took, {"event": "done", "id": job["id"], **answer})

    def poll(self, timeout_s):
        until = min([end for _, end, _ in self.jobs.values()] + [self.clock.now + timeout_s])
        self.clock.now = max(self.clock.now, until)
        ended = [id for id, (_, end, _) in self.jobs.items() if end <= self.clock.now]
        answers = []
        for id in ended:
            begun, end, answer = self.jobs.pop(id)
            self.busy_s += end - begun
            answers.append(answer)
        return answers

    def kill(self, id):
        self.killed.append(id)
        del self.jobs[id]

    def _do(self, job):
        family = job["family"]
        if job["job"] == "open":
            portfolio = self.space.portfolio(family)
            works = [self.work_of(family, params) for params in portfolio]
            return 0.01, {"state": "finished", "reason": None, "kinds": ["quantiles"], "portfolio": portfolio, "works": works}
        work = self.work_of(family, job["params"])
        if job["most_work"] is not None and work > job["most_work"]:
            self.declined += 1
            return 0.001, {"state": "declined", "reason": "too much"}
        took, value = self.speed * work, self.value_of(family, job["params"])
        told = {"windows": [value, value], "value": value, "truncated": False, "work": work, "work_s": took, "seconds": took}
        return took, {"state": "finished", "reason": None, "started": "2026-01-01T00:00:00.000+00:00", "peak_mib": 1.0, **told}


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(clockwork, "time", types.SimpleNamespace(monotonic=clock))
    return clock


@pytest.fixture
def simulate(clock, run_folder):
    """Search a space with fake workers; returns the pool and the events."""

    def simulate(tables, work_of, budget_s, *, n_workers=2, speed=1.0, value_of=lambda *_: 1.0, **how):
        space, events = parse_space(tables, "simulated.toml"), []
        pool = FakePool(clock, n_workers, space, work_of, speed, value_of)
        search(
            run_folder,
            Panel.of([np.arange(9.0)]),
            Task(horizon=2),
            {},
            space,
            deadline=Deadline(clock.now + budget_s),
            pool=pool,
            on_event=events.append,
            **how,
        )
        return pool, events

    return simulate


CHEAP = {"naive": {}, "theta": {}, "ridge": {"portfolio": [{"context": 12}, {"context": 24}, {"context": 48}, {"context": 96}]}}
DEAR = {
    "xgboost": {"portfolio": [{"rounds": 100}, {"rounds": 101}, {"rounds": 102}]},
    "mlp": {"portfolio": [{"steps": 300}, {"steps": 301}, {"steps": 302}]},
}


def leafy(family, params):
    """A loss that no two draws share."""
    return 1.0 + 0.001 * params.get("min_leaf", 1) + 0.0001 * params.get("trees", 1)


def usual_work(family, params):
    return {"naive": 0.01, "theta": 0.1, "ridge": 0.5, "xgboost": 4.0, "mlp": 6.0}[family]


def test_cheap_families_come_first_and_each_has_its_first_entry_before_any_has_its_third(simulate):
    pool, _ = simulate({**CHEAP, **DEAR}, usual_work, 100.0)
    families = [family for _, family, _, _ in pool.begun]
    assert set(families[:3]) == {"naive", "theta", "ridge"}
    assert len(families) == 12  # all of it
    thirds = [[position for position, family in enumerate(families) if family == dear][2] for dear in ("xgboost", "mlp")]
    assert max(families.index("xgboost"), families.index("mlp")) < min(thirds)
    by_5_percent = {family for begun, family, _, took in pool.begun if begun + took <= 5.0}
    assert {"naive", "theta", "ridge"} <= by_5_percent


def test_the_third_entry_waits_where_it_costs_something(simulate):
    pool, _ = simulate({"ridge": CHEAP["ridge"], **DEAR}, lambda *_: 3.0, 100.0, n_workers=1)
    families = [family for _, family, _, _ in pool.begun]
    assert families.index("mlp") < [position for position, family in enumerate(families) if family == "ridge"][2]
    assert families.index("xgboost") < [position for position, family in enumerate(families) if family == "ridge"][2]


def test_a_family_that_is_far_behind_comes_after_one_at_the_front(simulate):
    tables = {
        name: {"portfolio": [{key: low + number} for number in range(4)]} for name, key, low in (("xgboost", "rounds", 100), ("mlp", "steps", 300))
    }
    pool, _ = simulate(tables, lambda *_: 4.0, 100.0, n_workers=1, value_of=lambda family, _: {"xgboost": 1.5, "mlp": 1.0}[family])
    order = [family for _, family, _, _ in pool.begun]
    assert sorted(order[:2]) == ["mlp", "xgboost"]
    assert order[2:] == ["mlp"] * 3 + ["xgboost"] * 3


@pytest.mark.parametrize("speed", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("budget_s", [15.0, 40.0, 100.0])
def test_nothing_is_started_that_cannot_finish(simulate, budget_s, speed):
    trees = {"trees": {"low": 1, "high": 400, "log": True}, "portfolio": [{"trees": 10}, {"trees": 100}, {"trees": 400}]}
    tables = {"naive": {}, "ridge": {"past_lags": {"low": 1, "high": 14}}, "extra_trees": trees}

    def work_of(family, params):
        return {"naive": 0.01, "ridge": 0.3}.get(family) or 0.1 * params["trees"]

    pool, _ = simulate(tables, work_of, budget_s, speed=speed)
    assert pool.killed == []
    assert all(begun + took <= budget_s for begun, _, _, took in pool.begun)
    assert len(pool.begun) > 5


def test_an_entry_beyond_its_limit_is_postponed_with_a_reason_and_a_shorter_one_runs(simulate):
    tables = {"naive": {}, "mlp": {"portfolio": [{"steps": 4000}, {"steps": 300}]}}
    pool, events = simulate(tables, lambda _, params: params.get("steps", 1) / 100, 60.0)
    assert [params for _, family, params, _ in pool.begun if family == "mlp"] == [{"steps": 300}]
    told = [event for event in events if event["event"] == "postpone"]
    assert [(event["family"], event["params"]) for event in told] == [("mlp", {"steps": 4000})]
    assert "about 5" in told[0]["reason"]  # 40 s and a margin
    assert "60 s were given" in told[0]["reason"]


def test_workers_are_busy_as_long_as_draws_fit(simulate):
    trees = {"trees": {"low": 10, "high": 100}, "min_leaf": {"low": 1, "high": 100}, "portfolio": [{"trees": 50}]}
    budget_s = 60.0
    pool, _ = simulate({"extra_trees": trees}, lambda _, params: 0.05 * params["trees"], budget_s, n_workers=1, value_of=leafy)
    last = max(begun + took for begun, _, _, took in pool.begun)
    assert last > 0.9 * budget_s
    assert pool.busy_s > 0.9 * last
    assert pool.declined > 0  # some draws were too long at the end, and shorter ones took their place


@pytest.mark.parametrize(("speed", "runs"), [(1.0, True), (4.0, False)])
def test_a_slow_machine_is_found_out_by_cheap_families_before_a_dear_one_is_begun(simulate, speed, runs):
    """Six seconds of a net fit into its limit of eighteen, but not where all takes four times as long."""
    tables = {**CHEAP, "mlp": {"portfolio": [{"steps": 300}]}}
    pool, events = simulate(tables, usual_work, 60.0, speed=speed)
    assert ("mlp" in [family for _, family, _, _ in pool.begun]) is runs
    assert ("mlp" in [event["family"] for event in events if event["event"] == "postpone"]) is not runs


def test_time_is_kept_back_for_the_refits_of_what_was_found(simulate):
    budget_s, spent = 60.0, []
    holes = {"trees": {"low": 10, "high": 100}, "min_leaf": {"low": 1, "high": 100}, "portfolio": [{"trees": 50}]}

    def reserve(prospects):
        spent.append(refit_s(prospects, n_windows=2, n_workers=2))
        return spent[-1]

    tables = {"naive": {}, "extra_trees": holes}
    pool, _ = simulate(tables, lambda _, params: 0.05 * params.get("trees", 1), budget_s, reserve=reserve, value_of=leafy)
    assert pool.killed == []
    last = max(begun + took for begun, _, _, took in pool.begun)
    assert last + spent[-1] <= budget_s
    assert last + spent[-1] > 0.8 * budget_s  # and no more than that


def test_a_fixed_list_runs_in_its_order_whatever_it_costs(simulate):
    trials = [{"family": "mlp", "params": {"steps": 900}}, {"family": "naive", "params": {}}, {"family": "theta", "params": {}}]
    pool, events = simulate(CHEAP, lambda _, params: params.get("steps", 1) / 10, 200.0, n_workers=1, trials=trials)
    assert [canonical(family, params) for _, family, params, _ in pool.begun] == [canonical(each["family"], each["params"]) for each in trials]
    assert "postpone" not in {event["event"] for event in events}
