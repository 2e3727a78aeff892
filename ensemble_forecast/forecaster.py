"""The front door in Python: a scikit-learn style estimator around search, stack and a saved ensemble."""

import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from ensemble_forecast import artefact, forecasts, persist, workflow
from ensemble_forecast.data.columns import Columns
from ensemble_forecast.data.frames import to_frame, to_panel
from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import DECILES
from ensemble_forecast.deadline import Deadline, seconds
from ensemble_forecast.ensemble.model import Ensemble
from ensemble_forecast.errors import BadInput
from ensemble_forecast.features.contexts import MIN_STEPS
from ensemble_forecast.features.sets import own_sets, with_features
from ensemble_forecast.overview import leaderboard
from ensemble_forecast.pipeline import check
from ensemble_forecast.study import FRAME, open_study, silent


class EnsembleForecaster(BaseEstimator):
    """Search, stack and refit forecasters within a time budget, then answer ``predict``.

    Parameters
    ----------
    horizon
        Steps ahead, H.
    season_length
        Steps in a season: scales errors and defines the seasonal naive; None: by the calendar (24 hours, 7 days, 12
        months, 4 quarters), unless the data before the first window clearly show another.
    freq
        Calendar as a pandas offset alias; None: found in the stamps.
    target
        Column to forecast; None: ``y``, then ``close``, then the only numeric column.
    known, static
        Columns known ahead, and columns constant within a series; every other numeric column is a past covariate.
    quantiles
        Levels to forecast, increasing, 0.5 among them.
    kind
        ``"quantiles"``, or ``"direction"``: the probability that the target lies above its last value.
    transform
        ``"auto"``, ``"none"``, ``"log"`` or ``"asinh"``.
    families
        Learners to search; None: all in the space.
    space
        What may vary: a name in ``search_spaces/``, or a path.
    combiner
        ``"auto"`` for the contest, or a registered combiner's name.
    budget
        Wall-clock limit of `fit`, such as ``"90s"`` or ``"5m"``.
    workers
        Processes of one thread each; None: one a core.
    device
        ``"auto"``, ``"cpu"`` or ``"cuda"``, for nets.
    seed
        Root of every random stream.
    metric
        What the search minimises; ``"sql"`` stands for log loss where the kind is ``"direction"``.
    gaps
        ``"error"`` refuses missing steps, ``"mask"`` keeps them missing, ``"fill"`` carries the last value forward.
    runs, name
        Folder to keep the run in (as ``runs/name``); None: a temporary folder that is removed.

    Attributes
    ----------
    leaderboard_ : DataFrame
        Every candidate with its out-of-fold score; failed ones with their reason.

    Examples
    --------
    >>> from sklearn.base import clone
    >>> clone(EnsembleForecaster(horizon=3, budget="10s")).get_params()["horizon"]
    3
    """

    def __init__(
        self,
        horizon: int,
        *,
        season_length: int | None = None,
        freq: str | None = None,
        target: str | None = None,
        known: Sequence[str] = (),
        static: Sequence[str] = (),
        quantiles: Sequence[float] = DECILES,
        kind: str = "quantiles",
        transform: str = "auto",
        families: Sequence[str] | None = None,
        space: str = "default",
        combiner: str = "auto",
        budget: str | float = "5m",
        workers: int | None = None,
        device: str = "auto",
        seed: int = 0,
        metric: str = "sql",
        gaps: str = "error",
        runs: str | Path | None = None,
        name: str | None = None,
    ) -> None:
        self.horizon = horizon
        self.season_length = season_length
        self.freq = freq
        self.target = target
        self.known = known
        self.static = static
        self.quantiles = quantiles
        self.kind = kind
        self.transform = transform
        self.families = families
        self.space = space
        self.combiner = combiner
        self.budget = budget
        self.workers = workers
        self.device = device
        self.seed = seed
        self.metric = metric
        self.gaps = gaps
        self.runs = runs
        self.name = name

    _folder: Path | None = None  # that a model was loaded from

    def fit(self, frame: pd.DataFrame, y: None = None) -> Self:  # noqa: ARG002 - scikit-learn's signature
        """Search, stack and refit, starting afresh.

        Parameters
        ----------
        frame
            Long (unique_id, ds, y, covariates) or one wide frame with a DatetimeIndex.

        Raises
        ------
        BadInput
            When the frame or a parameter is not usable as it is.
        Unfinished
            When not one candidate finished within the budget.
        """
        deadline = Deadline.after(seconds(self.budget))
        self._forget()
        if self.runs is not None:
            return self._fit_in(Path(self.runs), frame, deadline)
        with tempfile.TemporaryDirectory(prefix="ensemble_forecast_") as folder:
            return self._fit_in(Path(folder), frame, deadline)

    def predict(self, frame: pd.DataFrame | None = None, origins: Literal["last", "all"] = "last") -> pd.DataFrame:
        """Forecast the next H steps.

        Parameters
        ----------
        frame
            History, newer or of series never seen, with the columns of `fit`; None: the frame given to `fit` (a loaded model needs one).
        origins
            ``"last"``: from the end of each series; ``"all"``: a block for every row with enough history, with the column ``origin``. Each
            reads nothing later than its origin, but the members were fitted on the rows of `fit`: over those rows this is no backtest.

        Returns
        -------
        DataFrame with unique_id, ds, mean and one column a quantile, in the target's unit; for kind ``direction`` what `predict_proba`
        gives, and ``label``.

        Raises
        ------
        NotFittedError
            When neither `fit` nor `load` came before.
        BadInput
            When the frame lacks a column, or is not usable as it is.
        """
        panel, where, forecast_NHQ = self._forecast(frame, origins)
        if self.kind == "direction":
            table = forecasts.frame(panel, where, self._chances(forecast_NHQ), with_origin=origins == "all")
            classes = np.array(self.ensemble_.task.classes)
            return table.assign(label=classes[forecast_NHQ.argmax(axis=-1).ravel()])
        levels = tuple(self.quantiles)
        columns = {"mean": forecasts.quantile_mean(forecast_NHQ, levels)} | {f"{level:g}": forecast_NHQ[..., q] for q, level in enumerate(levels)}
        return forecasts.frame(panel, where, columns, with_origin=origins == "all")

    def predict_proba(self, frame: pd.DataFrame | None = None, origins: Literal["last", "all"] = "last") -> pd.DataFrame:
        """Forecast the probability that the target lies above its last value; arguments as in `predict`.

        Returns
        -------
        DataFrame with unique_id, ds and p_up in [0, 1]; of a quantile model it is read off the forecast distribution. For the label ``barrier``
        p_take, p_stop and p_timeout, which sum to 1, in place of p_up.
        """
        panel, where, forecast_NHQ = self._forecast(frame, origins)
        if self.kind == "direction":
            columns = self._chances(forecast_NHQ)
        else:
            up_NH = forecasts.probability_up(forecast_NHQ, panel.y_filled[where.rows(panel)], tuple(self.quantiles))
            columns = {"p_up": up_NH}
        return forecasts.frame(panel, where, columns, with_origin=origins == "all")

    def history(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the history that a frame holds as this model reads it: unique_id, ds, y."""
        self._check_fitted()
        return to_frame(to_panel(frame, self.columns_, new=True))[["unique_id", "ds", "y"]]

    def save(self, folder: str | Path) -> None:
        """Save the fitted ensemble: arrays and JSON with a hash for every file; `load` executes nothing.

        Raises
        ------
        NotFittedError
            When there is nothing to save.
        """
        self._check_fitted()
        persist.save(Path(folder), self.ensemble_.parts(), self.manifest_)

    def _adopt(self, ensemble: Ensemble, manifest: dict[str, Any]) -> None:
        """Take over a saved ensemble."""
        self.ensemble_ = ensemble
        self.manifest_ = manifest
        columns = manifest["columns"]
        self.columns_ = Columns(
            target=columns["target"],
            freq=columns["freq"],
            gaps=manifest["gaps"],
            **{role: tuple(columns[role]) for role in ("past", "known", "static")},
        )
        self.panel_: Panel | None = None

    def _fit_in(self, runs: Path, frame: pd.DataFrame, deadline: Deadline) -> Self:
        """Run search and stack in a runs folder."""
        pipeline = check(
            {
                "source": FRAME,
                "test": 0.0,
                "season": self.season_length,
                "budget": str(self.budget),
                "families": _names(self.families or ()),
                "quantiles": tuple(float(level) for level in self.quantiles),
            }
            | {key: getattr(self, key) for key in ("horizon", "freq", "target", "kind", "transform", "space", "seed", "gaps")}
            | {
                "known": _names(self.known),
                "static": _names(self.static),
                "metric": "auto" if (self.kind, self.metric) == ("direction", "sql") else self.metric,
            },
            "EnsembleForecaster",
        )
        study = open_study(self.name or "study", runs, pipeline, frame=frame, fresh=True, log=silent)
        workflow.fit(study, deadline, combiner=self.combiner, workers=self.workers, device=self.device, anytime=self.runs is not None)
        self._adopt(*artefact.read(study.folder.path / "ensemble"))
        self.leaderboard_ = pd.DataFrame(leaderboard(study.folder))
        self.panel_ = study.latest
        return self

    def _forecast(self, frame: pd.DataFrame | None, origins: str) -> tuple[Panel, Origins, np.ndarray]:
        """Forecast in arrays: the panel, the origins that could be served, and NHQ."""
        self._check_fitted()
        if origins not in ("last", "all"):
            raise BadInput(f"origins must be 'last' or 'all'; got {origins!r}")
        if frame is None and self.panel_ is None:
            raise BadInput("a loaded model holds no data: call predict(frame) with the history to forecast from")
        panel = self.panel_
        if frame is not None:
            panel = with_features(to_panel(frame, self.columns_, new=True), self.manifest_["features"])
        assert panel is not None
        _refuse_incomplete_horizon(panel, self.ensemble_.task.horizon)
        where = Origins.ends(panel)
        if origins == "all":
            where = Origins.between(np.full(panel.n_series, MIN_STEPS - 1), panel.ends_S)
        with artefact.blaming(self._folder) if self._folder is not None else nullcontext():
            return panel, where, self.ensemble_.predict(panel, where, Deadline.never())

    def _chances(self, forecast_NHQ: np.ndarray) -> dict[str, np.ndarray]:
        """Name the probabilities that users see: that of up, or of all three outcomes of a trade."""
        classes = self.ensemble_.task.classes
        shown = ("up",) if "up" in classes else ("take", "stop", "timeout")
        return {f"p_{name}": forecast_NHQ[..., classes.index(name)] for name in shown}

    def _check_fitted(self) -> None:
        if not hasattr(self, "ensemble_"):
            raise NotFittedError("this EnsembleForecaster is not fitted: call fit(frame) first, or ensemble_forecast.load(folder)")

    def _forget(self) -> None:
        """Drop what an earlier `fit` learnt."""
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)


def _names(value: Sequence[str]) -> tuple[str, ...]:
    """Read one name or several."""
    return (value,) if isinstance(value, str) else tuple(value)


def _refuse_incomplete_horizon(panel: Panel, horizon: int) -> None:
    """Refuse known covariates that do not reach to the end of the horizon: the forecast would be made without them."""
    if not panel.known_names:
        return
    row_SH = (panel.offsets[:-1] + panel.lengths_S)[:, None] + np.arange(horizon)
    inside_SH = row_SH < panel.offsets[1:, None]
    complete_SH = inside_SH & np.isfinite(panel.known[np.where(inside_SH, row_SH, 0)]).all(axis=2)
    given_S = np.logical_and.accumulate(complete_SH, axis=1).sum(axis=1)
    if (given_S < horizon).any():
        index = int(np.argmax(given_S < horizon))
        missing = panel.stamps(index, int(panel.lengths_S[index] + given_S[index]), 1)[0]
        raise BadInput(
            f"series {panel.ids[index]!r}: the known covariates ({', '.join(panel.known_names)}) are missing from {missing} on; "
            f"append {horizon} rows after the last target, with the covariates filled in and the target empty"
        )


def load(folder: str | Path, allow: Sequence[str] = ()) -> EnsembleForecaster:
    """Load a saved ensemble as a fitted forecaster. Nothing in the folder is executed; every file is checked against its hash.

    Parameters
    ----------
    folder
        What `EnsembleForecaster.save` or the verb ``stack`` wrote, such as ``runs/btc/ensemble``.
    allow
        Classes and feature sets of your own that may be imported, as ``"package.module:Class"``.

    Raises
    ------
    BadInput
        When the folder is not a saved ensemble, was changed after it was written, is of a newer format, or needs what is not allowed.
    """
    ensemble, manifest = artefact.read(Path(folder), tuple(allow))
    if strange := [name for name in own_sets(manifest["features"]) if name not in allow]:
        raise BadInput(
            f"{folder} reads the feature sets {strange}, which are not part of this package; if you trust them: load(folder, allow={strange})"
        )
    task, columns = ensemble.task, manifest["columns"]
    model = EnsembleForecaster(
        horizon=task.horizon,
        season_length=task.season_length,
        quantiles=task.quantiles,
        kind=task.kind,
        seed=task.seed,
        freq=columns["freq"],
        target=columns["target"],
        known=tuple(columns["known"]),
        static=tuple(columns["static"]),
        gaps=manifest["gaps"],
        transform=manifest["transform"],
    )
    model._adopt(ensemble, manifest)
    model._folder = Path(folder)
    return model
