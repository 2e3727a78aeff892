import optuna
import pytest

from ensemble_forecast.search.importance import LEAST_TRIALS, importances
from ensemble_forecast.search.journal import open_storage


def journal(folder, losses):
    """A journal with a study a family, its trials drawn at random; `losses` tells the loss of a draw."""
    path = folder / "journal.log"
    storage = open_storage(path)
    for family, (loss, n_trials) in losses.items():
        study = optuna.create_study(study_name=f"my.study.{family}", storage=storage, sampler=optuna.samplers.RandomSampler(seed=0))
        for _ in range(n_trials):
            trial = study.ask()
            x, y = trial.suggest_float("x", 0, 1), trial.suggest_int("y", 1, 9)
            flag = trial.suggest_categorical("flag", [True, False])
            conditional = trial.suggest_float("when", 0, 1) if flag else 0.0
            trial.suggest_categorical("fixed", ["only"])
            study.tell(trial, loss(x, y, conditional))
        study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    return path


def test_what_moves_the_loss_is_important(tmp_path):
    path = journal(tmp_path, {"ridge": (lambda x, y, _: 10 * x + 0.1 * y, 40), "mlp": (lambda x, y, _: 0.1 * x + y, 40)})
    told = importances(path)
    assert list(told) == ["mlp", "ridge"]
    assert next(iter(told["ridge"])) == "x"
    assert next(iter(told["mlp"])) == "y"
    for shares in told.values():
        assert set(shares) == {"x", "y", "flag"}, "not what stands under a condition, nor what never varied"
        assert sum(shares.values()) == pytest.approx(1)
        assert max(shares.values()) > 0.7


def test_too_few_trials_and_equal_losses_say_nothing(tmp_path):
    path = journal(tmp_path, {"few": (lambda x, *_: x, LEAST_TRIALS - 1), "flat": (lambda *_: 1.0, 20), "enough": (lambda x, *_: x, LEAST_TRIALS)})
    assert list(importances(path)) == ["enough"]
    assert importances(tmp_path / "absent.log") == {}


def test_a_journal_that_is_being_written_is_left_as_it_is(tmp_path):
    path = journal(tmp_path, {"ridge": (lambda x, *_: x, 12)})
    path.write_bytes(path.read_bytes() + b'{"op_code": 4, "torn')
    lock = tmp_path / "journal.log.lock"
    lock.touch()
    before = path.read_bytes()
    assert list(importances(path)) == ["ridge"]
    assert path.read_bytes() == before
    assert lock.exists()
