import numpy as np
import pytest

from ensemble_forecast.evaluate.abstention import SHARES, abstaining, surest
from ensemble_forecast.evaluate.rates import wilson
from ensemble_forecast.evaluate.sample import Sample


def drawn(n=200, horizon=2):
    """Honest probabilities, labels of which some are missing, and where they come from."""
    rng = np.random.default_rng(0)
    up = rng.uniform(size=(n, horizon))
    label = (rng.random((n, horizon)) < up).astype(float)
    label[rng.random((n, horizon)) < 0.1] = np.nan
    return label, up, Sample(np.zeros(n, int), np.arange(n), horizon)


def test_the_surest_are_called_first_as_a_loop_finds_them():
    label, up, sample = drawn()
    cells = sorted((-abs(up[n, h] - 0.5), n, h) for n in range(200) for h in range(2) if np.isfinite(label[n, h]))
    for row, share in zip(surest(label, up, sample), SHARES, strict=True):
        kept = cells[: round(row["share"] * len(cells))]
        assert row["asked"] == share
        assert row["share"] == pytest.approx(share, abs=1 / len(cells))
        assert row["hit_rate"] == pytest.approx(np.mean([(up[n, h] > 0.5) == (label[n, h] > 0.5) for _, n, h in kept]))
        assert row["least"] == pytest.approx(0.5 - kept[-1][0])
        assert row["bets"] == len({n for _, n, _ in kept}) // 2
        assert row["interval"] == wilson(row["hit_rate"], row["bets"])


def test_those_that_are_equally_sure_are_called_together_and_even_chances_never():
    up = np.array([[0.9], [0.1], [0.9], [0.5], [0.5]])
    rows = surest(np.ones((5, 1)), up, Sample(np.zeros(5, int), np.arange(5), 1))
    assert {row["share"] for row in rows} == {0.6}
    assert {row["hit_rate"] for row in rows} == {2 / 3}
    assert surest(np.full((5, 1), np.nan), up, Sample(np.zeros(5, int), np.arange(5), 1)) == []


def test_only_sets_of_one_class_are_called():
    up = np.array([[0.9], [0.45], [0.2], [0.55], [0.7]])
    label = np.array([[1.0], [1.0], [1.0], [0.0], [np.nan]])
    forecast, sample = np.stack([1 - up, up], axis=-1), Sample(np.zeros(5, int), np.arange(5), 1)
    none, one, both, all_ = abstaining(label, forecast, np.array([0.05, 0.3, 0.55, 1.0]), sample)
    assert (none["none"], none["share"], none["held"], none["hit_rate"]) == (1.0, 0.0, 0.0, None)
    assert (one["none"], one["share"], one["hit_rate"], one["held"], one["bets"]) == (0.5, 0.5, 0.5, 0.25, 2)
    assert (both["several"], both["share"], both["hit_rate"], both["held"]) == (0.5, 0.5, 0.5, 0.75)
    assert (all_["several"], all_["held"]) == (1.0, 1.0)
    assert both["held_interval"] == wilson(0.75, 4)
    assert abstaining(label, forecast, np.empty(0), sample) == []
