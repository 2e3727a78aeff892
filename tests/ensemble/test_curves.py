import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from ensemble_forecast.data.task import Task
from ensemble_forecast.ensemble.curves import AS_IS, CURVES, bend, choose, learn

TASK = Task(horizon=1, kind="direction")


def drawn(seed, n, distort):
    """Log-odds (n, 1, 1) that say the truth after it was distorted, and labels (n, 1)."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(size=(n, 1))
    return distort(odds)[..., None], (rng.random((n, 1)) < 1 / (1 + np.exp(-odds))).astype(float)


def loss(odds, truth):
    return (np.logaddexp(0, odds[..., 0]) - truth * odds[..., 0]).mean()


@pytest.mark.parametrize(("name", "numbers"), [("platt", 2), ("beta", 3)])
def test_a_curve_is_at_the_minimum_of_its_penalised_loss(name, numbers):
    odds, truth = drawn(0, 60, lambda odds: 2 * odds)
    learnt = learn(name, odds, truth, 30)
    assert len(learnt) == numbers

    def penalised(each):
        return 30 * loss(bend(name, each, odds), truth) + ((each - np.append(np.ones(numbers - 1), 0)) ** 2).sum() / 2

    for place in range(numbers):
        for step in (-0.02, 0.02):
            moved = learnt + step * (np.arange(numbers) == place)
            assert penalised(learnt) < penalised(moved) or (moved < 0).any()


def test_beta_agrees_with_a_logistic_regression_on_its_two_logarithms():
    odds, truth = drawn(1, 40_000, lambda odds: 1.5 * odds + 0.4 * np.maximum(odds, 0))
    up = 1 / (1 + np.exp(-odds.ravel()))
    oracle = LogisticRegression(C=np.inf, tol=1e-8).fit(np.column_stack([np.log(up), -np.log(1 - up)]), truth.ravel())
    np.testing.assert_allclose(learn("beta", odds, truth, 40_000), [*oracle.coef_[0], oracle.intercept_[0]], atol=0.01)


def test_isotonic_is_that_of_scikit_learn_and_never_sure():
    odds, truth = drawn(2, 300, lambda odds: odds**3)
    up = 1 / (1 + np.exp(-bend("isotonic", learn("isotonic", odds, truth, 300), odds)))
    oracle = IsotonicRegression().fit(odds.ravel(), truth.ravel()).predict(odds.ravel())
    np.testing.assert_allclose(up.ravel(), np.clip(oracle, 1 / 302, 1 - 1 / 302), atol=1e-9)


@pytest.mark.parametrize("name", CURVES)
def test_no_curve_turns_an_order_round(name):
    odds, truth = drawn(3, 200, lambda odds: -odds)
    assert (np.diff(bend(name, learn(name, odds, truth, 200), np.linspace(-9, 9, 101)[:, None]), axis=0) >= 0).all()


@pytest.mark.parametrize("name", ["platt", "beta"])
def test_few_independent_clusters_move_little_however_many_cells_there_are(name):
    odds, truth = drawn(3, 5000, lambda odds: 1.5 * odds)
    few, many = (np.abs(bend(name, learn(name, odds, truth, n), odds) - odds).mean() for n in (1, 3000))
    assert few < 0.5 * many


@pytest.mark.parametrize(
    ("distort", "expected"),
    [
        (lambda odds: 3 * odds, {"platt", "beta"}),
        (lambda odds: np.where(odds > 0, 4 * odds, odds), {"beta", "isotonic"}),
        (lambda odds: np.sign(odds) * np.abs(odds) ** 0.2 * 3, {"isotonic"}),
        (lambda odds: odds, {AS_IS}),
    ],
)
def test_the_curve_that_fits_the_distortion_is_chosen(seeded, distort, expected):
    odds, truth = drawn(4, 4000, distort)
    assert choose(odds, truth, seeded.panel_rows(4000, 1), TASK).name in expected


def test_what_is_called_unseen_was_not_learnt_from(seeded):
    rows = seeded.single_rows(4, 200, 1)
    odds, truth = drawn(5, 800, lambda odds: 3 * odds)
    chosen = choose(odds, truth, rows, TASK)
    own = rows.window == 2
    turned = truth.copy()
    turned[np.flatnonzero(own)[:10]] = 1 - turned[np.flatnonzero(own)[:10]]
    again = choose(odds, turned, rows, TASK)
    assert chosen.name == again.name != AS_IS
    assert again.unseen_NHQ[own].tobytes() == chosen.unseen_NHQ[own].tobytes()
    assert again.unseen_NHQ[~own].tobytes() != chosen.unseen_NHQ[~own].tobytes()


def test_a_single_block_of_origins_leaves_odds_as_they_are(seeded):
    odds, truth = drawn(6, 3, lambda odds: 9 * odds)
    chosen = choose(odds, truth, seeded.single_rows(1, 3, 7), Task(horizon=7, kind="direction"))
    assert chosen.name == AS_IS
    assert chosen.unseen_NHQ.tobytes() == odds.tobytes()


def test_three_classes_have_one_slope_and_an_intercept_each_by_which_honest_odds_come_back(seeded):
    """Odds three times too bold, and one class too dear."""
    rng = np.random.default_rng(7)
    n = 6000
    honest = np.concatenate([np.zeros((n, 1)), rng.normal(size=(n, 2))], axis=1)
    shares = np.exp(honest) / np.exp(honest).sum(axis=1, keepdims=True)
    truth = (rng.random((n, 1)) > np.cumsum(shares, axis=1)).sum(axis=1).astype(float)[:, None]
    told = 3 * honest[:, None, 1:] + np.array([0.0, 1.2])
    chosen = choose(told, truth, seeded.panel_rows(n, 1), Task(horizon=1, kind="direction", label="barrier"))
    assert chosen.name == "platt"
    np.testing.assert_allclose(chosen.numbers, [1 / 3, 0.0, -0.4], atol=0.06)
    np.testing.assert_allclose(bend("platt", chosen.numbers, told)[:, 0], honest[:, 1:], atol=0.3)
