"""Optuna's part: one study a family, in one journal file that optuna-dashboard opens, or on a server where searches share it (see `shared`).

Traps of Optuna 5 that are handled here (all observed): a stale lock file or a torn last line makes opening hang or fail; trials left RUNNING
by a killed driver repel the sampler for ever (`constant_liar`); a sampler's state is not stored, so it is reseeded by what has finished.
"""

import contextlib
import json
import math
import os
import socket
import warnings
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from ensemble_forecast.errors import BadInput
from ensemble_forecast.ledger import Line, cut_torn_line
from ensemble_forecast.search.samplers import GRID, GridTrial, grid, sampler_for
from ensemble_forecast.search.space import FamilySpace, Hole, Params, canonical
from ensemble_forecast.seeds import derive

if TYPE_CHECKING:
    from ensemble_forecast.search.shared import Server

STATES = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL, "stale": TrialState.FAIL}
RECORD = "trial"  # the user attribute that ties an Optuna trial to the ledger
ENDED = "ended"  # the user attribute that tells a failed trial from one that was cut off, where searches share a study
REPEATS = 5  # discrete spaces repeat points by design (optuna issue 2021): so often a new draw is asked for


@dataclass(frozen=True)
class Zombie:
    """A trial that was running when its search died."""

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
    server
        The storage, where other searches may join; its studies are never begun anew.
    run_id
        Of the run folder that all of these searches share.

    Raises
    ------
    BadInput
        When the server's study of that name has another run folder or another space.
    """

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
        table: FamilySpace,
        seed: int,
        sampler: str = "tpe",
        server: "Server | None" = None,
        run_id: str | None = None,
    ) -> None:
        self.table, self._server = table, server
        self.distributions = {name: _distribution(hole) for name, hole in table.holes.items()}
        self._name = f"{name}.{table.family}"
        shape = json.dumps({key: repr(value) for key, value in self.distributions.items()}, sort_keys=True)
        if server is None:
            self._study = self._begin(storage, shape)
        else:
            self._study = self._join(server, shape, run_id)
            self._study_id = server.get_study_id_from_name(self._name)
        n_ended = sum(trial.state.is_finished() for trial in self._study.get_trials(deepcopy=False))
        stream = ("tpe", table.family) if server is None else ("tpe", table.family, socket.gethostname(), os.getpid())  # no two draw alike
        self._study.sampler = sampler_for(sampler, table, (derive(seed, *stream) + n_ended) % 2**32)
        self._grid = grid(table, seed) if sampler == GRID else None

    def _begin(self, storage: BaseStorage, shape: str) -> optuna.Study:
        """Open the study in a storage of one's own; anew, where its space has changed."""
        studies = {study.study_name: study.user_attrs for study in optuna.get_all_study_summaries(storage)}
        if self._name in studies and studies[self._name].get("space") != shape:
            optuna.delete_study(study_name=self._name, storage=storage)
        study = optuna.create_study(study_name=self._name, storage=storage, direction="minimize", load_if_exists=True)
        if self._name not in studies or studies[self._name].get("space") != shape:
            study.set_user_attr("space", shape)
        return study

    def _join(self, server: "Server", shape: str, run_id: str | None) -> optuna.Study:
        """Open the study on a server that others use too."""
        study = optuna.create_study(study_name=self._name, storage=server, direction="minimize", load_if_exists=True)
        known = study.user_attrs
        for key, own in (("run", run_id), ("space", shape)):
            if key not in known:
                study.set_user_attr(key, own)
        if known.get("run", run_id) != run_id:
            raise BadInput(
                f"the storage knows a study {self._name!r} of another run folder: use one --runs folder on all hosts, or another --study name"
            )
        if known.get("space", shape) != shape:
            raise BadInput(f"the storage's study {self._name!r} has another search space: use that one on every host, or take another --study name")
        return study

    def ids(self) -> set[str]:
        """Ids of the trials that have ended here."""
        ended = [trial for trial in self._study.get_trials(deepcopy=False) if trial.state.is_finished() and RECORD in trial.user_attrs]
        return {trial.user_attrs[RECORD]["id"] for trial in ended}

    def known_ids(self) -> set[str]:
        """Ids of all trials here, ended or not."""
        return {trial.user_attrs[RECORD]["id"] for trial in self._recorded()}

    def zombies(self) -> list[Zombie]:
        """Trials still marked as running that are not: all of them where the caller holds the run's lock alone, else those that fell silent."""
        if self._server is not None:
            silent = self._server.fail_stale(self._study)
            return [Zombie(trial.number, **trial.user_attrs[RECORD]) for trial in silent if RECORD in trial.user_attrs]
        zombies = []
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
            if RECORD in trial.user_attrs:
                zombies.append(Zombie(trial.number, **trial.user_attrs[RECORD]))
            else:  # the driver died in mid-draw: nothing had begun
                self._study.tell(trial.number, state=TrialState.FAIL)
        return zombies

    def running(self) -> set[int]:
        """Numbers of the trials that run, here or in other searches."""
        return {trial.number for trial in self._recorded() if trial.state == TrialState.RUNNING}

    def beat(self, number: int) -> None:
        """Tell the server that a trial is alive."""
        if self._server is not None:
            self._server.record_heartbeat(self._trial_id(self._server, number))

    def enter(self, id: str, params: Params, started: str, retry_of: str | None = None) -> int | None:
        """Enter a trial that begins now with given parameters; returns its number, or None where another search has been faster."""
        if self._server is not None and self._is_taken(params, self._recorded()):
            return None
        self._add(_record(id, params, started, retry_of), state=TrialState.RUNNING)
        trials = self._recorded()
        number = next(trial.number for trial in reversed(trials) if trial.user_attrs[RECORD]["id"] == id)
        self.beat(number)
        if self._server is not None and self._is_taken(params, trials, number):
            self.tell(number, "stale", None)
            return None
        return number

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
            with warnings.catch_warnings():  # the heartbeat is not Optuna's own, see `shared`
                warnings.filterwarnings("ignore", message="Heartbeat of storage")
                trial = self._study.ask()
            self.beat(trial.number)
            params = self.table.draw(trial)
            if canonical(self.table.family, params) not in seen:
                trial.set_user_attr(RECORD, _record(id, params, started, None))
                if self._server is None or not self._is_taken(params, self._recorded(), trial.number):
                    return trial.number, params
            self._study.tell(trial, state=TrialState.FAIL)
        return None

    def _next_on_grid(self, id: str, started: str, seen: Container[str]) -> tuple[int, Params] | None:
        """Enter the next point of the grid that was not tried before; None at its end."""
        assert self._grid is not None
        for point in self._grid:
            params = self.table.draw(GridTrial(point))
            if canonical(self.table.family, params) not in seen and (number := self.enter(id, params, started)) is not None:
                return number, params
        return None

    def tell(self, number: int, state: str, value: float | None) -> None:
        """Record how a trial ended, unless others have; a pruned one counts as worse than any that finished."""
        with contextlib.suppress(UpdateFinishedTrialError):
            if self._server is not None and state == "failed":
                self._server.set_trial_user_attr(self._trial_id(self._server, number), ENDED, state)
            if state == "finished":
                self._study.tell(number, value, skip_if_finished=self._server is not None)
            else:
                self._study.tell(number, state=STATES[state], skip_if_finished=self._server is not None)

    def _is_taken(self, params: Params, trials: Iterable[FrozenTrial], number: float = math.inf) -> bool:
        """Whether a trial before this one has the same parameters and was not cut off: of two searches that begin it at once, one withdraws.

        The server numbers the trials of a study one after the other, so that both see the same order.
        """
        key = canonical(self.table.family, params)
        return any(
            trial.number < number
            and (trial.state != TrialState.FAIL or ENDED in trial.user_attrs)
            and canonical(self.table.family, trial.user_attrs[RECORD]["params"]) == key
            for trial in trials
        )

    def _recorded(self) -> list[FrozenTrial]:
        return [trial for trial in self._study.get_trials(deepcopy=False) if RECORD in trial.user_attrs]

    def _trial_id(self, server: "Server", number: int) -> int:
        return server.get_trial_id_from_study_id_trial_number(self._study_id, number)

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
