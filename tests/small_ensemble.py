"""A saved ensemble of cheap members on two short series, made without a search: what may be copied, spoilt, and kept for later versions."""

import numpy as np
import pandas as pd
from smoke import smoke

from ensemble_forecast import persist
from ensemble_forecast.data.columns import Columns
from ensemble_forecast.data.frames import settle, to_panel
from ensemble_forecast.data.origins import Origins, outcome
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.ensemble.calibration import Calibration
from ensemble_forecast.ensemble.model import Ensemble
from ensemble_forecast.ensemble.traits import rows_at
from ensemble_forecast.learners.base import fit_plain
from ensemble_forecast.registry import find
from ensemble_forecast.windows import roles_until

TASK = Task(horizon=3, season_length=7, quantiles=(0.1, 0.5, 0.9))
FAMILIES = ("ridge", "ets", "xgboost", "random_forest", "mlp")
NEVER = Deadline.never()
STEPS, FIRST_SCORED = 90, 60


def history():
    """Two series of 90 days with a past covariate."""
    rng = np.random.default_rng(8)
    step = np.arange(STEPS)
    frames = [
        pd.DataFrame(
            {
                "unique_id": name,
                "ds": pd.date_range("2024-01-01", periods=STEPS),
                "y": (level + 5 * np.sin(2 * np.pi * step / 7) + rng.normal(size=STEPS)).round(3),
                "load": rng.normal(size=STEPS).round(3),
            }
        )
        for name, level in (("north", 50), ("south", 80))
    ]
    return pd.concat(frames, ignore_index=True)


def save_ensemble(folder, families=FAMILIES):
    """Fit one member of each family, weigh and calibrate them, and save it all as the verb `stack` does."""
    frame = history()
    panel = to_panel(frame, Columns())
    columns = settle(frame, Columns(), panel)
    roles = roles_until(panel, TASK, panel.ends_S, with_stop=False)
    members = {f"{family}-0001": smoke(family).fit(panel, roles, TASK, NEVER) for family in families}
    scored = Origins.between(np.full(2, FIRST_SCORED), panel.ends_S - TASK.horizon)
    forecasts_NHQM = np.stack([member.predict(panel, scored, NEVER) for member in members.values()], axis=-1)
    truth_NH, rows = outcome(panel, scored, TASK), rows_at(panel, scored, np.zeros(len(scored), dtype=np.int64), TASK.season_length)
    combiner = find("inverse_loss", "combiners")().fit(forecasts_NHQM, truth_NH, rows, TASK, NEVER)
    ensemble = Ensemble(
        task=TASK,
        members=members,
        combiner=combiner,
        calibration=Calibration().fit(combiner.combine(forecasts_NHQM, rows), truth_NH, rows, TASK),
        fallback=fit_plain("seasonal_naive", panel, TASK, panel.ends_S),
        ids=panel.ids,
        until=("2024-03-30",) * 2,
    )
    manifest = {
        "study": "small",
        "columns": {"target": columns.target, "past": columns.past, "known": columns.known, "static": columns.static, "freq": panel.freq},
        "gaps": "error",
        "features": [],
        "transform": "none",
        "members": [
            {"id": id, "weight": weight, "fitted_until": panel.ends_S.tolist()}
            for id, weight in zip(members, combiner.weights_M_.tolist(), strict=True)
        ],
        "combiner": "inverse_loss",
        "contest": [],
        "made_of": {},
    }
    persist.save(folder, ensemble.parts(), manifest)
