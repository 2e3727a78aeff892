"""What is asked: how far ahead, at which quantiles, of which label."""

from dataclasses import dataclass

from ensemble_forecast.errors import BadInput

KINDS = ("quantiles", "direction")
LABELS = {"up": ("down", "up"), "barrier": ("stop", "timeout", "take")}  # of kind direction: classes on the Q axis, the worst for a holder first
ASKED = (*KINDS, "barrier")  # what learners and combiners say they can do: a kind, for direction with the label up, or the label barrier
DECILES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A forecasting task, validated once, at birth.

    Parameters
    ----------
    horizon
        Steps ahead, H.
    season_length
        Steps in a season: scales errors and defines the seasonal naive.
    quantiles
        Levels of the Q axis, increasing, 0.5 among them.
    kind
        ``"quantiles"``, or ``"direction"``: the Q axis then holds the probabilities of the classes of the label.
    label
        ``"up"``: (down, up), where up means y[t+h] > y[t]; or ``"barrier"``: (stop, timeout, take), as `data.barriers.first_touch` says.
    take_profit, stop_loss
        Distance of the barriers above and below, in units of the volatility over the horizon.
    seed
        Root of every random stream; not a hyper-parameter.

    Raises
    ------
    BadInput
        When a field is out of its range.
    """

    horizon: int
    season_length: int = 1
    quantiles: tuple[float, ...] = DECILES
    kind: str = "quantiles"
    label: str = "up"
    take_profit: float = 1.0
    stop_loss: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.horizon < 1 or self.season_length < 1:
            raise BadInput(f"horizon and season length must be at least 1; got {self.horizon} and {self.season_length}")
        if self.kind not in KINDS:
            raise BadInput(f"kind must be one of {', '.join(KINDS)}; got {self.kind!r}")
        if self.label not in LABELS or (self.label != "up" and self.kind != "direction"):
            raise BadInput(f"label must be one of {', '.join(LABELS)}, and other than up for kind direction only; got {self.label!r} for {self.kind}")
        if not (self.take_profit > 0 and self.stop_loss > 0):
            raise BadInput(f"take_profit and stop_loss must be above 0, in volatilities; got {self.take_profit} and {self.stop_loss}")
        increasing = all(low < high for low, high in zip(self.quantiles, self.quantiles[1:], strict=False))
        if not (increasing and 0.5 in self.quantiles and self.quantiles[0] > 0 and self.quantiles[-1] < 1):
            raise BadInput(f"quantiles must increase within (0, 1) and hold 0.5; got {self.quantiles}")

    @property
    def n_outputs(self) -> int:
        """Length of the Q axis."""
        return len(self.classes) if self.kind == "direction" else len(self.quantiles)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of a direction, in the order of the Q axis."""
        return LABELS[self.label]

    @property
    def asked(self) -> str:
        """What a learner or combiner must be able to do, one of ``ASKED``."""
        return "barrier" if self.label == "barrier" else self.kind
