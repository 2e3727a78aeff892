"""A candidate's recipe fitted once more, on all rows: what the ensemble is made of."""

from pathlib import Path
from typing import Any

from ensemble_forecast import persist
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.learners.base import Config, build
from ensemble_forecast.search.trial import Stages
from ensemble_forecast.windows import roles_until

GROWTH = {"rounds": 0.5, "steps": 1.0}  # exponent of the growth of the data: steps keep the passes over it, trees need fewer


def scaled(config: Config, growth: float) -> Config:
    """Lengthen training by the growth of the data since the lengths were found; inside wrappers too.

    >>> scaled({"family": "xgboost", "params": {"rounds": 100, "depth": 4}}, 1.21)
    {'family': 'xgboost', 'params': {'rounds': 110, 'depth': 4}}
    """
    return {"family": config["family"], "params": {name: _scaled_value(name, value, growth) for name, value in config["params"].items()}}


def refit(config: Config, fit_origins: int, until: str, out: Path, stages: Stages, deadline: Deadline) -> dict[str, Any]:
    """Fit a recipe without a stop role on all rows before the first test origin (``"judged"``) or on all (``"all"``), and save it.

    Parameters
    ----------
    config, fit_origins
        ``refit`` and ``fit_origins`` of the candidate's report.
    out
        Folder for the artefact; its one part is called ``learner``.

    Returns
    -------
    dict
        ``truncated``, and ``fitted_until``: the last step seen, per series.

    Raises
    ------
    TooShort
        When there is not a single origin to learn from.
    """
    panel, task = stages.panel, stages.task
    cutoff_S = {"judged": stages.plan.judged_S, "all": panel.ends_S}[until]
    train = panel.cut(cutoff_S, ahead=task.horizon)
    roles = roles_until(train, task, cutoff_S, with_stop=False)
    recipe = scaled(config, len(roles.fit) / max(fit_origins, 1))
    fitted = build(recipe).fit(train, roles, task, deadline)
    facts = {"truncated": bool(getattr(fitted, "truncated_", False)), "fitted_until": (train.ends_S).tolist()}
    persist.save(out, {"learner": fitted}, {"config": recipe, **facts})
    return facts


def _scaled_value(name: str, value: Any, growth: float) -> Any:
    if name in GROWTH and isinstance(value, int) and not isinstance(value, bool):
        return max(1, round(value * growth ** GROWTH[name]))
    if isinstance(value, list):
        return [_scaled_value("", item, growth) for item in value]
    return scaled(value, growth) if isinstance(value, dict) and set(value) == {"family", "params"} else value
