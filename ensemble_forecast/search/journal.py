"""Optuna's part: one study a family, in one journal file that optuna-dashboard opens.

Traps of Optuna 5 that are handled here (all observed): a stale lock file or a torn last line makes opening hang or fail; trials left RUNNING
by a killed driver repel the sampler for ever (`constant_liar`); a sampler's state is not stored, so it is reseeded by what has finished.
"""

import json
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial

from ensemble_forecast.ledger import Line, cut_torn_line
from ensemble_forecast.search.samplers import GRID, GridTrial, grid, sampler_for
from ensemble_forecast.search.space import FamilySpace, Hole, Params, canonical
from ensemble_forecast.seeds import derive

STATES = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL, "stale": TrialState.FAIL}
RECORD = "trial"  # the user attribute that ties an Optuna trial to the ledger
REPEATS = 5  # discrete spaces repeat points by design (optuna issue 2021): so often a new draw is asked for


@dataclass(frozen=True)
class Zombie:
    """A trial that was running when its driver died."""

    number: int
    id: str
    params: Params
    started: str
    retry_of: str | None


def open_storage(path: Path) -> JournalStorage:
    """Open the journal, repaired. Only under the run's lock."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for stale in path.parent.glob(f"{path.name}.lock*"):
        stale.unlink()
    cut_torn_line(path)
    return JournalStorage(JournalFileBackend(str(path)))


class FamilyStudy:
    """The Optuna study of one family.

    Parameters
    ----------
    name
        Of the run; the study is called ``<name>.<family>``.
    table
        What may vary. Where it differs from the one the study was begun with, the study is begun anew: Optuna cannot change a space, and
        what has finished is entered again from the ledger.
    seed
        The task's seed.
    sampler
        By name, see `samplers`.
    """

    def __init__(self, storage: JournalStorage, name: str, table: FamilySpace, seed: int, sampler: str = "tpe") -> None:
        self.table = table
        self.distributions = {name: _distribution(hole) for name, hole in table.holes.items()}
        study_name = f"{name}.{table.family}"
        shape = json.dumps({key: repr(value) for key, value in self.distributions.items()}, sort_keys=True)
        studies = {study.study_name: study.user_attrs for study in optuna.get_all_study_summaries(storage)}
        if study_name in studies and studies[study_name].get("space") != shape:
            optuna.delete_study(study_name=study_name, storage=storage)
        self._study = optuna.create_study(study_name=study_name, storage=storage, direction="minimize", load_if_exists=True)
        if study_name not in studies or studies[study_name].get("space") != shape:
            self._study.set_user_attr("space", shape)
        n_ended = sum(trial.state.is_finished() for trial in self._study.get_trials(deepcopy=False))
        self._study.sampler = sampler_for(sampler, table, (derive(seed, "tpe", table.family) + n_ended) % 2**32)
        self._grid = grid(table, seed) if sampler == GRID else None

    def ids(self) -> set[str]:
        """Ids of the trials that have ended here."""
        ended = [trial for trial in self._study.get_trials(deepcopy=False) if trial.state.is_finished() and RECORD in trial.user_attrs]
        return {trial.user_attrs[RECORD]["id"] for trial in ended}

    def zombies(self) -> list[Zombie]:
        """Trials still marked as running; none of them is, as the caller holds the run's lock."""
        zombies = []
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
            if RECORD in trial.user_attrs:
                zombies.append(Zombie(trial.number, **trial.user_attrs[RECORD]))
            else:  # the driver died in mid-draw: nothing had begun
                self._study.tell(trial.number, state=TrialState.FAIL)
        return zombies

    def enter(self, id: str, params: Params, started: str, retry_of: str | None = None) -> int:
        """Enter a trial that begins now with given parameters; returns its number."""
        self._add(_record(id, params, started, retry_of), state=TrialState.RUNNING)
        return self._study.get_trials(deepcopy=False)[-1].number

    def add_ended(self, line: Line) -> None:
        """Enter a trial that ended long ago, by its line in the ledger."""
        record = _record(line["id"], line["params"], line["started"], line["retry_of"])
        self._add(record, state=STATES[line["state"]], value=line["value"] if line["state"] == "finished" else None)

    def draw(self, id: str, started: str, seen: Container[str]) -> tuple[int, Params] | None:
        """Begin a trial with parameters that were not tried before; None where the sampler keeps repeating itself.

        Parameters
        ----------
        seen
            `canonical` texts of what was tried.
        """
        if self._grid is not None:
            return self._next_on_grid(id, started, seen)
        for _ in range(REPEATS):
            trial = self._study.ask()
            params = self.table.draw(trial)
            if canonical(self.table.family, params) not in seen:
                trial.set_user_attr(RECORD, _record(id, params, started, None))
                return trial.number, params
            self._study.tell(trial, state=TrialState.FAIL)
        return None

    def _next_on_grid(self, id: str, started: str, seen: Container[str]) -> tuple[int, Params] | None:
        """Enter the next point of the grid that was not tried before; None at its end."""
        assert self._grid is not None
        for point in self._grid:
            params = self.table.draw(GridTrial(point))
            if canonical(self.table.family, params) not in seen:
                return self.enter(id, params, started), params
        return None

    def tell(self, number: int, state: str, value: float | None) -> None:
        """Record how a trial ended; a pruned one counts as worse than any that finished."""
        if state == "finished":
            self._study.tell(number, value)
        else:
            self._study.tell(number, state=STATES[state])

    def _add(self, record: dict[str, Any], *, state: TrialState, value: float | None = None) -> None:
        filled = self.table.filled(record["params"])
        self._study.add_trial(
            create_trial(
                state=state,
                value=value,
                params=filled,
                distributions={name: self.distributions[name] for name in filled},
                user_attrs={RECORD: record},
            )
        )


def _record(id: str, params: Params, started: str, retry_of: str | None) -> dict[str, Any]:
    """Say which of our trials an Optuna trial is: one attribute, so that a crash leaves all of it or nothing."""
    return {"id": id, "params": params, "started": started, "retry_of": retry_of}


def _distribution(hole: Hole) -> BaseDistribution:
    """Return the hole as Optuna describes it."""
    if hole.low is None or hole.high is None:
        return CategoricalDistribution(hole.labels)
    if hole.is_whole:
        return IntDistribution(int(hole.low), int(hole.high), log=hole.log, step=int(hole.step or 1))
    return FloatDistribution(hole.low, hole.high, log=hole.log, step=hole.step)
