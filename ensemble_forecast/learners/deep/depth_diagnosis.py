"""What ails a deep net, or its data: the observations that tell the cases apart, in the order in which they decide.

Gradient noise does not separate data without signal from a healthy net (measured); a control with shuffled labels does, and so do a linear map and a
small net on the same inputs. Depth is judged beside that, against eight layers of the same kind.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensemble_forecast.learners.deep.profiles import Profile

EXPLODING, VANISHING = "exploding activations", "vanishing gradients"
UNTRAINABLE, NO_SIGNAL = "cannot learn one batch by heart", "no signal in the data"
LINEAR, MISSED, HEALTHY = "linear signal", "too deep for its training", "healthy"
SOUND = "sound gradients"  # where nothing was asked about the data
ADVICE = {
    EXPLODING: "scale the blocks (skip = 'sqrt'), or normalise, or lower the learning rate",
    VANISHING: "let something lead past the blocks (skip = 'sqrt' or 'rezero'), or normalise",
    UNTRAINABLE: "the gradients are sound, so look at the learning rate, the length of the training and the scale of the target",
    NO_SIGNAL: "stop deepening: no net will find what is not there",
    LINEAR: "prefer ridge: it has all that is there, in a thousandth of the time",
    MISSED: "a small net finds what this one does not: take fewer layers, or train longer",
    HEALTHY: "the gradients are sound and the net finds more than a line does",
}
LOST = 1e-3  # of a gradient, or of what differs from row to row, by the other end of the stack
STILL = 1e-6  # change of weights in a step, as a share of them, that is none
GROWTH = 10.0  # of the stream over a hundred blocks: a sound one grows with the square root of depth at most
LEFT = 0.8  # of a batch's loss, or it was not learnt by heart
SURE = 2.5  # standard errors by which a gain over climatology is no accident
BAND = 2.0  # times the best of the shuffled ones, which are but twenty
MORE = 2.0  # standard errors by which a net is better than a line
MORE_SHARE = 0.15  # of what the line gains, that must be gained on top: in units of the window, what is a line outside bends a little


@dataclass(frozen=True)
class Gain:
    """By how much a loss is smaller than another one, over blocks of unseen origins, and the standard error of that."""

    mean: float
    error: float

    @classmethod
    def of(cls, gained_N: np.ndarray) -> "Gain":
        """Average independent differences."""
        return cls(float(gained_N.mean()), float(gained_N.std(ddof=1) / np.sqrt(len(gained_N))) if len(gained_N) > 1 else np.inf)

    def beyond(self, errors: float) -> bool:
        """Whether it lies above zero by so many standard errors."""
        return self.mean > errors * self.error


@dataclass(frozen=True, kw_only=True)
class Skill:
    """What unseen origins say, as gains over climatology.

    Parameters
    ----------
    deep, small, linear
        The net, a small one, and a linear map, on the same inputs and labels.
    deep_over_linear, small_over_linear
        The gain of one over the other, origin by origin.
    shallow
        Mean gain of eight layers of the same kind, by seed.
    shuffled
        Mean gain of small nets and lines, in turns, that learnt from shuffled labels.
    """

    deep: Gain
    small: Gain
    linear: Gain
    deep_over_linear: Gain
    small_over_linear: Gain
    shallow: Sequence[float]
    shuffled: Sequence[float]

    def finds(self, gain: Gain) -> bool:
        """Whether a contestant knows more than climatology, and more than all that learnt from shuffled labels."""
        return gain.beyond(SURE) and gain.mean > BAND * max(self.shuffled)

    def bends(self, over_linear: Gain) -> bool:
        """Whether a net finds what a line cannot."""
        return over_linear.beyond(MORE) and over_linear.mean > MORE_SHARE * max(self.linear.mean, 0.0)

    def depth_pays(self) -> bool:
        """Whether the net is better than eight layers by more than these differ among themselves."""
        return bool(self.deep.mean > np.mean(self.shallow) + 2 * np.std(self.shallow, ddof=1))


def of_gradients(profiles: Sequence[Profile], losses: Sequence[float]) -> str | None:
    """Say whether the stack itself is at fault: exploding activations or vanishing gradients; None where it is sound.

    A gain of zero (ReZero) hides weights from their gradient at the first step but lets it pass to the end: that is sound.
    """
    if not profiles or not np.isfinite(losses).all() or any(_explodes(profile) for profile in profiles):
        return EXPLODING
    return VANISHING if _vanishes(profiles[-1]) else None


def of_data(skill: Skill, batch_left: float) -> str:
    """Say what the data hold, for a net whose gradients are sound.

    Parameters
    ----------
    batch_left
        Share of its first loss that is left of a batch that the net was to learn by heart.
    """
    if not any(skill.finds(gain) for gain in (skill.deep, skill.small, skill.linear)):
        return NO_SIGNAL if batch_left <= LEFT else UNTRAINABLE
    if skill.bends(skill.deep_over_linear):
        return HEALTHY
    return MISSED if skill.bends(skill.small_over_linear) else LINEAR


def _explodes(profile: Profile) -> bool:
    """Whether the stream, or the gradient on its way back, leaves the finite numbers or multiplies; polynomial growth does not count."""
    sizes_L, back_L = profile.activation_L, profile.reach_L
    if not (np.isfinite(sizes_L).all() and np.isfinite(back_L).all() and np.isfinite(profile.gradient_L).all()):
        return True
    half = len(sizes_L) // 2
    later = _ratio(sizes_L[-1], sizes_L[half]) ** (100 / max(len(sizes_L) - 1 - half, 1))
    return bool((later > GROWTH and _ratio(sizes_L[-1], sizes_L[0]) > GROWTH) or back_L[0] > 1 / LOST)


def _vanishes(profile: Profile) -> bool:
    """Whether what is laid at one end of the stack does not come out of the other, or early weights stand still."""
    quarter = max(1, len(profile.gradient_L) // 4)
    gone = profile.reach_L[0] < LOST or _ratio(profile.signal_L[-1], profile.signal_L[0]) < LOST
    first, last = np.median(profile.gradient_L[:quarter]), np.median(profile.gradient_L[-quarter:])
    return bool(gone or (profile.step >= 10 and first < LOST * last and np.median(profile.update_L[:quarter]) < STILL))


def _ratio(one: float, other: float) -> float:
    return one / other if other > 0 else np.inf if one > 0 else 1.0
