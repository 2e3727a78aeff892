"""What the README shows runs: its Python as a plain script, its commands as they stand."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from ensemble_forecast import cli

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"python -m ensemble_forecast (.+)", README)


def test_there_are_blocks_and_commands_to_test():
    assert len(BLOCKS) >= 1
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize("block", BLOCKS)
def test_python_blocks_run_as_plain_scripts(block, smoke_home, tmp_path):
    shutil.copytree(smoke_home / "runs/smoke/ensemble", tmp_path / "runs/btc/ensemble")
    (tmp_path / "script.py").write_text(block)
    done = subprocess.run([sys.executable, "-W", "error", "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "p_up" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_name_verbs_and_options_that_exist(command):
    verb, *words = shlex.split(command, comments=True)
    known = {option for parameter in get_command(cli.app).commands[verb].params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known
