import optuna
import pytest

from ensemble_forecast.search.journal import FamilyStudy, open_storage
from ensemble_forecast.search.space import canonical
from ensemble_forecast.search.spaces import parse_space

STARTED = "2026-01-01T00:00:00.000+00:00"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.log"


def begin(path, space, family="ridge"):
    return FamilyStudy(open_storage(path), "study", space.tables[family], seed=0)


def stored(path, family="ridge"):
    return optuna.load_study(study_name=f"study.{family}", storage=open_storage(path)).trials


def test_portfolio_and_draws_stand_in_the_journal_with_their_ids(path, space):
    study = begin(path, space)
    number = study.enter("ridge-0001", {"centre": "season", "penalty": 0.01}, STARTED)
    study.tell(number, "finished", 0.7)
    number, params = study.draw("ridge-0002", STARTED, seen=())
    study.tell(number, "pruned", None)
    first, second = stored(path)
    assert first.params == {"context": "auto", "centre": "season", "penalty": 0.01}
    assert (first.value, first.user_attrs["trial"]["id"]) == (0.7, "ridge-0001")
    assert second.state == optuna.trial.TrialState.PRUNED
    assert {key: value for key, value in second.params.items() if value != "auto"} == params
    assert begin(path, space).ids() == {"ridge-0001", "ridge-0002"}


def test_a_torn_line_and_a_stale_lock_are_repaired(path, space):
    study = begin(path, space)
    study.tell(study.enter("ridge-0001", {"centre": "season", "penalty": 0.01}, STARTED), "finished", 0.7)
    path.write_bytes(path.read_bytes() + b'{"op_code":4,"wor')
    path.with_name("journal.log.lock").symlink_to(path)
    reopened = begin(path, space)
    assert reopened.ids() == {"ridge-0001"}
    reopened.enter("ridge-0002", {"centre": "last", "penalty": 0.1}, STARTED)
    assert [trial.user_attrs["trial"]["id"] for trial in stored(path)] == ["ridge-0001", "ridge-0002"]


def test_what_a_killed_driver_left_running_is_found_once(path, space):
    begin(path, space).enter("ridge-0001", {"centre": "season", "penalty": 0.01}, STARTED, retry_of="ridge-0000")
    study = begin(path, space)
    (zombie,) = study.zombies()
    assert (zombie.id, zombie.params, zombie.retry_of) == ("ridge-0001", {"centre": "season", "penalty": 0.01}, "ridge-0000")
    study.tell(zombie.number, "stale", None)
    assert begin(path, space).zombies() == []
    assert stored(path)[0].state == optuna.trial.TrialState.FAIL


def test_a_driver_that_died_in_mid_draw_leaves_nothing_to_repeat(path, space):
    begin(path, space)._study.ask()
    assert begin(path, space).zombies() == []
    assert stored(path)[0].state == optuna.trial.TrialState.FAIL


def test_a_draw_is_never_one_that_was_seen(path):
    space = parse_space({"ridge": {"centre": {"choices": ["last", "season"]}}}, "test.toml")
    study, seen = begin(path, space), {canonical("ridge", {"centre": "last"})}
    for number in range(8):
        drawn = study.draw(f"ridge-{number:04d}", STARTED, seen)
        if drawn is None:
            break
        assert drawn[1] == {"centre": "season"}
        seen.add(canonical("ridge", drawn[1]))
        study.tell(drawn[0], "finished", 1.0)
    assert number == 1  # one was left to draw; then the sampler had nothing new


def test_a_changed_space_begins_the_study_anew_and_takes_the_ledger_in_again(path, space, ledger_line):
    study = begin(path, space)
    study.tell(study.enter("ridge-0001", {"centre": "season", "penalty": 0.01}, STARTED), "finished", 0.7)
    wider = parse_space({"ridge": {"centre": {"choices": ["last", "season", "window"]}}}, "test.toml")
    other = begin(path, wider)
    assert other.ids() == set()
    other.add_ended(ledger_line(id="ridge-0001", family="ridge", params={"centre": "season", "penalty": 0.01}, value=0.7))
    (trial,) = stored(path)
    assert (trial.params, trial.value) == ({"centre": "season"}, 0.7)


def test_the_sampler_learns_from_what_was_entered(path):
    """Half of the range is bad: after the start-up trials most draws keep to the other half, which random ones do not."""
    space = parse_space({"ridge": {"penalty": {"low": 0.0, "high": 1.0}}}, "test.toml")
    study, drawn = begin(path, space), []
    for number in range(30):
        position, params = study.draw(f"ridge-{number:04d}", STARTED, ())
        drawn.append(params["penalty"])
        study.tell(position, "finished", abs(params["penalty"] - 0.2))
    assert sum(penalty < 0.5 for penalty in drawn[10:]) >= 17
