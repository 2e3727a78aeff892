"""Ledgers of several searches, read as one."""

import json

import pytest

from ensemble_forecast import ledger, store
from ensemble_forecast.errors import BadInput
from ensemble_forecast.store import RunFolder


def write(folder, name, *lines):
    """Write a ledger of lines (id, second of its start, seconds, state)."""
    folder.mkdir(exist_ok=True)
    whole = [
        {"id": id, "started": f"2026-01-01T00:00:{start:02d}.000+00:00", "seconds": seconds, "state": state} for id, start, seconds, state in lines
    ]
    (folder / name).write_text("".join(json.dumps(line) + "\n" for line in whole))


def test_lines_of_all_searches_come_in_the_order_in_which_the_trials_ended(tmp_path):
    write(tmp_path, "ledger.jsonl", ("a", 0, 5, "finished"), ("b", 1, 40, "pruned"))
    write(tmp_path, "ledger-host-1.jsonl", ("c", 6, 4, "finished"))
    write(tmp_path, "ledger-other-1.jsonl", ("d", 2, 1, "failed"), ("e", 20, 1, "finished"))
    assert [line["id"] for line in RunFolder(tmp_path).ledger()] == ["d", "a", "c", "e", "b"]
    assert RunFolder(tmp_path).spent_s() == 41


def test_a_torn_last_line_of_any_of_them_is_left_out_and_damage_is_named_by_file(tmp_path):
    write(tmp_path, "ledger-host-1.jsonl", ("a", 0, 5, "finished"))
    write(tmp_path, "ledger-host-2.jsonl", ("b", 1, 5, "finished"))
    with open(tmp_path / "ledger-host-1.jsonl", "a") as file:
        file.write('{"id": "c", "sta')
    assert [line["id"] for line in RunFolder(tmp_path).ledger()] == ["a", "b"]
    with open(tmp_path / "ledger-host-1.jsonl", "a") as file:
        file.write("\n{}\n")
    with pytest.raises(BadInput, match=r"ledger-host-1\.jsonl: line 2"):
        RunFolder(tmp_path).ledger()


@pytest.mark.parametrize("order", [("1", "2"), ("2", "1")])
def test_a_trial_that_one_search_gave_up_and_another_finished_has_finished(tmp_path, order):
    write(tmp_path, f"ledger-host-{order[0]}.jsonl", ("a", 0, 9, "finished"))
    write(tmp_path, f"ledger-host-{order[1]}.jsonl", ("a", 0, 0, "stale"), ("b", 1, 1, "finished"))
    assert [(line["id"], line["state"]) for line in RunFolder(tmp_path).ledger()] == [("b", "finished"), ("a", "finished")]


def test_searches_share_a_run_and_write_apart_while_anyone_else_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "ORPHANS_END_WITHIN_S", 0.2)
    one, two, alone = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "run"), RunFolder(tmp_path / "run")
    with one.lock(shared=True), two.lock(shared=True):
        one.append(dict.fromkeys(ledger.LEDGER_FIELDS) | {"id": "a", "state": "stale"})
        assert alone.is_running()
        with pytest.raises(BadInput, match="searches that share it"), alone.lock():
            pass
    assert not alone.is_running()
    assert [path.name for path in ledger.files(one.path)] == [ledger.own_name()]
    with alone.lock(), pytest.raises(BadInput, match="in use by process"), one.lock(shared=True):
        pass


def test_a_search_that_joins_leaves_the_half_written_candidates_of_others_alone(tmp_path):
    run = RunFolder(tmp_path / "run")
    half = run.work / "commit-ridge-0001-7"
    half.mkdir(parents=True)
    with run.lock(shared=True):
        assert half.exists()
    with run.lock():
        assert not half.exists()


def test_an_id_is_given_to_one_search_only(tmp_path):
    folders = [RunFolder(tmp_path / "run") for _ in range(2)]
    assert [folder.claim("ridge-0001") for folder in folders] == [True, False]
    assert folders[1].claim("ridge-0002")
