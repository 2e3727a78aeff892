"""Kills at random moments, a dozen of them; tests/benchmarks/kill_nine.py does fifty."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.soak

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "kill_nine.py"


def test_twelve_kills_lose_no_finished_trial_and_change_no_ensemble():
    done = subprocess.run([sys.executable, str(SCRIPT), "--kills", "12", "--trials", "60", "--listed", "30"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "broken promises: none" in done.stdout
