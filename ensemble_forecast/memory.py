"""Memory: of this process, of others, and of the machine or the container they share."""

import resource
import sys
from pathlib import Path

import psutil

STATUS = Path("/proc/self/status")
CGROUP = Path("/sys/fs/cgroup")  # version 2; what it does not limit, the machine does


def peak_bytes() -> int:
    """Largest resident memory of this process so far.

    Linux's own count: what `getrusage` tells there includes the memory of the process that started this one.
    """
    if STATUS.exists():
        peak = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def resident_bytes(pid: int) -> int:
    """Resident memory of a process; zero of one that has ended."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def total_bytes() -> int:
    """Memory of the machine, or of the container if that is less."""
    return min(int(psutil.virtual_memory().total), _cgroup("memory.max"))


def free_bytes() -> int:
    """Memory that can still be had without swapping: of the machine, or of the container if that is less."""
    return min(int(psutil.virtual_memory().available), _cgroup("memory.max") - _cgroup("memory.current", 0) + _reclaimable())


def _cgroup(name: str, unlimited: int = sys.maxsize) -> int:
    """Read a figure of the container."""
    try:
        text = (CGROUP / name).read_text().strip()
    except OSError:
        return unlimited
    return int(text) if text.isdigit() else unlimited


def _reclaimable() -> int:
    """Bytes of the container that hold files which can be read again."""
    try:
        lines = (CGROUP / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)
