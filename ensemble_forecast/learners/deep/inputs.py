"""What a net sees of an origin: the window before it in units of its own noise, gathered by index from flat arrays on the device.

Windows are never materialised. The target is centred (on its last value, unless asked otherwise) and divided by the window's mean absolute
difference over as many steps as the base looks back, in a season's units; past covariates are z-scored within the window. What this takes away
(level, noise, distance of the base) comes back as a few extra inputs, after which stand the covariates that are known ahead, at every step of
the horizon.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import NamedTuple, Self

import numpy as np
import torch

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.features.contexts import scale_at

SCALE_FLOOR = 0.2  # of the series' own scale: flat stretches must not blow up the rest
PAST_FLOOR = 0.1  # of the covariate's overall deviation, for the same reason
LINEAR_WITHIN = 3.0  # units; values beyond are compressed logarithmically
FIRST_BASE = 2  # place of the base forecast among the extras
PADDING_STEPS = 4  # short histories are padded with the mean of their first steps


@dataclass(frozen=True)
class View:
    """How windows are cut and scaled: settled by `fit`, the same in `predict`.

    Parameters
    ----------
    context, season, horizon
        Steps.
    past_mean_C, past_std_C
        Mean and deviation of each past covariate over the rows that were learnt from; empty when none is used.
    known_mean_K, known_std_K
        The same of each covariate that is known ahead.
    centre
        What a window is centred on: its "last" value, the mean of its last "season", or the "mean" of all of it.
    base
        What a forecast corrects where the origins carry none: the "seasonal_naive", or the "last" value.
    lag
        Steps over which noise is measured; 0: a season. Of fewer, it is grown to a season's by the square root of time, as a walk's grows.
    """

    context: int
    season: int
    horizon: int
    past_mean_C: np.ndarray
    past_std_C: np.ndarray
    known_mean_K: np.ndarray = field(default_factory=lambda: np.empty(0))
    known_std_K: np.ndarray = field(default_factory=lambda: np.empty(0))
    centre: str = "last"
    base: str = "seasonal_naive"
    lag: int = 0

    @property
    def noise_steps(self) -> int:
        """Steps over which noise is measured."""
        return self.lag or self.season

    @property
    def growth(self) -> float:
        """Factor from noise over these steps to noise over a season."""
        return math.sqrt(self.season / self.noise_steps)

    def sees_as(self, other: "View") -> bool:
        """Whether windows look the same to another view."""
        return all(np.array_equal(getattr(self, part.name), getattr(other, part.name)) for part in fields(self))


BASES = {"seasonal_naive": 0, "last": 1}  # and the lag of the noise, as far as each looks back: over a week, hourly changes of a walk are the surer
CENTRES: dict[str, Callable[[View], int]] = {  # steps at the end of a window whose mean is taken off
    "last": lambda view: 1,  # noqa: ARG005 - one signature for all
    "season": lambda view: view.season,
    "mean": lambda view: view.context,
}


class Batch(NamedTuple):
    """Inputs of B origins in window units, and what turns outputs back into the target's unit."""

    window_BLC: torch.Tensor  # float32: channel 0 is the target, then the past covariates
    extras_BE: torch.Tensor  # float32: log noise over level, log noise over scale, base, last and coming covariates
    unit_B: torch.Tensor  # float64: one window unit in the target's unit
    base_BH: torch.Tensor  # float64, in the target's unit
    weight_B: torch.Tensor  # float32: weight in the loss, so that it lies near the scaled metrics


@dataclass(frozen=True)
class Windows:
    """Flat arrays on a device, and the places of N origins in them."""

    view: View
    filled: torch.Tensor  # float64 (rows,), missing steps carried forward
    truth: torch.Tensor  # float64 (rows,), NaN where missing
    past: torch.Tensor  # float32 (rows, C), standardised over the learnt rows, 0 where missing
    row_N: torch.Tensor
    step_N: torch.Tensor
    known: torch.Tensor  # float32 (rows, K), standardised likewise
    left_N: torch.Tensor  # observed steps after the origin
    ahead_N: torch.Tensor  # rows of the series after the origin: known covariates may reach beyond the observed target
    padding_N: torch.Tensor
    scale_N: torch.Tensor
    base_NH: torch.Tensor | None
    least_step: int  # of the origins: tells whether any window reaches back beyond the start of its series

    @classmethod
    def of(cls, panel: Panel, origins: Origins, view: View, place: torch.device) -> Self:
        """Put the rows that some origins need on a device."""
        row_N, first_N = origins.rows(panel), panel.offsets[origins.series]
        low, high = int(row_N.min()) - max(view.context, view.season), int(row_N.max()) + view.horizon + 1
        rows, missing = slice(max(low, 0), high), (max(-low, 0), max(high - len(panel.y), 0))
        head_N4 = first_N[:, None] + np.minimum(np.arange(PADDING_STEPS), origins.step[:, None])
        past = (panel.past[rows, : len(view.past_mean_C)] - view.past_mean_C) / view.past_std_C
        known = (panel.known[rows, : len(view.known_mean_K)] - view.known_mean_K) / view.known_std_K

        def put(array: np.ndarray) -> torch.Tensor:
            return torch.tensor(array, device=place)

        def put_rows(array: np.ndarray, beyond: float) -> torch.Tensor:
            return put(np.pad(array, [missing, *[(0, 0)] * (array.ndim - 1)], constant_values=beyond))

        return cls(
            view=view,
            filled=put_rows(panel.y_filled[rows], 0.0),
            truth=put_rows(panel.y[rows], np.nan),
            past=put_rows(np.nan_to_num(past, posinf=0.0, neginf=0.0).astype(np.float32), 0.0),
            known=put_rows(np.nan_to_num(known, posinf=0.0, neginf=0.0).astype(np.float32), 0.0),
            row_N=put(row_N - low),
            step_N=put(origins.step),
            left_N=put(panel.lengths_S[origins.series] - 1 - origins.step),
            ahead_N=put(panel.offsets[origins.series + 1] - 1 - row_N),
            padding_N=put(panel.y_filled[head_N4].mean(axis=1)),
            scale_N=put(view.growth * scale_at(panel, origins, view.noise_steps)),
            base_NH=None if origins.base_NH is None else put(origins.base_NH),
            least_step=int(origins.step.min()),
        )

    def __len__(self) -> int:
        return len(self.row_N)

    @property
    def place(self) -> torch.device:
        """Device that holds the arrays."""
        return self.row_N.device

    @property
    def n_extras(self) -> int:
        """Length of the E axis."""
        return n_extras(self.view.horizon, len(self.view.past_mean_C), len(self.view.known_mean_K))

    def inputs(self, index_B: torch.Tensor) -> Batch:
        """Gather and scale the windows of some origins, given by position."""
        first_B, inside_BL = self.row_N[index_B] + 1 - self.view.context, self._inside(index_B)
        window_BL = slices(self.filled, first_B, self.view.context)
        if inside_BL is not None:
            window_BL = torch.where(inside_BL, window_BL, self.padding_N[index_B, None])
        centre_B, scale_B = self._centre(window_BL), self.scale_N[index_B]
        unit_B = torch.maximum(self.view.growth * self._noise(window_BL, inside_BL), SCALE_FLOOR * scale_B)
        base_BH = self._base(index_B)
        target_BL = (window_BL - centre_B[:, None]).div_(unit_B[:, None]).float()
        extras = [
            torch.log(unit_B / (unit_B + window_BL.abs().mean(dim=1)))[:, None].float(),
            torch.log(unit_B / scale_B)[:, None].float(),
            compress(((base_BH - centre_B[:, None]) / unit_B[:, None]).float()),
        ]
        window_BLC = target_BL[..., None]
        if self.past.shape[1]:
            past_BLC = slices(self.past, first_B, self.view.context)
            if inside_BL is not None:
                past_BLC = past_BLC * inside_BL[..., None]
            extras.append(compress(past_BLC[:, -1]))
            window_BLC = torch.cat([window_BLC, _z_scored(past_BLC)], dim=-1)
        if self.known.shape[1]:
            extras.append(compress(self._coming(index_B)))
        return Batch(compress(window_BLC), torch.cat(extras, dim=1), unit_B, base_BH, (unit_B / scale_B).clamp(0.2, 5.0).float())

    def outcome(self, index_B: torch.Tensor) -> torch.Tensor:
        """Gather the target after some origins: float64 BH, NaN where it is missing or not yet observed."""
        ahead_H = torch.arange(1, self.view.horizon + 1, device=self.place)
        truth_BH = slices(self.truth, self.row_N[index_B] + 1, self.view.horizon)
        return truth_BH.masked_fill_(ahead_H > self.left_N[index_B, None], torch.nan)

    def last(self, index_B: torch.Tensor) -> torch.Tensor:
        """Gather the last value of some origins: float64 B."""
        return self.filled[self.row_N[index_B]]

    def _inside(self, index_B: torch.Tensor) -> torch.Tensor | None:
        """Whether the windows' steps lie inside the series: BL; None where all do."""
        if self.least_step >= self.view.context - 1:
            return None
        return self.step_N[index_B, None] + torch.arange(1 - self.view.context, 1, device=self.place) >= 0

    def _noise(self, window_BL: torch.Tensor, inside_BL: torch.Tensor | None) -> torch.Tensor:
        """Mean absolute difference within each window, over a lag only where it holds two of them."""
        lag = self.view.noise_steps if 2 * self.view.noise_steps <= self.view.context else 1
        change = (window_BL[:, lag:] - window_BL[:, :-lag]).abs_()
        if inside_BL is None:
            return change.sum(dim=1) / change.shape[1]
        known = inside_BL[:, :-lag]
        return (change * known).sum(dim=1) / known.sum(dim=1).clamp(min=1)

    def _centre(self, window_BL: torch.Tensor) -> torch.Tensor:
        """Level that each window is centred on: B."""
        steps = CENTRES[self.view.centre](self.view)
        return window_BL[:, -steps:].mean(dim=1)

    def _coming(self, index_B: torch.Tensor) -> torch.Tensor:
        """Known covariates of every step of the horizon, 0 where they are not given: (B, H x K)."""
        ahead_H = torch.arange(1, self.view.horizon + 1, device=self.place)
        inside_BH = ahead_H <= self.ahead_N[index_B, None]
        row_BH = torch.where(inside_BH, self.row_N[index_B, None] + ahead_H, 0)
        return (self.known[row_BH] * inside_BH[..., None]).flatten(1)

    def _base(self, index_B: torch.Tensor) -> torch.Tensor:
        """Forecast to be corrected: the one that came with the origins, else the view's own (the last value in a first season)."""
        if self.base_NH is not None:
            return self.base_NH[index_B]
        if self.view.base == "last":
            return self.last(index_B)[:, None].expand(-1, self.view.horizon)
        season, row_B = self.view.season, self.row_N[index_B]
        phase_H = torch.arange(self.view.horizon, device=self.place) % season
        base_BH = slices(self.filled, row_B + 1 - season, season)[:, phase_H]
        if self.least_step >= season - 1:
            return base_BH
        return torch.where(self.step_N[index_B, None] + phase_H + 1 - season >= 0, base_BH, self.filled[row_B, None])


def slices(values: torch.Tensor, first_B: torch.Tensor, length: int) -> torch.Tensor:
    """Copy B slices of so many rows, from their first rows on: (B, length, ...), contiguous; several times faster than an index for every step."""
    if torch.compiler.is_exporting():  # where an index is what other runtimes know
        return values[first_B[:, None] + torch.arange(length)]
    return values.unfold(0, length, 1).index_select(0, first_B).movedim(-1, 1).contiguous()


def _z_scored(past_BLC: torch.Tensor) -> torch.Tensor:
    """Centre and scale each covariate within each window."""
    centred_BLC = past_BLC - past_BLC.mean(dim=1, keepdim=True)
    return centred_BLC / centred_BLC.square().mean(dim=1, keepdim=True).sqrt().clamp(min=PAST_FLOOR)


def n_extras(horizon: int, n_past: int, n_known: int) -> int:
    """Count the inputs of an origin beside its window."""
    return FIRST_BASE + horizon + n_past + horizon * n_known


def compress(x: torch.Tensor) -> torch.Tensor:
    """Keep values within 3 units as they are and compress those beyond logarithmically; smooth to the first order, odd."""
    size = x.abs()
    beyond = (size - LINEAR_WITHIN).clamp_(min=0).log1p_()  # in place: in a training loop fresh memory costs as much as the arithmetic
    return torch.copysign(size.clamp_(max=LINEAR_WITHIN).add_(beyond), x)
