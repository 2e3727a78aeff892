"""A disk that fills up in mid-search: a small one of its own, in a mount namespace."""

import os
import subprocess
import sys

import pandas as pd
import pytest

from ensemble_forecast.store import RunFolder

pytestmark = pytest.mark.soak

SIZE_KIB, LEFT_KIB = 4096, 256
WITHIN = """
import pathlib, subprocess, sys
runs, size, left = pathlib.Path("runs"), {size}, {left}
runs.mkdir()
subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={{size}}k", "tmpfs", "runs"], check=True)
filler = runs / "filler"
filler.write_bytes(bytes(1024 * (size - left)))
first = subprocess.run({command}, capture_output=True, text=True)
filler.unlink()
second = subprocess.run({command}, capture_output=True, text=True)
subprocess.run(["cp", "-r", "runs", "kept"], check=True)
print(first.returncode, second.returncode, first.stderr + "\\n---\\n" + second.stderr)
"""


def may_mount():
    return subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


def test_a_full_disk_ends_the_search_with_a_word_and_the_same_command_goes_on(tmp_path):
    if not may_mount():
        pytest.skip("no mount namespace of one's own here (unshare -m is refused)")
    (tmp_path / "data.csv").write_text("ds,y\n" + "".join(f"{day},{day.dayofyear % 7 + 10}\n" for day in pd.date_range("2023-01-01", periods=400)))
    (tmp_path / "pipelines").mkdir()
    trials = "".join(f'[[trials]]\nfamily = "ridge"\nparams = {{ penalty = {0.01 * (1 + tag)} }}\n' for tag in range(40))
    head = 'source = "data.csv"\nhorizon = 14\nwindows = 4\nseason = 7\nbudget = "120s"\n'
    (tmp_path / "pipelines" / "mine.toml").write_text(head + trials)
    command = [sys.executable, "-m", "ensemble_forecast", "search", "--study", "mine", "--workers", "1", "--device", "cpu", "--quiet"]
    within = WITHIN.format(size=SIZE_KIB, left=LEFT_KIB, command=command)
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", within], cwd=tmp_path, env=os.environ.copy(), capture_output=True, text=True, timeout=300
    )
    first, second, said = done.stdout.split(" ", 2)
    assert (first, second) == ("3", "0"), done.stdout + done.stderr
    assert "disk is full" in said
    assert "Traceback" not in said
    lines = RunFolder(tmp_path / "kept" / "mine").ledger()
    finished = [line["params"]["penalty"] for line in lines if line["state"] == "finished"]
    assert len(finished) == len(set(finished)) == 40
