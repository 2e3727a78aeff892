"""The verbs search and stack, and what they share, over one study. The command line and the forecaster both call these."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ensemble_forecast import atomic, overview, stacking
from ensemble_forecast import pipeline as pipelines
from ensemble_forecast.data import doctor
from ensemble_forecast.data.columns import Columns
from ensemble_forecast.data.files import read_table
from ensemble_forecast.data.table import Log
from ensemble_forecast.deadline import Deadline, seconds
from ensemble_forecast.errors import BadInput, Unfinished
from ensemble_forecast.pipeline import Pipeline
from ensemble_forecast.report import tracking
from ensemble_forecast.search.crew import Crew, Hire
from ensemble_forecast.search.driver import Summary
from ensemble_forecast.search.driver import search as drive
from ensemble_forecast.search.pool import Pool, default_workers
from ensemble_forecast.search.reserve import MOST_MEMBERS, Prospect, refit_s
from ensemble_forecast.search.schedule import Reserve
from ensemble_forecast.search.spaces import load_space
from ensemble_forecast.study import OnEvent, Study, check_name, open_study, reopen, silent

if TYPE_CHECKING:
    from ensemble_forecast.search.shared import Server

LEAST_SEARCH_S = 1.0
FIRST_SHARE, FIRST_S = 0.05, 5.0  # of the budget, or so many seconds: after the larger, there is a first ensemble
FIRST_SEARCH = 0.6  # of that time at most; the rest stacks
FIRST_TRIALS = 6  # that it is made of
FIRST_FAMILIES = ("seasonal_naive", "theta", "ets", "ridge")  # what ends within seconds and beats the naive
CONTEST_SHARE, CONTEST_S = 0.06, 3.0  # of the budget, and at least so many seconds, for the contest and for writing the ensemble
MOST_RESERVED, MOST_RESERVED_S = 0.33, 7.0  # of the budget, or so many seconds if more (but never above half), for all that follows the search


def pipeline_for(name: str, options: dict[str, Any]) -> Pipeline:
    """Find the pipeline of a study, or make one for data of one's own.

    Parameters
    ----------
    options
        Settings given on the command line. ``source`` (with ``horizon``) makes a pipeline where there is no ``pipelines/NAME.toml``; the others
        override the file for this call.

    Raises
    ------
    BadInput
        When there is neither a file nor data to write one for, or the options contradict the file.
    """
    file = Path("pipelines") / f"{check_name(name)}.toml"
    if "source" in options and not file.exists() and name not in pipelines.names("pipelines"):
        if "horizon" not in options:
            raise BadInput("data of your own need a horizon: add --horizon N, the number of steps to forecast")
        return pipelines.check(options, "the command line")
    path = pipelines.find(name, "pipelines")
    written = pipelines.read(path)
    given = pipelines.check(written.model_dump(exclude_none=True) | options, "the command line")
    if "source" in options and Path(given.source).resolve() != Path(written.source).resolve():
        raise BadInput(f"{path} reads {written.source}, not {given.source}: take another --study name, or edit that file")
    return given


def keep_pipeline(name: str, pipeline: Pipeline, log: Log) -> None:
    """Write ``pipelines/NAME.toml`` for data of one's own, once the data have been accepted."""
    file = Path("pipelines") / f"{name}.toml"
    if not file.exists() and name not in pipelines.names("pipelines"):
        pipelines.write(pipeline, file)
        log(f"wrote {file}: edit it, then run search --study {name} again, to change what is done")


def run_search(
    study: Study,
    *,
    n_trials: int | None = None,
    workers: int | None = None,
    device: str = "auto",
    hire: Hire = Pool,
    storage: "Server | None" = None,
    on_event: OnEvent = silent,
) -> dict[str, Any]:
    """Run or continue a study's search until the budget of its pipeline is spent; of those that share a storage, each has the whole budget.

    Returns
    -------
    summary with the trials run in this call, the seconds spent in all, and one sentence.
    """
    budget_s = seconds(study.pipeline.budget)
    spent_s = study.folder.spent_s() if storage is None else 0.0
    if budget_s - spent_s < LEAST_SEARCH_S:
        sentence = f"nothing left to do: {spent_s:.0f} s of the budget of {budget_s:.0f} s are spent; name a larger --budget to continue"
        return {"ran": 0, "spent_s": spent_s, "sentence": sentence}
    deadline = Deadline.after(budget_s - spent_s)
    with working(study, workers, device, hire, shared=storage is not None) as pool:
        summary = _drive(study, pool, deadline, _shown(study, on_event), n_trials, storage=storage)
    spent_s = study.folder.spent_s() if storage is None else budget_s - deadline.left()
    sentence = f"{summary.new} trials ended in this call; {spent_s:.0f} s of {budget_s:.0f} s are spent"
    if summary.nothing_left:
        sentence += ", and nothing is left that would fit" if deadline.left() < 0.2 * budget_s else ", and nothing is left to try"
    return {"ran": summary.new, "spent_s": spent_s, "sentence": sentence}


def run_stack(
    study: Study,
    deadline: Deadline,
    *,
    combiner: str = "auto",
    size: int = MOST_MEMBERS,
    workers: int | None = None,
    device: str = "auto",
    hire: Hire = Pool,
    on_event: OnEvent = silent,
) -> dict[str, Any]:
    """Build, judge and save the ensemble of a study; see `stacking.stack`."""
    with working(study, workers, device, hire) as pool:
        return stacking.stack(study, pool, deadline, combiner=combiner, size=size, on_event=on_event)


def fit(study: Study, deadline: Deadline, *, combiner: str, workers: int | None, device: str, anytime: bool) -> None:
    """Search and stack within one deadline; the ensemble lies in the run folder.

    Parameters
    ----------
    anytime
        Save a first ensemble early, so that there is one to load while the search goes on.
    """
    budget_s = deadline.left()
    n_workers = workers or default_workers()

    def reserve(prospects: Sequence[Prospect]) -> float:
        """Seconds for the contest and for fitting the likely members on all rows."""
        contest_s = max(CONTEST_SHARE * budget_s, CONTEST_S)
        at_most_s = max(MOST_RESERVED * budget_s, min(MOST_RESERVED_S, budget_s / 2))
        return min(contest_s + refit_s(prospects, len(study.plan.folds), n_workers), at_most_s)

    with working(study, workers, device) as pool:
        if anytime:
            _first_ensemble(study, pool, deadline, combiner)
        _drive(study, pool, deadline, silent, reserve=reserve)
        if not study.folder.candidate_ids():
            raise Unfinished(f"the budget of {budget_s:.0f} s ended before a single candidate did: give a larger one")
        stacking.stack(study, pool, deadline, combiner=combiner, arms=False)


def _first_ensemble(study: Study, pool: Crew, deadline: Deadline, combiner: str) -> None:
    """Save a first ensemble as soon as a few quick families allow; on a slow start in twice the time, and so on."""
    asked = study.pipeline.families or FIRST_FAMILIES
    families = [family for family in FIRST_FAMILIES if family in asked] or list(asked)
    slice_s = max(FIRST_SHARE * deadline.left(), FIRST_S)
    while not (study.folder.path / "ensemble").exists() and slice_s < deadline.left():
        with suppress(Unfinished):  # nothing has finished yet, or nothing could be refitted
            _drive(study, pool, deadline.within(FIRST_SEARCH * slice_s), silent, FIRST_TRIALS, families=families)
            if study.folder.candidate_ids():
                stacking.stack(study, pool, deadline.within((1 - FIRST_SEARCH) * slice_s), combiner=combiner, arms=False)
        slice_s *= 2


@contextmanager
def working(study: Study, workers: int | None, device: str, hire: Hire = Pool, *, shared: bool = False) -> Iterator[Crew]:
    """Hold a study's lock, alone or with other searches, with workers ready."""
    with (
        study.folder.lock(shared=shared),
        hire(workers, study.folder, study.panel, study.task, study.plan_spec, metric=study.pipeline.score_name, device=device) as pool,
    ):
        yield pool


def search(name: str, runs: str | Path = "runs", **options: Any) -> pd.DataFrame:
    """Run or continue a study, as the verb ``search`` does; options are its settings (``budget="5m"``, ``families=(...)``).

    Returns
    -------
    DataFrame: the leaderboard.
    """
    pipeline = pipeline_for(name, options)
    study = open_study(name, Path(runs), pipeline, log=silent)
    run_search(study)
    return pd.DataFrame(overview.leaderboard(study.folder))


def stack(name: str, runs: str | Path = "runs", budget: str = "1m", combiner: str = "auto") -> dict[str, Any]:
    """Build, judge and save the ensemble of a study, as the verb ``stack`` does.

    Returns
    -------
    summary: the combiner chosen, the contest's table, the members with their weights.
    """
    return run_stack(reopen(name, Path(runs), log=silent), Deadline.after(seconds(budget)), combiner=combiner)


def run_doctor(data: Path, target: str | None, freq: str | None, fix: Path | None) -> dict[str, Any]:
    """Examine a data file, and write a mended copy where asked.

    Returns
    -------
    the problems and the changes as sentences, and one sentence in all.
    """
    columns = Columns(target=target, freq=freq)
    frame = read_table(data)
    problems = doctor.examine(frame, columns)
    changes: list[str] = []
    if fix is not None:
        mended, changes = doctor.fix(frame, columns)
        write_table(mended, fix)
        problems = doctor.examine(mended, columns)
    found = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
    sentence = f"{data}: sound" if not problems else f"{data}: {found}; mend them in a copy with --fix FILE"
    if fix is not None:
        sentence = f"{fix}: {'sound' if not problems else found + ' that no program can mend'}"
    return {"problems": [str(problem) for problem in problems], "changes": changes, "sentence": sentence}


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as csv or parquet, by the file's name.

    Raises
    ------
    BadInput
        When the name ends otherwise.
    """
    if path.suffix == ".csv":
        atomic.write_text(path, table.to_csv(index=False))
    elif path.suffix == ".parquet":
        atomic.write_bytes(path, table.to_parquet(index=False))
    else:
        raise BadInput(f"{path}: the name must end in .csv or .parquet")


def _drive(
    study: Study,
    pool: Crew,
    deadline: Deadline,
    on_event: OnEvent,
    n_trials: int | None = None,
    *,
    families: Sequence[str] | None = None,
    reserve: Reserve | None = None,
    storage: "Server | None" = None,
) -> Summary:
    """Hand a study to the search driver."""
    return drive(
        study.folder,
        study.panel,
        study.task,
        study.plan_spec,
        load_space(study.pipeline.space),
        study.pipeline.families if families is None else families,
        deadline=deadline,
        n_trials=n_trials,
        trials=study.pipeline.trials or None,
        transforms=study.transforms,
        metric=study.pipeline.score_name,
        sampler=study.pipeline.sampler,
        pruner=study.pipeline.pruner,
        pool=pool,
        reserve=reserve,
        storage=storage,
        on_event=on_event,
    )


def _shown(study: Study, on_event: OnEvent) -> OnEvent:
    """Show every trial on the board that the pipeline names, before anyone else is told of its end."""
    if study.pipeline.track == "none":
        return on_event
    board: tracking.Board | None = tracking.board(study.pipeline.track, study.folder.path, study.name)

    def told(event: dict[str, Any]) -> None:
        nonlocal board
        if event["event"] == "end" and board is not None:
            try:
                board.show(event["line"])
            except OSError as error:  # a board that is down is no reason to lose a search
                warnings.warn(f"track = {study.pipeline.track!r}: trials are not shown any more: {error}", stacklevel=2)
                board = None
        on_event(event)

    return told
