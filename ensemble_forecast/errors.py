"""What can go wrong, by what the caller can do about it. A message says what must hold, what came, where, and the way out."""


class EnsembleForecastError(Exception):
    """Base of every error this package raises on purpose."""


class BadInput(EnsembleForecastError, ValueError):
    """The user's data, options or files are not usable as they are (exit code 2)."""


class MissingPackage(BadInput):
    """A package of an extra is not installed: a search goes on without the families that need it."""


class Unfinished(EnsembleForecastError, RuntimeError):
    """The work could not finish in mid-run: disk full, every trial failed, no time left (exit code 3)."""


class TooShort(EnsembleForecastError):
    """A learner cannot serve any of the series it was given: a different word from "failed"."""


class NotFitted(EnsembleForecastError, ValueError, AttributeError):
    """`predict` or its kin was called before `fit`; its bases are those of scikit-learn's error of that name."""


class TrialPruned(EnsembleForecastError):
    """The search gave up on a trial because it cannot win any more; a net that was stopped in mid-training leaves its `curve`."""

    curve: "list[tuple[float, ...]] | None" = None


class Diverged(EnsembleForecastError):
    """Training left the finite numbers: this trial failed, others need not."""
