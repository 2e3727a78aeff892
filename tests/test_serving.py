"""The service: forecasts as the model makes them, a reason for whatever is refused, and nothing beyond its limits."""

import asyncio
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from commands import typed
from handmade import handmade
from starlette.testclient import TestClient

from ensemble_forecast import serving
from ensemble_forecast.errors import BadInput

TOKEN = "a token of some length"
HERE = "http://127.0.0.1"


def history(n=60):
    rng = np.random.default_rng(1)
    y = 50 + np.arange(n) % 7 + rng.normal(size=n)
    return {"ds": pd.date_range("2024-01-01", periods=n).strftime("%Y-%m-%d").tolist(), "y": y.tolist()}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return handmade(tmp_path_factory.mktemp("runs"), pd.DataFrame(history()), "ridge", "naive")


@pytest.fixture(scope="module")
def client(saved):
    with TestClient(serving.application(saved, limits=serving.Limits(most_mib=0.1, seconds=120)), base_url=HERE) as opened:
        yield opened


@pytest.mark.parametrize("verb", ["predict", "predict_proba"])
def test_it_answers_what_the_model_forecasts_to_the_last_digit(verb, saved, client):
    answer = client.post(f"/{verb}", json={"columns": history(70)})
    assert answer.status_code == 200
    expected = getattr(saved.model, verb)(pd.DataFrame(history(70)))
    told = pd.DataFrame(answer.json()["forecast"]).assign(ds=lambda table: pd.to_datetime(table["ds"]).astype(expected["ds"].dtype))
    pd.testing.assert_frame_equal(told, expected, check_exact=False, rtol=1e-14)


def test_several_series_are_told_apart(client):
    two = {"unique_id": ["a"] * 60 + ["b"] * 60} | {name: values * 2 for name, values in history().items()}
    rows = client.post("/predict", json={"columns": two}).json()["forecast"]
    assert [row["unique_id"] for row in rows] == ["a"] * 3 + ["b"] * 3


def test_metadata_tell_what_is_needed_and_how_much_may_be_asked(client):
    told = client.get("/metadata").json()
    assert (told["study"], told["horizon"], told["freq"], told["quantiles"]) == ("toy", 3, "D", [0.1, 0.5, 0.9])
    assert told["columns"] == {"target": "y", "past": [], "known": [], "static": []}
    assert told["limits"]["most_mib"] == 0.1
    assert {member["id"] for member in told["members"]} == {"ridge", "naive"}
    assert client.get("/health").json() == {"status": "ok"}


def columns(**changed):
    return {"columns": history() | changed}


BAD = {
    "no body": (b"", "required"),
    "no JSON": (b"{columns:", "body"),
    "not UTF-8": (b'{"columns": "\xff"}', "body"),
    "too deep": (b"[" * 50_000, "body"),
    "no table": (b"[1, 2]", "body"),
    "no columns": (b'{"columns": {}}', "columns"),
    "another field": (json.dumps(columns() | {"origins": "all"}).encode(), "origins"),
    "a table in a cell": (json.dumps(columns(y=[[1]] * 60)).encode(), "columns.y"),
    "uneven columns": (json.dumps(columns(y=[1.0])).encode(), "'ds' has 60 rows and column 'y' has 1"),
    "no target": (json.dumps({"columns": {"ds": history()["ds"]}}).encode(), "target"),
    "no stamps": (json.dumps({"columns": {"y": history()["y"]}}).encode(), "stamp"),
    "text in numbers": (json.dumps(columns(y=["many"] * 60)).encode(), "'y'"),
    "infinity": (json.dumps(columns(y=[float("inf"), *history()["y"][1:]])).encode(), "infinity"),
    "a gap": (json.dumps({"columns": {name: values[:20] + values[30:] for name, values in history().items()}}).encode(), "10 steps missing"),
    "absurd stamps": (json.dumps(columns(ds=["0001-01-01", "9999-12-31"] * 30)).encode(), "ds"),
    "numbers too large": (b'{"columns": {"ds": ["2024-01-01"], "y": [' + b"9" * 5000 + b"]}}", ""),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_is_refused_with_a_reason(name, client):
    body, words = BAD[name]
    answer = client.post("/predict", content=body, headers={"Content-Type": "application/json"})
    assert 400 <= answer.status_code < 500
    assert words in answer.json()["error"]
    assert "Traceback" not in answer.text
    assert len(answer.text) < 1000


def test_other_paths_methods_and_types_are_refused_with_a_reason(client):
    assert client.get("/predict").status_code == 405
    assert client.get("/etc/passwd").json() == {"error": "Not Found"}
    assert client.post("/predict", content=json.dumps(columns()), headers={"Content-Type": "text/plain"}).status_code == 422


def test_a_request_may_hold_so_much_and_no_more(client):
    large = json.dumps(columns()).encode() + b" " * 110_000
    assert client.post("/predict", content=large).status_code == 413, "by what its header says"
    pieces = (large[first : first + 10_000] for first in range(0, len(large), 10_000))
    answer = client.post("/predict", content=pieces, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413, "by what arrives"
    assert "0.1 MiB" in answer.json()["error"]


def test_a_body_that_does_not_arrive_is_not_waited_for():
    async def never():
        await asyncio.sleep(60)

    sent = []

    async def send(message):
        sent.append(message)

    door = serving.Door(None, None, serving.Limits(seconds=0.05))
    asyncio.run(door({"type": "http", "path": "/predict", "headers": []}, never, send))
    assert sent[0]["status"] == 408


def test_only_who_bears_the_token_is_answered(saved):
    with TestClient(serving.application(saved, token=TOKEN), base_url=HERE) as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Authorization": "Bearer \u00e4".encode("latin1")}):
            for path in ("/predict", "/metadata", "/openapi.json", "/nowhere"):
                answer = client.post(path, content=b"never parsed", headers=headers)
                assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert client.post("/predict", json=columns(), headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert client.get("/health").status_code == 200


def test_a_page_in_a_browser_cannot_reach_it_under_another_name(saved):
    with TestClient(serving.application(saved, hosts=("127.0.0.1", "::1")), base_url=HERE) as client:
        assert client.get("/health").status_code == 200
        assert client.get("/health", headers={"Host": "[::1]:8000"}).status_code == 200
        for name in ("evil.example", "127.0.0.1.evil.example:8000", "[", ""):
            answer = client.get("/health", headers={"Host": name})
            assert answer.status_code == 400
            assert "this service is called 127.0.0.1" in answer.json()["error"]


def test_no_room_is_said_at_once_and_there_is_room_again_after():
    async def crowd():
        queue, gate = serving.Queue(serving.Limits(queue=2, seconds=5)), threading.Event()
        taken = [asyncio.create_task(queue.answer(lambda: str(gate.wait()))) for _ in range(2)]
        await asyncio.sleep(0.01)
        with pytest.raises(serving.Refused, match="2 predictions") as refused:
            await queue.answer(str)
        gate.set()
        return refused.value, await asyncio.gather(*taken), await queue.answer(lambda: "again")

    refused, taken, again = asyncio.run(crowd())
    assert (refused.status_code, refused.headers) == (503, {"Retry-After": "1"})
    assert (taken, again) == (["True", "True"], "again")


def test_what_takes_too_long_keeps_its_place_until_it_ends():
    async def slow():
        queue, gate = serving.Queue(serving.Limits(queue=1, seconds=0.05)), threading.Event()
        with pytest.raises(serving.Refused, match=r"no answer within 0\.05 s"):
            await queue.answer(lambda: str(gate.wait()))
        with pytest.raises(serving.Refused, match="waiting or running"):
            await queue.answer(str)
        gate.set()
        await asyncio.sleep(0.1)
        return await queue.answer(lambda: "done")

    assert asyncio.run(slow()) == "done"


def test_a_mistake_of_ours_shows_no_traceback(saved, monkeypatch):
    monkeypatch.setattr(type(saved.model), "predict", lambda *_: 1 / 0)
    with TestClient(serving.application(saved), base_url=HERE, raise_server_exceptions=False) as client:
        answer = client.post("/predict", json=columns())
        assert (answer.status_code, answer.text) == (500, "Internal Server Error")


def test_good_and_bad_requests_in_a_crowd_each_get_what_is_theirs(client):
    good = json.dumps(columns()).encode()

    def ask(number):
        body = good if number % 2 else list(BAD.values())[number // 2 % len(BAD)][0]
        return number % 2, client.post("/predict", content=body, headers={"Content-Type": "application/json"}).status_code

    with ThreadPoolExecutor(serving.Limits().queue) as crowd:
        answers = list(crowd.map(ask, range(48)))
    assert {status for is_good, status in answers if is_good} == {200}
    assert all(400 <= status < 500 for is_good, status in answers if not is_good)


def test_it_listens_to_this_machine_alone_unless_it_asks_for_a_token():
    with pytest.raises(BadInput, match="give a token"):
        serving.listen("0.0.0.0", 0, is_open=False)
    serving.listen("0.0.0.0", 0, is_open=True).close()
    with serving.listen("127.0.0.1", 0, is_open=False) as taken, pytest.raises(BadInput, match="cannot listen"):
        serving.listen("127.0.0.1", taken.getsockname()[1], is_open=False)
    with pytest.raises(BadInput, match="cannot listen"):
        serving.listen("no.such.host.invalid", 0, is_open=True)


@pytest.mark.parametrize("token", ["short", "sixteen letters \u00e4"])
def test_a_token_that_can_be_guessed_or_not_be_sent_is_refused(token, saved):
    with pytest.raises(BadInput, match="at least 16"):
        serving.run(saved, "127.0.0.1", 0, token, serving.Limits(), print)


def test_a_missing_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ensemble_forecast.serving", None)
    monkeypatch.delattr("ensemble_forecast.serving")
    assert typed("serve") == 2
    assert 'pip install "ensemble-forecast[serve]"' in capsys.readouterr().err
