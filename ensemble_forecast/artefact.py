"""A saved ensemble, read back: parts that fit together, and a manifest that says what must be known to use them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from ensemble_forecast import persist
from ensemble_forecast.data.columns import Columns
from ensemble_forecast.data.task import Task
from ensemble_forecast.encoding import AGAIN, MALFORMED
from ensemble_forecast.ensemble.base import Combiner, weights_of
from ensemble_forecast.ensemble.calibration import Calibration
from ensemble_forecast.ensemble.model import MEMBER, Ensemble
from ensemble_forecast.errors import BadInput, EnsembleForecastError
from ensemble_forecast.learners.base import Learner

KINDS = {"task": Task, "combiner": Combiner, "calibration": Calibration, "fallback": Learner, "ids": list, "until": list}


class _Roles(BaseModel):
    """Columns by role, as they were found in the data of `fit`."""

    model_config = ConfigDict(strict=True)

    target: str
    past: list[str]
    known: list[str]
    static: list[str]
    freq: str


class _Member(BaseModel):
    """One member, and the last step of each series that it has seen."""

    model_config = ConfigDict(strict=True)

    id: str
    fitted_until: list[int]


class _Manifest(BaseModel):
    """What every manifest of an ensemble must say; it may say more."""

    model_config = ConfigDict(strict=True)

    columns: _Roles
    gaps: str
    features: list[str]
    transform: str
    members: list[_Member]


def read(folder: Path, allow: tuple[str, ...] = ()) -> tuple[Ensemble, dict[str, Any]]:
    """Read an ensemble and its manifest; arguments and what is refused as in `persist.load`.

    Raises
    ------
    BadInput
        Also when the parts are no ensemble, or do not fit together.
    """
    parts, manifest = persist.load(folder, allow)
    try:
        stated = _Manifest.model_validate(manifest)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(
            f"{folder} is no saved ensemble: its manifest has {'.'.join(map(str, first['loc']))} wrong ({first['msg']}); {AGAIN}"
        ) from error
    if odd := [name for name, kind in KINDS.items() if not isinstance(parts.get(name), kind)]:
        raise BadInput(f"{folder} is no saved ensemble: {', '.join(odd)} missing or of another kind; {AGAIN}")
    if odd := [name for name, part in parts.items() if name.startswith(MEMBER) and not isinstance(part, Learner)]:
        raise BadInput(f"{folder} is no saved ensemble: {', '.join(odd)} cannot forecast; {AGAIN}")
    ensemble = Ensemble.from_parts(parts)
    with blaming(folder):
        _refuse_misfits(ensemble, stated)
    return ensemble, manifest


@contextmanager
def blaming(folder: Path) -> Iterator[None]:
    """Say of an error within that what a folder holds does not fit together: nobody else touched the numbers that were used."""
    try:
        yield
    except EnsembleForecastError:
        raise
    except MALFORMED as error:
        raise BadInput(f"{folder}: what the saved ensemble holds does not fit together ({type(error).__name__}: {error}); {AGAIN}") from error


def _refuse_misfits(ensemble: Ensemble, stated: _Manifest) -> None:
    """Refuse weights that are none, or not one for each member, and columns that no table can have."""
    weights_M = np.asarray(weights_of(ensemble.combiner), dtype=float)
    names = [member.id for member in stated.members]
    if sorted(names) != sorted(ensemble.members) or weights_M.shape != (len(names),) or not names:
        raise ValueError(f"{len(ensemble.members)} members, {len(names)} in the manifest, weights of shape {weights_M.shape}")
    if not (np.isfinite(weights_M).all() and (weights_M >= 0).all() and weights_M.any()):
        raise ValueError(f"weights {weights_M.tolist()}")
    if len(ensemble.ids) != len(ensemble.until):
        raise ValueError(f"{len(ensemble.ids)} series, and {len(ensemble.until)} stamps of what was seen of them")
    for stamp in ensemble.until:
        np.datetime64(stamp)
    columns = stated.columns
    roles = {role: tuple(getattr(columns, role)) for role in ("past", "known", "static")}
    Columns(target=columns.target, freq=columns.freq, gaps=stated.gaps, **roles)
