"""The base of all nets: everything but the module itself. A net file holds its fields and its module, nothing else."""

import abc
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput, TooShort
from ensemble_forecast.features.contexts import MIN_STEPS
from ensemble_forecast.forecasts import tidy
from ensemble_forecast.learners.base import Size, check_fitted, plain_curve
from ensemble_forecast.learners.deep.checkpoints import Checkpoint
from ensemble_forecast.learners.deep.classes import log_odds
from ensemble_forecast.learners.deep.devices import PRECISIONS, device, is_halved, reproducible
from ensemble_forecast.learners.deep.diagnosis import diagnose
from ensemble_forecast.learners.deep.finder import FINDERS, SWEEP_SHARE, SWEPT, range_test, sweep
from ensemble_forecast.learners.deep.footprint import training_bytes
from ensemble_forecast.learners.deep.given import MOST_EVALUATED, Given, consecutive, learnable, moments
from ensemble_forecast.learners.deep.initialisation import initialise
from ensemble_forecast.learners.deep.inputs import BASES, CENTRES, Batch, View, Windows, n_extras
from ensemble_forecast.learners.deep.loss import Loss
from ensemble_forecast.learners.deep.losses import loss_for
from ensemble_forecast.learners.deep.names import check_name
from ensemble_forecast.learners.deep.parallel import fit_in_parallel, is_member
from ensemble_forecast.learners.deep.recipe import Recipe
from ensemble_forecast.learners.deep.shapes import Anchored, Shapes
from ensemble_forecast.learners.deep.together import can_train_together, train_together
from ensemble_forecast.learners.deep.training import Trained, in_steps, train
from ensemble_forecast.learners.deep.transfer import TRANSFERS, start_from
from ensemble_forecast.seeds import derive
from ensemble_forecast.windows import Roles

PREDICT_ROWS = 64  # always so many at once, so that a forecast does not depend on which other origins are asked for
WEEK = 7  # seasons in the automatic context: hours follow the days of a week, and on months it forecasts best too
START_S, ORIGIN_S = 0.3, 1e-6  # seconds on a plain core, before the first step: in any case, and for each origin
STEP_S, MULTIPLY_S = 2.5e-3, 2.5e-11  # of a training step: in any case, and for each multiply-add of each origin in it, there and back
TOGETHER_BELOW = 5e6  # multiply-adds of a batch: above, copies that are trained in one pass are not quicker
TOGETHER_BELOW_ON_GPU = 1e9  # likewise, reckoned: at 100 TFLOP/s these take 60 us there and back, about as long as it takes to launch a step
LONGEST_SHARE = 0.6  # of the median length: longer contexts would mostly be padding


@dataclass(kw_only=True)
class NetLearner(Recipe):
    """A net that corrects a base forecast at all horizon steps and quantile levels at once; see `Recipe` for its training.

    Parameters
    ----------
    context
        Steps the net sees, at most 0.6 of the median length; None chooses by horizon and season.
    centre
        What a window is centred on: its "last" value, the mean of its last "season", or the "mean" of all of it.
    base
        What is corrected: the "seasonal_naive" or the "last" value; origins that carry a base overrule it.
    covariates
        Whether covariates are seen: past ones in the window, known ones at every step of the horizon.
    """

    group: ClassVar[str] = "deep"
    kinds: ClassVar[tuple[str, ...]] = ("quantiles", "direction")
    uses_past: ClassVar[bool] = True
    uses_known: ClassVar[bool] = True
    corrects: ClassVar[bool] = True
    together: ClassVar[bool] = False  # whether the module can be mapped over stacked weights

    context: int | None = None
    centre: str = "last"
    base: str = "seasonal_naive"
    covariates: bool = True

    @abc.abstractmethod
    def net(self, shapes: Shapes) -> torch.nn.Module:
        """Build the module: ``forward(window_BLC, extras_BE)`` gives BHQ; it ends in `head`, so that it gives zeros at first."""

    @abc.abstractmethod
    def multiply_adds(self, shapes: Shapes) -> tuple[float, float]:
        """Estimate the multiply-adds of one forecast, and the seconds that parts which wait for each other add to a training step."""

    def fit(self, panel: Panel, roles: Roles, task: Task, deadline: Deadline) -> Self:
        """Train on the fit role, as long as the stop role finds useful or, without one, exactly ``steps`` steps."""
        if self.devices > 1 and not is_member():
            return fit_in_parallel(self, panel, roles, task, deadline)
        place, seed = device(), derive(task.seed, self.family, "training")
        given = self.given(panel, roles.fit, roles.stop, task)
        parts = [part for origins in (given.fit, given.stop) if origins is not None for part in (origins.series, origins.step, origins.base_NH)]
        checkpoint = None if is_member() else Checkpoint.of(self, task, panel.y, panel.past, panel.known, *parts)

        def trained(recipe: NetLearner) -> tuple[Shapes, float, Trained]:
            recipe = in_steps(recipe, len(given.fit))
            with reproducible(seed):
                windows = Windows.of(panel, given.fit, given.view, place)
                shapes, loss, net = self.untrained(panel, given, task, place)
                stop_windows = given.stop_windows(panel, place)
                rate = recipe.learning_rate or self._found_rate(shapes, net, loss, windows, stop_windows, recipe, seed, deadline)
                return shapes, rate, train(net, loss, windows, stop_windows, replace(recipe, learning_rate=rate), seed, deadline, checkpoint)

        shapes, rate, result = _within_memory(trained, self)
        self._learnt(task, given.view, shapes, result)
        if not self.learning_rate:
            self.stopped_["learning_rate"] = rate
        if self.epochs:
            self.stopped_["epochs"] = 0  # a refit makes as many steps, however many passes these are
        return self

    def fit_many(self, panel: Panel, fits: Sequence[Origins], stop: Origins | None, tasks: Sequence[Task], deadline: Deadline) -> list[Self]:
        """Fit a copy for each, all in one pass where that pays; see `Learner.fit_many`."""
        if not self.together or self.balanced:
            return super().fit_many(panel, fits, stop, tasks, deadline)
        place, seeds = device(), [derive(task.seed, self.family, "training") for task in tasks]
        givens, untrained = [self.given(panel, fit, stop, task) for fit, task in zip(fits, tasks, strict=True)], []
        copies = [replace(self) for _ in fits]
        for own, given, task, seed in zip(copies, givens, tasks, seeds, strict=True):
            with reproducible(seed):
                shapes, loss, net = own.untrained(panel, given, task, place)
            can = self.learning_rate > 0 and can_train_together(net, self)
            if not (can and self._pays_together(shapes) and given.view.sees_as(givens[0].view)):
                return super().fit_many(panel, fits, stop, tasks, deadline)
            untrained.append(net)
        windows = Windows.of(panel, Origins.joined([given.fit for given in givens]), givens[0].view, place)
        with reproducible(seeds[0]):
            rates, stop_windows = [self.learning_rate] * len(fits), givens[0].stop_windows(panel, place)
            results = train_together(untrained, loss, windows, consecutive(givens), stop_windows, self, rates, seeds, deadline)
        return [own._learnt(task, givens[0].view, shapes, result) for own, task, result in zip(copies, tasks, results, strict=True)]

    def work(self, size: Size, task: Task) -> float:
        """Count steps x multiply-adds; see `Learner.work`."""
        multiplies, waits = self.multiply_adds(self.expected_shapes(size, task))
        steps = in_steps(self, size.n_fit).steps * (1 + len(SWEPT) * SWEEP_SHARE * (self.finder == "sweep" and not self.learning_rate))
        return START_S + ORIGIN_S * size.n_fit + steps * (STEP_S + waits + MULTIPLY_S * self.batch * self.accumulate * multiplies)

    def memory(self, size: Size, task: Task) -> float:
        """Count what the training of the module keeps; see `Learner.memory`."""
        return training_bytes(*self.laid_out(self.expected_shapes(size, task)), halved=is_halved(device(), self.precision))

    def laid_out(self, shapes: Shapes) -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
        """Return the module and the inputs of a batch on the meta device, where they have shapes but no memory."""
        with torch.device("meta"):
            inputs = torch.empty(self.batch, shapes.context, shapes.channels), torch.empty(self.batch, shapes.extras)
            return self.net(shapes).train(), *inputs

    def expected_shapes(self, size: Size, task: Task) -> Shapes:
        """Tell the sizes of the module's inputs and outputs before there is any data."""
        n_past, n_known = (size.n_past, size.n_known) if self.covariates else (0, 0)
        return Shapes(self._context(task, size.length), 1 + n_past, n_extras(task.horizon, n_past, n_known), task.horizon, task.n_outputs)

    def predict(self, panel: Panel, origins: Origins, deadline: Deadline) -> np.ndarray:  # noqa: ARG002
        """Forecast with the averaged weights; an origin with fewer than 3 steps of history gets NaN."""
        check_fitted(self)
        task = Task(**self.task_)
        forecast_NHQ = np.full((len(origins), task.horizon, task.n_outputs), np.nan)
        served = np.flatnonzero(origins.step >= MIN_STEPS - 1)
        if len(served):
            windows = Windows.of(panel, origins.take(served), View(**self.view_), device())
            forecast_NHQ[served] = self._forecast(windows, task)
        return tidy(forecast_NHQ, task)

    def _forecast(self, windows: Windows, task: Task) -> np.ndarray:
        """Forecast all windows."""
        loss = loss_for(task, self.loss, self.log_odds_, windows.place)
        return self._in_batches(windows, lambda net, batch: loss.forecast(net(batch.window_BLC, batch.extras_BE), batch))

    @torch.inference_mode()
    def _in_batches(self, windows: Windows, read: Callable[[torch.nn.Module, Batch], torch.Tensor]) -> np.ndarray:
        """Read something of every window off the trained net, in batches of one size: the last one is filled up with copies."""
        net, blocks = self._rebuilt(windows.place), []
        with reproducible(0):
            for first in range(0, len(windows), PREDICT_ROWS):
                index_B = torch.arange(first, first + PREDICT_ROWS, device=windows.place).clamp(max=len(windows) - 1)
                blocks.append(read(net, windows.inputs(index_B)))
        return torch.cat(blocks)[: len(windows)].cpu().numpy()

    def given(self, panel: Panel, fit: Origins, stop: Origins | None, task: Task) -> Given:
        """Settle what is learnt from, and how it is seen."""
        check_name("centre", self.centre, CENTRES)
        check_name("base", self.base, BASES)
        check_name("transfer", self.transfer, TRANSFERS)
        check_name("finder", self.finder, FINDERS)
        check_name("precision", self.precision, PRECISIONS)
        fit = learnable(panel, fit)
        if not len(fit):
            raise TooShort(
                f"{self.family} needs an origin with {MIN_STEPS} steps of history and a target after it; none of the {panel.n_series} series has one:"
                f" give more history or shorten the horizon ({task.horizon})"
            )
        return Given(fit, None if stop is None else learnable(panel, stop).spread(MOST_EVALUATED), self._view(panel, fit, task))

    def untrained(self, panel: Panel, given: Given, task: Task, place: torch.device) -> tuple[Shapes, Loss, torch.nn.Module]:
        """Build the loss and the module with its first weights."""
        thinned, view = Windows.of(panel, given.fit.spread(MOST_EVALUATED), given.view, place), given.view
        loss = self._learnt_loss(task, thinned)
        shapes = Shapes(view.context, 1 + len(view.past_mean_C), thinned.n_extras, task.horizon, loss.n_outputs)
        body = self.net(shapes)
        initialise(body, self.initialisation)
        net = Anchored(body, loss.climatology(loss.targets(thinned)))
        if self.start:
            net.pace = start_from(net, self, panel)
        return shapes, loss, net.to(place)

    def _found_rate(
        self, shapes: Shapes, net: torch.nn.Module, loss: Loss, fit: Windows, stop: Windows | None, recipe: Recipe, seed: int, deadline: Deadline
    ) -> float:
        """Find the learning rate as the recipe says."""
        if recipe.finder == "sweep":
            return sweep(net, loss, fit, stop, recipe, seed, deadline, in_one_pass=self._pays_together(shapes))
        return range_test(net, loss, fit, recipe, seed)

    def _pays_together(self, shapes: Shapes) -> bool:
        """Whether copies can be mapped over stacked weights and are small enough to be quicker so."""
        limit = TOGETHER_BELOW_ON_GPU if device().type == "cuda" else TOGETHER_BELOW
        return self.together and self.batch * self.multiply_adds(shapes)[0] < limit

    def _learnt(self, task: Task, view: View, shapes: Shapes, result: Trained) -> Self:
        """Keep what a training gave."""
        self.task_, self.view_, self.shapes_ = asdict(task), asdict(view), asdict(shapes)
        self.weights_, self.truncated_ = result.weights, result.truncated
        self.stopped_: dict[str, float] = {"steps": result.steps}
        self.diagnosis_ = diagnose(result.curve) + (f"; steps were launched kernel by kernel: {result.unrecorded}" if result.unrecorded else "")
        self._curve = plain_curve(result.curve)
        self._module: torch.nn.Module | None = None
        return self

    def _learnt_loss(self, task: Task, windows: Windows) -> Loss:
        """Choose the loss; where classes are to be balanced, learn how often each was met."""
        loss = loss_for(task, self.loss, place=windows.place)
        self.log_odds_ = None
        if self.balanced and task.kind == "direction":
            self.log_odds_ = log_odds(loss.targets(windows)).double().cpu().numpy()
            loss = loss_for(task, self.loss, self.log_odds_, windows.place)
        return loss

    def revive(self, allow: tuple[str, ...]) -> None:  # noqa: ARG002
        """Refuse weights that are not those of the net described: it is laid out without memory, so that no size is believed before.

        Raises
        ------
        BadInput
            When names, shapes or types of numbers differ.
        """
        with torch.device("meta"):
            laid_out = Anchored(self.net(Shapes(**self.shapes_)), torch.empty(self.shapes_["horizon"], self.shapes_["outputs"])).state_dict()
        expected = {name: (tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")) for name, tensor in laid_out.items()}
        found = {name: (array.shape, array.dtype.name) for name, array in self.weights_.items()}
        if odd := sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)):
            raise BadInput(
                f"the weights of {self.family} are not those of its net: {odd[0]!r} is {found.get(odd[0], 'missing')}, and should be "
                f"{expected.get(odd[0], 'none')}; make the artefact again"
            )

    def _rebuilt(self, place: torch.device) -> torch.nn.Module:
        """Return the module of the learnt weights, built once."""
        module: torch.nn.Module | None = getattr(self, "_module", None)
        if module is None:
            with reproducible(0):
                module = Anchored(self.net(Shapes(**self.shapes_)), torch.zeros(self.weights_["anchor_HQ"].shape))
            module.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in self.weights_.items()})
            self._module = module = module.eval().to(place)
        return module

    def _view(self, panel: Panel, fit: Origins, task: Task) -> View:
        """Settle the context, and the covariates' means and deviations over the origins that are learnt from."""
        context = self._context(task, float(np.median(panel.lengths_S[np.unique(fit.series)])))
        rows, none = fit.rows(panel), np.empty((0, 0))
        past_mean_C, past_std_C = moments(panel.past[rows] if self.covariates else none)
        known_mean_K, known_std_K = moments(panel.known[rows] if self.covariates else none)
        covariates = past_mean_C, past_std_C, known_mean_K, known_std_K
        return View(context, task.season_length, task.horizon, *covariates, self.centre, self.base, BASES[self.base])

    def _context(self, task: Task, length: float) -> int:
        """Settle the context, by the median length of the series."""
        wanted = self.context or max(2 * task.horizon, WEEK * task.season_length, min(4 * task.horizon, 64))
        return max(2, min(wanted, int(LONGEST_SHARE * length)))

    def __getstate__(self) -> dict[str, Any]:
        """Leave the module out: it is rebuilt from the weights."""
        return {name: value for name, value in vars(self).items() if name != "_module"}


def _within_memory(trained: Callable[[NetLearner], tuple[Shapes, float, Trained]], recipe: NetLearner) -> tuple[Shapes, float, Trained]:
    """Train; where the memory of the device does not suffice, once more with half the batch and twice as many before an update."""
    try:
        return trained(recipe)
    except torch.OutOfMemoryError:
        pass  # outside this clause, so that what the failed attempt held is free
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    try:
        return trained(replace(recipe, batch=max(1, recipe.batch // 2), accumulate=2 * recipe.accumulate))
    except torch.OutOfMemoryError as error:
        raise MemoryError(f"the device's memory does not hold half a batch of {recipe.batch}") from error
