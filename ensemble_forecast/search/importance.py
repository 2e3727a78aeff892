"""Which hyper-parameters mattered, family by family, as Optuna reads it off the journal."""

import shutil
import tempfile
from pathlib import Path

import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState

from ensemble_forecast.search.journal import open_storage

LEAST_TRIALS = 10  # finished ones, of a family: with fewer, the shares are chance


def importances(journal: Path) -> dict[str, dict[str, float]]:
    """Share of the spread of the losses that each hyper-parameter of a family explains (fANOVA: Hutter, Hoos and Leyton-Brown 2014, ICML).

    Only parameters that every finished trial of a family has are weighed: those under a condition are left out. The journal is copied first, as
    opening repairs it and a search may be writing to it.

    Returns
    -------
    by family, most important parameter first; shares sum to 1. Families with fewer than `LEAST_TRIALS` finished trials, or without a parameter
    that took two values, are absent.
    """
    if not journal.exists():
        return {}
    with tempfile.TemporaryDirectory() as folder:
        storage = open_storage(Path(shutil.copy(journal, folder)))
        studies = [optuna.load_study(study_name=name, storage=storage) for name in sorted(optuna.get_all_study_names(storage))]
        return {study.study_name.rsplit(".", 1)[1]: shares for study in studies if (shares := _shares(study))}


def _shares(study: optuna.Study) -> dict[str, float]:
    """Weigh the parameters that all finished trials have, and that varied."""
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(finished) < LEAST_TRIALS or len({trial.value for trial in finished}) == 1:
        return {}
    common = set.intersection(*(set(trial.params) for trial in finished))
    varied = sorted(name for name in common if len({trial.params[name] for trial in finished}) > 1)
    if not varied:
        return {}
    return get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0), params=varied)
