"""The peak of memory is a process's own, and stays when what made it is gone."""

import subprocess
import sys

MIB = 1 << 20
SAYING = "from ensemble_forecast.memory import peak_bytes; held = bytearray(b'1') * {size}; del held; {then}print(peak_bytes())"
ANOTHER = "import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}], check=True); "


def said(code: str) -> list[int]:
    """What a process, and before it the one that it starts, say of their peaks."""
    return [int(line) for line in subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()]


def test_a_small_process_does_not_count_the_large_one_that_started_it():
    small = SAYING.format(size=MIB, then="")
    started, starter = said(SAYING.format(size=512 * MIB, then=ANOTHER.format(code=small)))
    assert MIB < started < 256 * MIB
    assert 512 * MIB < starter < 768 * MIB
