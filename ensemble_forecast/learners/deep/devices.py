"""Where nets run, how precisely, and how their random streams and sums are kept reproducible."""

import contextlib
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ensemble_forecast.errors import BadInput

PRECISIONS = ("auto", "float32", "bfloat16")
CPU_INFO = Path("/proc/cpuinfo")  # Linux; elsewhere a CPU counts as one without instructions for bfloat16
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # the last one is ARM's


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


def in_precision(place: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """Return the context in which a step's forward pass makes its products: in bfloat16, or in float32; weights and sums stay in float32.

    Parameters
    ----------
    precision
        One of `PRECISIONS`, see `Recipe`.

    References
    ----------
    Micikevicius et al. (2018), Mixed precision training, arXiv:1710.03740; Kalamkar et al. (2019), A study of bfloat16, arXiv:1905.12322.
    """
    return _products(place, halved=is_halved(place, precision))


def is_halved(place: torch.device, precision: str) -> bool:
    """Whether products are made in bfloat16; see `in_precision`."""
    return place.type == "cuda" if precision == "auto" else precision == "bfloat16" and multiplies_bfloat16(place)


def in_precision_of_now(place: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Return a context for what runs again later: its products are made as they are made now."""
    return _products(place, halved=torch.amp.is_autocast_available(place.type) and torch.is_autocast_enabled(place.type))


def multiplies_bfloat16(place: torch.device) -> bool:
    """Whether a device has instructions for products of bfloat16; without them they take longer than those of float32."""
    return place.type == "cuda" or (place.type == "cpu" and not BFLOAT16_FLAGS.isdisjoint(_cpu_words()))


def _products(place: torch.device, *, halved: bool) -> contextlib.AbstractContextManager[Any]:
    if not torch.amp.is_autocast_available(place.type):  # shapes alone are followed
        return contextlib.nullcontext()
    return torch.autocast(place.type, torch.bfloat16, enabled=halved)


@functools.cache
def _cpu_words() -> frozenset[str]:
    return frozenset(CPU_INFO.read_text().split()) if CPU_INFO.exists() else frozenset()
