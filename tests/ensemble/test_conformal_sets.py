import numpy as np
import pytest
from mapie.classification import SplitConformalClassifier
from sklearn.linear_model import LogisticRegression

from ensemble_forecast.ensemble.conformal_sets import PROMISED, sets, thresholds


def test_the_sets_are_those_of_mapie():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 1))
    label = (rng.random(300) < 1 / (1 + np.exp(-2 * x[:, 0]))).astype(int)
    model = LogisticRegression().fit(x[:100], label[:100])
    oracle = SplitConformalClassifier(model, confidence_level=list(PROMISED), conformity_score="lac", prefit=True).conformalize(
        x[100:200], label[100:200]
    )
    expected = oracle.predict_set(x[200:])[1]
    found = thresholds(model.predict_proba(x[100:200])[:, None], label[100:200, None].astype(float), 100)
    for place, threshold in enumerate(found):
        ours = sets(model.predict_proba(x[200:])[:, None], threshold)[:, 0]
        np.testing.assert_array_equal(ours, expected[..., place])
        assert 0 < ours.sum() < ours.size


def test_each_threshold_is_the_order_statistic_that_the_sample_asks_for():
    up = np.array([0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95, 0.5])
    truth = np.ones((11, 1))
    truth[-1] = np.nan
    forecast = np.stack([1 - up, up], axis=-1)[:, None]
    ordered = np.sort(1 - up[:-1])
    np.testing.assert_allclose(thresholds(forecast, truth, 10), ordered[[6, 7, 8, 9]])  # ceil(11 x 0.6) = 7 and so on
    np.testing.assert_allclose(thresholds(forecast, truth, 5)[:3], ordered[[7, 9, 9]])  # ranks 4, 5 and 5 of five
    assert thresholds(forecast, truth, 5)[3] == 1.0, "five say nothing about nine tenths"
    assert sets(forecast, 1.0).all()


@pytest.mark.parametrize(("threshold", "size"), [(0.2, 0), (0.3, 1), (0.6, 1), (0.7, 2)])
def test_a_set_holds_none_one_or_both_classes(threshold, size):
    assert sets(np.array([[[0.7, 0.3]]]), threshold).sum() == size
