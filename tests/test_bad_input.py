"""What a careless user types: exit code 2 (or as said), one message with the place and the way out, no traceback, nothing lost."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from commands import typed

from ensemble_forecast.persist import MANIFEST
from ensemble_forecast.store import RunFolder

ROWS = 160


def candles(rows=ROWS):
    rng = np.random.default_rng(5)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, rows)))
    stamps = pd.date_range("2024-01-01", periods=rows, freq="D")
    return pd.DataFrame({"date": stamps, "close": close.round(3), "volume": rng.integers(1, 99, rows)})


@pytest.fixture
def call(capsys):
    def _call(*argv):
        code = typed(*argv)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return _call


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Build a folder with a finished small study `done`, once."""
    folder = tmp_path_factory.mktemp("home")
    candles().to_csv(folder / "good.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        own = ["--data", "good.csv", "--horizon", "3", "--space", "smoke", "--quiet"]
        for verb in (
            ["search", "--study", "done", "--families", "naive,ridge", "--trials", "4", *own],
            ["stack", "--study", "done", "--budget", "30s", "--quiet"],
            ["search", "--study", "bare", "--families", "naive", *own],
        ):
            assert typed(*verb) == 0, verb
    return folder


@pytest.fixture
def here(home, tmp_path, monkeypatch):
    """Work in a copy, so that a case may spoil what it likes."""
    folder = tmp_path / "home"
    shutil.copytree(home, folder)
    for toml in folder.glob("**/pipeline*/*.toml"):
        toml.write_text(toml.read_text().replace(str(home), str(folder)))
    for toml in folder.glob("runs/*/pipeline.toml"):
        toml.write_text(toml.read_text().replace(str(home), str(folder)))
    monkeypatch.chdir(folder)
    return folder


def table(change):
    """Return a maker of a spoilt data file."""

    def make(folder):
        frame = change(candles().astype({"close": object, "date": object}))
        frame.to_csv(folder / "bad.csv", index=False)

    return make


def put(row, column, value):
    def change(frame):
        frame.loc[row, column] = value
        return frame

    return change


def text(content, name="bad.csv"):
    return lambda folder: (folder / name).write_text(content)


def raw(content, name="bad.csv"):
    return lambda folder: (folder / name).write_bytes(content)


def pipeline_file(lines, name="mine"):
    def make(folder):
        (folder / "pipelines").mkdir(exist_ok=True)
        (folder / "pipelines" / f"{name}.toml").write_text('source = "good.csv"\nhorizon = 3\n' + lines)

    return make


def nothing(folder):
    return folder


def other_data(folder):
    candles().assign(close=lambda frame: frame["close"] + 1).to_csv(folder / "good.csv", index=False)


def tamper(folder):
    member = next((folder / "runs/done/ensemble").glob("*.safetensors"))
    content = bytearray(member.read_bytes())
    content[-1] ^= 1
    member.write_bytes(bytes(content))


def newer_format(folder):
    path = folder / "runs/done/ensemble" / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))


def block_folder(folder):
    (folder / "blocked").write_text("a file, not a folder")


MINE = ["search", "--study", "mine", "--data", "bad.csv", "--horizon", "3"]
CASES = {  # name: (what is spoilt, what is typed, what the message says)
    "missing file": (nothing, [*MINE[:4], "nowhere.csv", *MINE[5:]], ["nowhere.csv"]),
    "a folder for a file": (nothing, [*MINE[:4], "runs", *MINE[5:]], ["runs"]),
    "empty file": (text(""), MINE, ["bad.csv", "empty"]),
    "header only": (text("date,close\n"), MINE, ["no rows"]),
    "binary file": (raw(bytes(range(256)) * 20), MINE, ["bad.csv"]),
    "a broken parquet": (raw(b"PAR1 but no more", "bad.parquet"), [*MINE[:4], "bad.parquet", *MINE[5:]], ["bad.parquet"]),
    "text in the price column": (table(put(50, "close", "n/a soon")), [*MINE, "--target", "close"], ["close", "row 51", "n/a soon"]),
    "duplicate stamps": (table(put(50, "date", candles()["date"][49])), MINE, ["2024-02-19"]),
    "a gap": (table(lambda frame: frame.drop(index=[60, 61])), MINE, ["row 61", "gaps='fill'", "doctor --fix"]),
    "unsorted rows": (table(lambda frame: frame.iloc[::-1]), MINE, ["doctor", "--fix"]),
    "a missing value": (table(put(70, "close", "")), MINE, ["row 71", "close"]),
    "infinity": (table(put(70, "close", "inf")), MINE, ["row 71", "close", "inf"]),
    "an unreadable date": (table(put(70, "date", "yesterday")), MINE, ["row 71", "yesterday"]),
    "no dates at all": (table(lambda frame: frame.drop(columns="date")), MINE, ["ds"]),
    "too few rows": (table(lambda frame: frame.head(9)), MINE, ["steps", "needs"]),
    "a constant series": (table(lambda frame: frame.assign(close=5)), MINE, ["constant"]),
    "an unknown target": (nothing, ["search", "--study", "x", "--data", "good.csv", "--horizon", "3", "--target", "clos"], ["clos", "close"]),
    "several targets possible": (table(lambda frame: frame.rename(columns={"close": "a"})), MINE, ["--target", "volume"]),
    "no horizon": (nothing, ["search", "--study", "x", "--data", "good.csv"], ["--horizon"]),
    "horizon zero": (nothing, ["search", "--study", "x", "--data", "good.csv", "--horizon", "0"], ["horizon", "1"]),
    "a horizon beyond the data": (nothing, ["search", "--study", "x", "--data", "good.csv", "--horizon", "90"], ["90", "160"]),
    "a study name that leads elsewhere": (nothing, ["search", "--study", "../evil", "--data", "good.csv", "--horizon", "3"], ["../evil", "slash"]),
    "a study without a name": (nothing, ["search", "--study", "", "--fresh"], ["plain name"]),
    "fresh data that are not sound": (
        table(put(50, "close", "n/a soon")),
        ["search", "--study", "new", "--data", "bad.csv", "--horizon", "3", "--target", "close", "--fresh"],
        ["row 51"],
    ),
    "a damaged candidate": (
        lambda folder: min((folder / "runs/done/candidates").glob("*/origins.npy")).write_bytes(b"torn"),
        ["stack", "--study", "done", "--combiner", "median"],
        ["candidates/", "is damaged", "delete that folder"],
    ),
    "no study": (nothing, ["search"], ["--study"]),
    "an unknown study": (nothing, ["search", "--study", "btcc"], ["btcc", "btc"]),
    "stack of an unknown study": (nothing, ["stack", "--study", "don"], ["don"]),
    "status of an unknown study": (nothing, ["status", "--study", "don"], ["done"]),
    "no study at all": (nothing, ["status", "--runs", "empty"], ["empty", "search"]),
    "an unknown key in the pipeline": (pipeline_file("horizn = 4\n"), ["search", "--study", "mine"], ["horizn", "horizon", "mine.toml"]),
    "broken TOML": (pipeline_file("season = = 4\n"), ["search", "--study", "mine"], ["mine.toml", "line 3"]),
    "an unknown metric": (pipeline_file('metric = "slq"\n'), ["search", "--study", "mine"], ["slq", "sql"]),
    "a metric of the other kind": (pipeline_file('metric = "brier"\n'), ["search", "--study", "mine"], ["brier", "sql"]),
    "an unknown kind": (nothing, ["search", "--study", "x", "--data", "good.csv", "--horizon", "3", "--kind", "up"], ["kind", "direction"]),
    "an impossible share of test rows": (pipeline_file("test = 1.5\n"), ["search", "--study", "mine"], ["test", "1.5"]),
    "log of a negative price": (
        lambda folder: (table(put(30, "close", -4.0))(folder), pipeline_file('transform = "log"\n')(folder), shutil.copy("bad.csv", "good.csv")),
        ["search", "--study", "mine"],
        ["log", "-4", "2024-01-31"],
    ),
    "a backtest of a negative price": (
        lambda folder: (table(put(30, "close", -4.0))(folder), pipeline_file("backtest = true\n")(folder), shutil.copy("bad.csv", "good.csv")),
        ["search", "--study", "mine"],
        ["backtest needs a target above zero", "-4", "2024-01-31", "backtest = false"],
    ),
    "an unknown family": (nothing, ["search", "--study", "bare", "--families", "rigde"], ["rigde", "ridge"]),
    "an unknown space": (nothing, ["search", "--study", "bare", "--space", "defalt"], ["defalt", "default"]),
    "an unknown key in the space": (
        text("[ridge]\npenalti = 0.1\n", "own.toml"),
        ["search", "--study", "bare", "--space", "own.toml", "--families", "ridge", "--budget", "1h"],
        ["penalti", "own.toml"],
    ),
    "a budget of nothing": (nothing, ["search", "--study", "bare", "--budget", "0s"], ["budget", "0s"]),
    "a budget in words": (nothing, ["search", "--study", "bare", "--budget", "soon"], ["budget", "soon"]),
    "an unknown device": (nothing, ["search", "--study", "bare", "--device", "tpu", "--budget", "1h"], ["tpu", "cuda"]),
    "a runs folder that is a file": (block_folder, ["search", "--study", "done", "--runs", "blocked"], ["blocked"]),
    "other data under the same study": (other_data, ["search", "--study", "done", "--budget", "1h"], ["other data", "--fresh"]),
    "other settings under the same study": (nothing, ["search", "--study", "done", "--season", "9"], ["season", "--fresh"]),
    "other source under the same study": (table(lambda frame: frame), ["search", "--study", "done", "--data", "bad.csv"], ["bad.csv", "good.csv"]),
    "an unknown combiner": (nothing, ["stack", "--study", "done", "--combiner", "averge"], ["averge", "mean"]),
    "predict before stack": (nothing, ["predict", "--study", "bare"], ["bare", "stack"]),
    "evaluate before stack": (nothing, ["evaluate", "--study", "bare"], ["bare", "stack"]),
    "a tampered artefact": (tamper, ["predict", "--study", "done"], ["safetensors", "changed"]),
    "an artefact of a newer format": (newer_format, ["predict", "--study", "done"], ["format 99", "upgrade"]),
    "new data without a covariate": (
        lambda folder: candles()[["date", "close"]].to_csv(folder / "bad.csv", index=False),
        ["predict", "--study", "done", "--data", "bad.csv"],
        ["volume"],
    ),
    "a forecast file of an odd type": (nothing, ["predict", "--study", "done", "--out", "forecast.xls"], [".csv", ".parquet"]),
    "a plot of an odd type": (nothing, ["predict", "--study", "done", "--plot", "forecast.png"], [".html"]),
    "a storage that is no URL": (nothing, ["search", "--study", "done", "--storage", "studies"], ["--storage", "postgresql+psycopg://"]),
    "an unknown kind to list": (nothing, ["list", "learnrs"], ["learnrs", "learners"]),
    "doctor of a missing file": (nothing, ["doctor", "--data", "nowhere.csv"], ["nowhere.csv"]),
}


def snapshot(folder):
    kept = [path for path in sorted((folder / "runs").rglob("*")) if path.is_file() and ".work" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept}


@pytest.mark.parametrize("name", CASES)
def test_careless_input_gets_one_message_and_exit_code_2(name, here, call):
    spoil, argv, said = CASES[name]
    spoil(here)
    before = snapshot(here)
    code, _, err = call(*argv)
    assert code == 2, err
    assert "Traceback" not in err
    messages = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(messages) == 1, err
    for part in said:
        assert part.lower() in messages[0].lower(), messages[0]
    after = snapshot(here)
    assert after.keys() >= before.keys()
    lost = [name for name, content in before.items() if not after[name].startswith(content)]
    assert not lost, "a refusal must not touch what was there; a journal may grow"


@pytest.mark.parametrize("argv", [["searhc"], ["search", "--studdy", "btc"], ["search", "--workers", "0"]], ids=" ".join)
def test_misspelt_options_are_usage_errors(argv, here, call):
    code, _, err = call(*argv)
    assert code == 2
    assert "Traceback" not in err


def test_an_interruption_says_how_to_continue(here, call, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("ensemble_forecast.workflow.run_search", interrupt)
    code, _, err = call("search", "--study", "done", "--budget", "1h")
    assert code == 130
    assert "same command" in err


def test_a_full_disk_is_exit_code_3(here, call, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "ledger.jsonl")

    monkeypatch.setattr("ensemble_forecast.workflow.run_search", full)
    code, _, err = call("search", "--study", "done", "--budget", "1h")
    assert code == 3
    assert "disk is full" in err


@pytest.mark.parametrize("verb", ["stack", "evaluate"])
def test_a_running_study_is_neither_stacked_nor_opened(here, call, verb):
    opened = (here / "runs/done/verdict.json").exists()
    with RunFolder(here / "runs/done").lock():
        code, _, err = call(verb, "--study", "done", "--runs", str(here / "runs"))
    assert code == 2
    assert "in use" in err
    assert (here / "runs/done/verdict.json").exists() == opened


def test_fresh_does_not_take_the_folder_from_a_running_study(here, call):
    with RunFolder(here / "runs/done").lock():
        code, _, err = call("search", "--study", "done", "--fresh", "--runs", str(here / "runs"))
    assert code == 2
    assert "in use" in err
    assert (here / "runs/done/ensemble").is_dir()
