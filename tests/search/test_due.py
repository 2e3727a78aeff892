import pytest

from ensemble_forecast.search.due import Due
from ensemble_forecast.search.history import History
from ensemble_forecast.search.space import canonical


@pytest.fixture
def history(run_folder, ledger_line):
    """A run in which ridge 1 was cut off and ridge 2 has failed."""
    with run_folder.lock():
        history = History(run_folder)
        history.add(ledger_line(id="ridge-0001", family="ridge", params={"past_lags": 1}, state="stale", value=None, reason="interrupted"))
        history.add(ledger_line(id="ridge-0002", family="ridge", params={"past_lags": 2}, state="failed", value=None))
        yield history


def drain(due):
    entries = []
    while (entry := due.take(lambda entry: (-entry.place[0],))) is not None:
        entries.append((entry.family, entry.params, entry.retry_of))
    return entries


def test_portfolios_run_rank_by_rank_and_families_open_at_the_first(history):
    due = Due(history)
    due.add_family("naive", 0)
    due.add_family("drift", 1)
    assert due.take(lambda entry: (0,) if entry.family == "naive" else None).params is None
    due.add_portfolio("naive", 0, [{"a": 1}, {"a": 2}], [1.0, 1.0])
    assert drain(due) == [("naive", {"a": 1}, None), ("drift", None, None), ("naive", {"a": 2}, None)]


def test_what_has_ended_is_left_out_and_what_was_cut_off_runs_again_last(history):
    due = Due(history)
    due.add_cut_off(["ridge"])
    due.add_portfolio("ridge", 0, [{"past_lags": 2}, {"past_lags": 3}], [1.0, 1.0])
    assert drain(due) == [("ridge", {"past_lags": 3}, None), ("ridge", {"past_lags": 1}, "ridge-0001")]


def test_a_cut_off_entry_of_the_portfolio_keeps_its_place_there(history):
    due = Due(history)
    due.add_cut_off(["ridge"])
    due.add_portfolio("ridge", 0, [{"past_lags": 1}, {"past_lags": 3}], [1.0, 1.0])
    assert drain(due) == [("ridge", {"past_lags": 1}, "ridge-0001"), ("ridge", {"past_lags": 3}, None)]


def test_a_cut_off_entry_that_runs_already_is_not_entered_again_by_its_portfolio(history):
    due = Due(history)
    due.add_cut_off(["ridge"])
    assert due.take(lambda _: (0,)).params == {"past_lags": 1}
    due.add_portfolio("ridge", 0, [{"past_lags": 1}], [1.0])
    assert drain(due) == []


def test_what_was_cut_off_after_it_was_taken_is_added_again_unless_it_runs(history, ledger_line):
    due = Due(history)
    due.add_list([("ridge", {"past_lags": 3})])
    assert drain(due) == [("ridge", {"past_lags": 3}, None)]
    history.add(ledger_line(id="ridge-0003", family="ridge", params={"past_lags": 3}, state="stale", value=None, reason="its worker died"))
    due.add_again(["ridge"], but={canonical("ridge", {"past_lags": 3})})
    assert drain(due) == []
    due.add_again(["ridge"], but=())
    assert drain(due) == [("ridge", {"past_lags": 3}, "ridge-0003")]  # and nothing that does not stand on the list
