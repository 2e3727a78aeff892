"""A small study made by hand in no time: a run folder whose ensemble was fitted, saved and can be opened, without a search."""

import numpy as np

from ensemble_forecast import persist
from ensemble_forecast import pipeline as pipelines
from ensemble_forecast.data.columns import Columns
from ensemble_forecast.data.frames import settle, to_panel
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.averages import Mean
from ensemble_forecast.ensemble.base import Rows
from ensemble_forecast.ensemble.calibration import Calibration
from ensemble_forecast.ensemble.model import Ensemble
from ensemble_forecast.features.sets import with_features
from ensemble_forecast.learners.base import fit_plain
from ensemble_forecast.saved import open_saved

NEVER = Deadline.never()


def no_rows():
    none = np.zeros(0, dtype=int)
    return Rows(none, none, none, np.zeros(0))


def ensemble_of(members, panel, task, combiner=None):
    """Combine fitted members, by equal weights where nothing else is given; nothing is calibrated."""
    empty_NHQM, empty_NH = np.empty((0, task.horizon, task.n_outputs, len(members))), np.empty((0, task.horizon))
    return Ensemble(
        task=task,
        members=members,
        combiner=combiner or Mean().fit(empty_NHQM, empty_NH, no_rows(), task, NEVER),
        calibration=Calibration().fit(empty_NHQM[..., 0], empty_NH, no_rows(), task),
        fallback=fit_plain("naive", panel, task, panel.ends_S),
        ids=panel.ids,
        until=tuple(str(panel.stamps(index, int(end), 1)[0]) for index, end in enumerate(panel.ends_S)),
    )


def handmade(runs, frame, *families, members=None, **settings):
    """Write the run of a study ``toy``, and open it; ``members`` are made by a function of panel and task, else by the families' defaults."""
    pipeline = pipelines.check({"source": "toy.csv", "horizon": 3, "season": 7, "quantiles": (0.1, 0.5, 0.9)} | settings, "a test")
    raw = to_panel(frame, Columns())
    columns, task, panel = settle(frame, Columns(), raw), pipeline.task, with_features(raw, pipeline.features)
    fitted = members(panel, task) if members else {family: fit_plain(family, panel, task, panel.ends_S) for family in families}
    made = ensemble_of(fitted, panel, task)
    manifest = {
        "study": "toy",
        "columns": {"target": columns.target, "past": columns.past, "known": columns.known, "static": columns.static, "freq": panel.freq},
        "gaps": pipeline.gaps,
        "features": list(pipeline.features),
        "transform": "none",
        "members": [{"id": name, "weight": 1 / len(fitted), "fitted_until": []} for name in fitted],
        "combiner": "mean",
    }
    pipelines.write(pipeline, runs / "toy/pipeline.toml")
    persist.save(runs / "toy/ensemble", made.parts(), manifest)
    return open_saved("toy", runs)
