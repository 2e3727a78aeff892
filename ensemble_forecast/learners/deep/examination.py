"""A deep net examined: its gradients by depth, then, if these are sound, what it finds beside controls that are cheap."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.deep.corrections import OfCorrection
from ensemble_forecast.learners.deep.deep import Deep
from ensemble_forecast.learners.deep.depth_diagnosis import ADVICE, LEFT, SOUND, Gain, Skill, of_data, of_gradients
from ensemble_forecast.learners.deep.devices import device, reproducible
from ensemble_forecast.learners.deep.inputs import Batch, Windows
from ensemble_forecast.learners.deep.loss import Loss
from ensemble_forecast.learners.deep.profiles import Profile, watch
from ensemble_forecast.learners.deep.shapes import Anchored, Shapes, flat_width, head
from ensemble_forecast.learners.deep.training import in_steps, train
from ensemble_forecast.learners.deep.trunk import Trunk
from ensemble_forecast.learners.deep.updates import EVALUATED_ROWS
from ensemble_forecast.seeds import derive, generator
from ensemble_forecast.windows import roles_until

LOOKS = (0, 10, 30, 100)  # steps after which the profile is taken
WATCHED = 31  # steps before a stack with lost gradients is given up
SHUFFLES, SEEDS = 20, 3  # controls with shuffled labels, and of eight layers
SHALLOW_LAYERS = 8
BY_HEART_ROWS, BY_HEART_STEPS, BY_HEART_RATE = 64, 150, 1e-3
SMALL: dict[str, Any] = {
    "width": 32, "blocks": 2, "block_layers": 2, "dense_blocks": 0, "gated_blocks": 0, "fractal_blocks": 0, "attention_blocks": 0, "expert_blocks": 0,
    "skip": "sqrt", "norm": "layer", "activation": "relu", "initialisation": "default", "keeps": "all", "heads": 1, "scales": 1, "drop_path": 0.0,
    "steps": 300, "epochs": 0, "batch": 64, "accumulate": 1, "learning_rate": 3e-3, "schedule": "cosine", "optimiser": "adamw", "weight_decay": 1e-2,
    "dropout": 0.0, "ema": 0.99,
}  # fmt: skip


LINE: dict[str, Any] = {"steps": 600, "learning_rate": 1e-2}  # a line's steps are cheap, and it has far to go


@dataclass(frozen=True)
class Examination:
    """What was found.

    Parameters
    ----------
    verdict, sentence
        One of the cases of `depth_diagnosis`, and the same with its figures and what to do.
    losses
        Of each step that was watched.
    batch_left
        Share of its loss that is left of a batch that was to be learnt by heart; None where that was not asked.
    skill
        None where the gradients already decide.
    """

    layers: int
    parameters: int
    verdict: str
    sentence: str
    profiles: list[Profile]
    losses: list[float]
    batch_left: float | None = None
    skill: Skill | None = None

    def as_json(self) -> dict[str, Any]:
        """Write it as JSON can."""
        plain = {"layers": self.layers, "parameters": self.parameters, "verdict": self.verdict, "sentence": self.sentence}
        told = {"losses": [loss if np.isfinite(loss) else None for loss in self.losses], "batch_left": self.batch_left}
        skill = None if self.skill is None else asdict(self.skill) | {"depth_pays": bool(self.skill.depth_pays())}
        return plain | told | {"profiles": [profile.as_lists() for profile in self.profiles], "skill": skill}


def examine(
    learner: Deep, panel: Panel, cutoff_S: np.ndarray, score: Origins, task: Task, deadline: Deadline, *, with_data: bool = True
) -> Examination:
    """Say whether a deep net can be trained, and whether the data repay it.

    Parameters
    ----------
    panel, cutoff_S, score
        All rows; the last step of each series that may be learnt from; unseen origins after it, on which contestants are compared.
    deadline
        Truncates trainings; the verdict then rests on what they reached.
    with_data
        Whether the data are examined too, where the gradients are sound: that trains the net and two dozen controls.

    Raises
    ------
    BadInput
        When there are too few unseen origins to compare anything on.

    References
    ----------
    The order of the observations is that of `depth_diagnosis`.
    """
    subject = _Subject(learner, panel, cutoff_S, score, task, deadline)
    fresh = subject.untrained(learner)
    trunk = fresh.body
    assert isinstance(trunk, Trunk)
    about = learner.n_layers, sum(parameter.numel() for parameter in trunk.parameters())
    with reproducible(subject.seed):
        profiles, losses = watch(fresh, trunk, subject.loss, subject.fit, subject.recipe(learner), subject.seed, WATCHED, LOOKS)
    fault = of_gradients(profiles, losses)
    if fault is not None:
        return Examination(*about, fault, f"{fault}: {_of_profile(profiles)}; {ADVICE[fault]}", profiles, losses)
    if not with_data:
        return Examination(*about, SOUND, f"{SOUND}: {_of_profile(profiles)}", profiles, losses)
    skill = subject.skill(learner)
    left = subject.by_heart(learner) if not any(map(skill.finds, (skill.deep, skill.small, skill.linear))) else None
    verdict = of_data(skill, LEFT if left is None else left)
    return Examination(*about, verdict, f"{verdict}: {_of_skill(skill, learner.n_layers)}; {ADVICE[verdict]}", profiles, losses, left, skill)


class _Subject:
    """A learner's data, seen as the learner sees them, and what contestants make of them."""

    def __init__(self, learner: Deep, panel: Panel, cutoff_S: np.ndarray, score: Origins, task: Task, deadline: Deadline) -> None:
        self.panel, self.task, self.deadline = panel.cut(cutoff_S), task, deadline
        self.seed, self.place = derive(task.seed, "examination"), device()
        roles = roles_until(self.panel, task, cutoff_S)
        self.given = learner.given(self.panel, roles.fit, roles.stop, task)
        self.fit = Windows.of(self.panel, self.given.fit, self.given.view, self.place)
        self.stop = self.given.stop_windows(self.panel, self.place)
        self.score = Windows.of(panel, score, self.given.view, self.place)
        self.shapes, self.loss, _ = learner.untrained(self.panel, self.given, task, self.place)
        self.climatology_N = self._losses(self.untrained(learner))
        if len(self.climatology_N) < 2:
            raise BadInput(f"at least 2 independent unseen origins are needed to compare anything; there are {len(self.climatology_N)}: score more")

    def untrained(self, learner: Deep, seed: int = 0) -> Anchored:
        """Build a net as it starts."""
        with reproducible(derive(self.seed, "weights", seed)):
            net = learner.untrained(self.panel, self.given, self.task, self.place)[2]
        assert isinstance(net, Anchored)
        return net

    def recipe(self, learner: Deep) -> Deep:
        """Say how long it trains, in steps, at a rate that is known."""
        return in_steps(replace(learner, learning_rate=learner.learning_rate or BY_HEART_RATE), len(self.fit))

    def skill(self, learner: Deep) -> Skill:
        """Let everybody learn, and compare them on unseen origins."""
        small = replace(learner, **SMALL)
        line = replace(small, **LINE)
        none: dict[str, Any] = {name: 0 for name in SMALL if name.endswith("_blocks")}
        shallow = replace(learner, **none, blocks=-(-SHALLOW_LAYERS // learner.block_layers), heads=1)
        deep_N, small_N = (self._gained(self.untrained(each), each) for each in (learner, small))
        linear_N = self._gained(self._straight(learner), line)
        shifts = generator(self.seed, "shuffles").uniform(0.1, 0.9, SHUFFLES)
        return Skill(
            deep=Gain.of(deep_N),
            small=Gain.of(small_N),
            linear=Gain.of(linear_N),
            deep_over_linear=Gain.of(deep_N - linear_N),
            small_over_linear=Gain.of(small_N - linear_N),
            shallow=[float(self._gained(self.untrained(shallow, seed), shallow).mean()) for seed in range(SEEDS)],
            shuffled=[
                float(self._gained(net, by, Shifted(self.loss, share)).mean())
                for place, share in enumerate(shifts)
                for net, by in [(self.untrained(small), small) if place % 2 else (self._straight(learner), line)]
            ],
        )

    def _straight(self, learner: Deep) -> Anchored:
        """Build a line as it starts."""
        return Anchored(_Straight(self.shapes), self.untrained(learner).anchor_HQ.detach().clone()).to(self.place)

    def by_heart(self, learner: Deep) -> float:
        """Give the share of a batch's loss that is left when a net, without dropout, was to learn it by heart."""
        net, rows = self.untrained(replace(learner, dropout=0.0, drop_path=0.0)).train(), torch.arange(min(BY_HEART_ROWS, len(self.fit)))
        rate = self.recipe(learner).learning_rate
        optimiser = torch.optim.Adam(net.parameters(), rate)
        with reproducible(self.seed):
            first = last = float(self.loss(net, self.fit, rows).detach())
            for _ in range(BY_HEART_STEPS):
                optimiser.zero_grad()
                value = self.loss(net, self.fit, rows)
                value.backward()
                torch.nn.utils.clip_grad_norm_(net.parameters(), learner.clip)
                optimiser.step()
                last = float(value.detach())
                if last < LEFT * first:
                    break
        return last / first

    def _gained(self, net: torch.nn.Module, recipe: Deep, loss: Loss | None = None) -> np.ndarray:
        """Train, and give the gain over climatology on unseen origins, by blocks of a horizon."""
        with reproducible(self.seed):
            result = train(net, loss or self.loss, self.fit, self.stop, self.recipe(recipe), self.seed, self.deadline)
        net.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in result.weights.items()})
        return self.climatology_N - self._losses(net)

    @torch.no_grad()
    def _losses(self, net: torch.nn.Module) -> np.ndarray:
        """Mean loss of every block of a horizon of unseen origins: labels of two blocks do not overlap."""
        net.eval()
        of_rows: list[float] = []
        for index_B in torch.arange(len(self.score), device=self.place).split(EVALUATED_ROWS):
            batch = self.score.inputs(index_B)
            target_BH, said_BHQ = self.loss.target(self.score, batch, index_B), net(batch.window_BLC, batch.extras_BE).float()
            known = target_BH.isfinite().any(dim=1).nonzero().flatten().tolist()
            of_rows += [float(self.loss.compare(said_BHQ[i : i + 1], target_BH[i : i + 1], batch.weight_B[i : i + 1])) for i in known]
        blocks = len(of_rows) // self.task.horizon
        return np.array(of_rows[: blocks * self.task.horizon]).reshape(blocks, self.task.horizon).mean(axis=1)


class Shifted(Loss):
    """A loss whose labels belong to other origins, a share of the role later: they keep their own course, and know nothing of the inputs."""

    def __init__(self, loss: Loss, share: float) -> None:
        self.inner, self.share, self.n_outputs = loss, share, loss.n_outputs

    def target(self, windows: Windows, batch: Batch, index_B: torch.Tensor) -> torch.Tensor:
        """Gather the labels of other origins, in the unit of these: what a net can tell from its unit alone is no signal."""
        other_B = (index_B + round(self.share * len(windows))) % len(windows)
        other = windows.inputs(other_B)
        target_BH = self.inner.target(windows, other, other_B)
        return target_BH * (other.unit_B / batch.unit_B)[:, None].float() if isinstance(self.inner, OfCorrection) else target_BH

    def compare(self, output_BHQ: torch.Tensor, target_BH: torch.Tensor, weight_B: torch.Tensor) -> torch.Tensor:
        """Compare as ever."""
        return self.inner.compare(output_BHQ, target_BH, weight_B)

    def climatology(self, target_NH: torch.Tensor) -> torch.Tensor:
        """Start as ever."""
        return self.inner.climatology(target_NH)

    def forecast(self, output_BHQ: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Forecast as ever."""
        return self.inner.forecast(output_BHQ, batch)


class _Straight(torch.nn.Module):
    """A linear map of all inputs."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.map = head(flat_width(shapes), shapes)

    def forward(self, window_BLC: torch.Tensor, extras_BE: torch.Tensor) -> torch.Tensor:
        """Forecast: BHQ."""
        said_BHQ: torch.Tensor = self.map(torch.cat([window_BLC.flatten(1), extras_BE], dim=1))
        return said_BHQ


def _of_profile(profiles: list[Profile]) -> str:
    """Tell the ends of the last profile."""
    if not profiles:
        return "not one step gave finite numbers"
    last = profiles[-1]
    return (
        f"after step {last.step} the first block is reached by {last.reach_L[0]:.1e} of a gradient laid at the end, and of what differs from row to"
        f" row {last.signal_L[-1] / max(last.signal_L[0], 1e-38):.1e} is left there; the stream has size {last.activation_L[-1]:.1e}"
    )


def _of_skill(skill: Skill, layers: int) -> str:
    """Tell the gains over climatology."""
    depth = "better than" if skill.depth_pays() else "no better than"
    return (
        f"over climatology the {layers} layers gain {skill.deep.mean:.4f} (standard error {skill.deep.error:.4f}), a small net"
        f" {skill.small.mean:.4f}, a line {skill.linear.mean:.4f}, nets with shuffled labels {max(skill.shuffled):.4f} at best;"
        f" {depth} {SHALLOW_LAYERS} layers ({np.mean(skill.shallow):.4f})"
    )
