"""Where nets run, and how their random streams and sums are kept reproducible."""

import contextlib
import os
from collections.abc import Iterator

import torch

from ensemble_forecast.errors import BadInput


def device() -> torch.device:
    """Choose the device by the variable ENSEMBLE_FORECAST_DEVICE: cpu, cuda, or auto (the default: cuda where there is one).

    Raises
    ------
    BadInput
        When the variable says anything else, or cuda where there is none.
    """
    wish = os.environ.get("ENSEMBLE_FORECAST_DEVICE", "auto")
    if wish not in {"cpu", "cuda", "auto"}:
        raise BadInput(f"ENSEMBLE_FORECAST_DEVICE must be cpu, cuda or auto; got {wish!r}")
    if wish == "cuda" and not torch.cuda.is_available():
        raise BadInput("ENSEMBLE_FORECAST_DEVICE is cuda, but torch finds no CUDA device here; use cpu or auto")
    return torch.device("cpu" if wish == "cpu" or not torch.cuda.is_available() else "cuda")


@contextlib.contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Give initial weights and dropout a stream of their own, and sums one order: neither the caller's random state nor its threads matter."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if torch.cuda.is_available() else []):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
