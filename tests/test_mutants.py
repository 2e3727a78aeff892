"""Spoilt artefacts: refused in a line, or as good as before. Three hundred more in tests/soak."""

import pytest
from mutants import check, sound
from small_ensemble import history

from ensemble_forecast import load


def test_what_is_spoilt_was_sound(tmp_path):
    files, forecast = sound()
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert load(tmp_path).predict(history()).equals(forecast)


@pytest.mark.parametrize("number", range(45))
def test_a_spoilt_artefact_is_refused_or_forecasts_as_before(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check(number, tmp_path)
