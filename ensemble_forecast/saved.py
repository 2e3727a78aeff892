"""A study's saved ensemble, as the verbs that use it open it."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ensemble_forecast import overview
from ensemble_forecast import pipeline as pipelines
from ensemble_forecast.data.table import Log
from ensemble_forecast.errors import BadInput
from ensemble_forecast.features.sets import own_sets
from ensemble_forecast.forecaster import EnsembleForecaster, load
from ensemble_forecast.pipeline import Pipeline
from ensemble_forecast.study import read_frame


@dataclass(frozen=True, eq=False)
class Saved:
    """The newest ensemble of a study: its name, its run folder, what was run, and the fitted forecaster."""

    study: str
    path: Path
    settings: Pipeline
    model: EnsembleForecaster

    def history(self, data: Path | None, log: Log) -> pd.DataFrame:
        """Read rows to forecast from: those of a file or source, or else the study's own."""
        return read_frame(self.settings.source if data is None else str(data), log)


def open_saved(study: str | None, runs: Path) -> Saved:
    """Load the ensemble of a study, the newest study by default.

    Raises
    ------
    BadInput
        When there is no such study, it has no ensemble yet, or the ensemble was changed after it was written.
    """
    name = overview.newest(runs) if study is None else study
    path = overview.run_path(name, runs)
    if not (path / "ensemble").exists():
        raise BadInput(f"study {name!r} has no ensemble yet: run python -m ensemble_forecast stack --study {name}")
    settings = pipelines.read(path / "pipeline.toml")
    return Saved(name, path, settings, load(path / "ensemble", allow=own_sets(settings.features)))  # naming a set in a pipeline is leave to run it
