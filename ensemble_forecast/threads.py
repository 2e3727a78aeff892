"""One thread for the numerical libraries of this process, whatever they were started with."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import threadpoolctl

P = ParamSpec("P")
R = TypeVar("R")


def one_thread(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function so that BLAS and OpenMP keep to one thread within it.

    Their threads wait for each other by spinning: where another process took one of two cores, a forecast of half a second needed 35, and with
    both cores free two threads were no faster than one. One thread also adds up in one order, on every machine.
    """
    limited: Callable[P, R] = threadpoolctl.threadpool_limits.wrap(limits=1)(function)
    return limited
