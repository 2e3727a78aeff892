"""The verb evaluate: open the locked test origins of a study, judge its ensemble on them, and write down what was found."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ensemble_forecast import artefact, atomic
from ensemble_forecast.data.origins import Origins, outcome
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.model import Ensemble
from ensemble_forecast.ensemble.traits import rows_at
from ensemble_forecast.errors import BadInput
from ensemble_forecast.evaluate.backtest import Market, backtest, strength
from ensemble_forecast.evaluate.rivals import last_change, rivals
from ensemble_forecast.evaluate.sample import Sample
from ensemble_forecast.evaluate.shuffle_control import shuffle_control
from ensemble_forecast.evaluate.trials import judge_trials
from ensemble_forecast.evaluate.verdict import Opened, judge
from ensemble_forecast.features.contexts import scale_at
from ensemble_forecast.ledger import now
from ensemble_forecast.study import Study
from ensemble_forecast.threads import one_thread

CONTROL_S = 5.0  # after which the control begins no further shuffle
UNJUDGED = {"verdict": "opened, not judged", "sentence": "The test data were opened, and the judgement did not end: run evaluate again."}


@one_thread
def run_evaluate(study: Study) -> dict[str, Any]:
    """Score the judged ensemble on the locked test origins, once more if need be, and write ``verdict.json``.

    The opening is written down before the test origins are looked at: an evaluation that is interrupted counts, too.

    Raises
    ------
    BadInput
        When no test origins are locked, there is no judged ensemble, one of its members has seen a test label, or another process holds the run.
    """
    with study.folder.lock():  # what is judged must not change under it, nor two openings be written down as one
        return _judged(study)


def _judged(study: Study) -> dict[str, Any]:
    plan, task, panel, path = study.plan, study.task, study.panel, study.folder.path
    if not len(plan.test):
        raise BadInput(f"study {study.name!r} locks no test origins: set test = 0.2 in its pipeline and search with --fresh")
    if not (path / "judged").exists():
        raise BadInput(f"study {study.name!r} has no judged ensemble yet: run python -m ensemble_forecast stack --study {study.name}")
    ensemble, manifest = artefact.read(path / "judged")
    _refuse_peeking(manifest, plan.judged_S)
    control = shuffle_control(panel.cut(plan.judged_S), task, Deadline.after(CONTROL_S))
    trials = judge_trials(study.folder, panel, task, plan, trades=study.pipeline.backtest)
    opened_at = _record_opening(path / "verdict.json")
    with artefact.blaming(path / "judged"):
        forecast_NHQ = ensemble.predict(panel, plan.test, Deadline.never())
    opened = Opened(
        task=task,
        truth_NH=outcome(panel, plan.test, task),
        ensemble_NHQ=forecast_NHQ,
        rivals=rivals(panel, task, plan.judged_S, plan.test),
        last_N=panel.y_filled[plan.test.rows(panel)],
        scale_N=scale_at(panel, Origins(plan.test.series, plan.judged_S[plan.test.series]), task.season_length),
        sample=Sample(plan.test.series, plan.test.step - plan.judged_S[plan.test.series], task.horizon),
        thresholds=ensemble.calibration.thresholds_,
    )
    traded = _backtest(study, ensemble, forecast_NHQ) if study.pipeline.backtest else None
    verdict = judge(opened, trials, control, opened_at, traded)
    atomic.write_json(path / "verdict.json", verdict)
    return verdict


def _record_opening(record: Path) -> list[str]:
    """Write down that the test origins are about to be looked at, and return when that was done, oldest first."""
    before = json.loads(record.read_text()) if record.exists() else UNJUDGED
    opened_at = [*before.get("opened_at", []), now()]
    atomic.write_json(record, before | {"openings": len(opened_at), "opened_at": opened_at})
    return opened_at


def _refuse_peeking(manifest: dict[str, Any], judged_S: np.ndarray) -> None:
    """Refuse an ensemble with a member that was fitted on a test label."""
    for member in manifest["members"]:
        if (np.array(member["fitted_until"]) > judged_S).any():
            raise BadInput(f"member {member['id']} of judged/ was fitted on test labels: build it anew with the verb stack")


def _backtest(study: Study, ensemble: Ensemble, forecast_NHQ: np.ndarray) -> dict[str, Any]:
    """Fit the bands on what the ensemble makes of its members' out-of-fold forecasts, and trade the test origins."""
    plan, panel, task = study.plan, study.panel, study.task
    learned_NHQ = _out_of_fold(study, ensemble)

    def leaning(origins: Origins, each_NHQ: np.ndarray) -> tuple[Market, np.ndarray]:
        last_N = panel.y_filled[origins.rows(panel)]
        return Market.of(panel, origins, plan.judged_S, task.horizon), strength(each_NHQ, last_N, task)

    return backtest(leaning(plan.scored, learned_NHQ), leaning(plan.test, forecast_NHQ), last_change(panel, plan.test), task, panel.freq)


def _out_of_fold(study: Study, ensemble: Ensemble) -> np.ndarray:
    """Combine the members' out-of-fold forecasts as the ensemble does: NHQ. The weights have seen them, the band is all that is fitted here."""
    forecasts_NHQM = np.stack([study.folder.candidate(id).forecasts_NHQ for id in ensemble.members], axis=-1)
    rows = rows_at(study.panel, study.plan.scored, study.plan.window_N, study.task.season_length)
    return ensemble.calibration.apply(ensemble.combiner.combine(forecasts_NHQM, rows))
