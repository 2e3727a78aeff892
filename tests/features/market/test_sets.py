"""Every feature set of candles, crossed with every law of its kind."""

from dataclasses import replace

import numpy as np
import pytest
from candles import SETS, candle_panel, daily, walk

from ensemble_forecast.data.panel import Panel
from ensemble_forecast.errors import BadInput
from ensemble_forecast.features.market.live import TAIL, Live
from ensemble_forecast.features.market.on_candles import LARGEST
from ensemble_forecast.features.sets import find_set, with_features

every_set = pytest.mark.parametrize("name", SETS)
WARM_UP = 540  # rows: the longest chain of windows
NOT_OF_THE_PRICE = ("patterns",)  # TA-Lib is given whole numbers: see test_patterns_do_not_change_with_the_unit_of_the_price


def made(name, panel):
    """The columns a set makes, (rows, columns)."""
    return find_set(name)(panel).past[:, len(panel.past_names) :]


def changed(**functions):
    """A walk some of whose columns went through a function."""
    panel = walk()
    column = {"close": panel.y} | dict(zip(panel.past_names, panel.past.T, strict=True))
    prices = {name: functions.get(name, functions.get("price", np.array)) for name in ("open", "high", "low", "close")}
    chosen = prices | {"volume": functions.get("volume", np.array)}
    return candle_panel({name: chosen[name](values) for name, values in column.items()})


def holes(values):
    out = np.array(values)
    out[[0, 3, 50, 51, 52, 300, 699]] = np.nan
    return out


def scattered(values):
    out = np.array(values)
    out[np.random.default_rng(int(values[5] * 1000)).random(len(out)) < 0.1] = np.nan
    return out


UGLY = {
    "constant": changed(price=lambda x: np.full(len(x), 3.3)),
    "constant after a while": changed(price=lambda x: np.where(np.arange(len(x)) > 200, x[200], x)),
    "nothing traded": changed(volume=np.zeros_like),
    "nothing traded for a while": changed(volume=lambda x: np.where(np.arange(len(x)) % 300 > 150, 0, x)),
    "holes": changed(price=holes, volume=holes),
    "scattered holes": changed(price=scattered, volume=scattered),
    "no volume known": changed(volume=lambda x: np.full(len(x), np.nan)),
    "tiny prices": changed(price=lambda x: x * 1e-9),
    "huge volume": changed(volume=lambda x: x * 1e12),
    "one jump": changed(price=lambda x: np.where(np.arange(len(x)) > 400, 1e6 * x, x)),
    "quiet": changed(price=lambda x: 1 + 1e-9 * x),
    "one row": walk(1),
    "two rows": walk(2),
    "five rows": walk(5),
    "forty rows": walk(40),
    "high below low": changed(high=lambda x: x * 0.9, low=lambda x: x * 1.1),
}


@every_set
@pytest.mark.parametrize("case", UGLY)
def test_ugly_candles_give_bounded_numbers_and_gaps_at_the_beginning_only(name, case):
    columns = made(name, UGLY[case])
    assert not np.isinf(columns).any()
    known = ~np.isnan(columns)
    assert (np.diff(known.astype(int), axis=0) >= 0).all(), "NaN after a number"
    assert (np.abs(columns[known]) <= LARGEST).all()
    if len(columns) > WARM_UP:
        assert known[WARM_UP:].all()


@every_set
def test_a_set_says_more_than_nothing(name):
    columns = made(name, walk(24 * 400 if name == "clock" else 1500))
    varied = np.nanstd(columns, axis=0) > 0
    dull = np.array(find_set(name)(walk(10)).past_names[4:])[~varied]
    assert len(dull) <= (6 if name == "patterns" else 0), f"nothing ever happens in {dull}"  # some patterns are too rare for so few candles


def test_there_are_more_than_250_columns_with_names_of_their_own():
    panel = with_features(walk(300), ("candles", *SETS))
    assert len(panel.past_names) == len(set(panel.past_names)) >= 250
    for name in SETS:
        columns = [column for column in find_set(name)(walk(10)).past_names if column not in walk(10).past_names]
        assert columns == [column for column in columns if column.startswith(f"{name}_")]
        assert len(columns) >= 10


@every_set
def test_a_set_does_not_know_the_level_of_the_price_nor_the_unit_of_the_volume(name):
    if name in NOT_OF_THE_PRICE:
        return
    panel = walk()
    scaled = replace(panel, y=7.3 * panel.y, past=panel.past * np.array([7.3, 7.3, 7.3, 1e4]))
    np.testing.assert_allclose(made(name, scaled), made(name, panel), rtol=1e-6, atol=1e-6)


def test_patterns_do_not_change_with_the_unit_of_the_price():
    panel = walk()
    for factor in (2.0**-7, 2.0**9):
        scaled = replace(panel, y=factor * panel.y, past=panel.past * np.array([factor, factor, factor, 1.0]))
        np.testing.assert_array_equal(made("patterns", scaled), made("patterns", panel))


@every_set
def test_rows_do_not_hang_on_what_follows_to_the_bit(name):
    panel = walk()
    whole = made(name, panel)
    for rows in (1, 2, 6, 30, 333, 699):
        np.testing.assert_array_equal(made(name, panel.cut(np.array([rows - 1]))), whole[:rows])


@every_set
def test_each_series_of_a_panel_gets_what_it_would_get_alone(name):
    one, two, short = walk(300, 1), walk(120, 2), walk(3, 3)
    parts = (one, short, two)
    panel = Panel.of([part.y for part in parts], freq="h", past=[part.past for part in parts])
    together = made(name, replace(panel, past_names=one.past_names))
    np.testing.assert_array_equal(together, np.concatenate([made(name, part) for part in parts]))


@pytest.mark.parametrize("start", [1, 4, 250, 900])
def test_a_new_candle_gives_the_row_of_the_full_batch(start):
    panel = walk(900 + 120, seed=5)
    rows = np.arange(len(panel.y))[:, None] - start
    holed = replace(panel, past=np.where(np.isin(rows, [3, 50]), np.nan, panel.past), y=np.where(np.isin(rows[:, 0], [50, 51]), np.nan, panel.y))
    names = sorted(SETS, reverse=True)
    whole = with_features(holed, names)
    stamp = holed.stamps(0, 0, len(holed.y)).to_numpy()
    live = Live(names, holed.cut(np.array([start - 1])))
    for row in range(start, start + 120):
        opened, high, low, volume = holed.past[row]
        made = live.append(stamp[row], open=opened, high=high, low=low, close=holed.y[row], volume=volume)
        batch = dict(zip(whole.past_names, whole.past[row], strict=True))
        np.testing.assert_allclose([made[column] for column in made], [batch[column] for column in made], rtol=1e-9, atol=1e-12)
        assert len(made) == len(batch) - len(panel.past_names)


def test_the_tail_outlives_a_long_way_past_its_own_length():
    panel = walk(2 * TAIL + 40, seed=6)
    stamp = panel.stamps(0, 0, len(panel.y)).to_numpy()
    live = Live(("volume", "regime", "garch"), panel.cut(np.array([TAIL - 20])))
    for row in range(TAIL - 19, len(panel.y)):
        opened, high, low, volume = panel.past[row]
        made = live.append(stamp[row], open=opened, high=high, low=low, close=panel.y[row], volume=volume)
    whole = with_features(panel, ("volume", "regime", "garch"))
    np.testing.assert_array_equal(list(made.values()), whole.past[-1, 4:])


@pytest.mark.parametrize("name", ["far_back", "rank_in_window"])
def test_live_refuses_a_set_that_reaches_further_back_than_its_tail(name):
    with pytest.raises(BadInput, match=f"come out otherwise from so few: {name}_mean"):
        Live(("price", f"candles:{name}"), walk(1200))


def test_live_refuses_what_it_cannot_go_on_from():
    panel = walk(20)
    with pytest.raises(BadInput, match="'candles' is not written for candles"):
        Live(("candles",), panel)
    two = replace(Panel.of([panel.y, panel.y], past=[panel.past, panel.past]), past_names=panel.past_names)
    with pytest.raises(BadInput, match="the panel holds 2"):
        Live(("price",), two)
    live, stamp = Live(("price",), panel), panel.stamps(0, 0, 21).to_numpy()
    with pytest.raises(BadInput, match="must follow"):
        live.append(stamp[19], open=1.0, high=1.0, low=1.0, close=1.0)
    with pytest.raises(BadInput, match="above zero"):
        live.append(stamp[20], open=1.0, high=1.0, low=0.0, close=1.0)


def test_the_sets_read_the_prices_that_candles_leaves_out_of_the_result():
    panel = walk(60)
    both, apart = with_features(panel, ("candles", "price")), made("price", panel)
    assert not {"open", "high", "low", "volume"} & set(both.past_names)
    np.testing.assert_array_equal(both.past[:, 3:], apart)
    assert with_features(panel, ()) is panel


@pytest.mark.parametrize("name", ["volume", "price"])
def test_what_a_set_needs_is_named_when_it_is_missing(name):
    panel = candle_panel({"close": walk(30).y} | dict(zip(("open", "high", "low"), walk(30).past.T, strict=False)))
    if name == "volume":
        with pytest.raises(BadInput, match="past covariate 'volume'"):
            find_set(name)(panel)
    bare = Panel.of([np.arange(1.0, 30.0)])
    with pytest.raises(BadInput, match="open, high and low beside the close; there are: none"):
        find_set(name)(bare)


def test_a_price_below_zero_is_refused_with_its_step():
    with pytest.raises(BadInput, match=r"step 7 .*price 'low' must be above zero"):
        find_set("price")(walk(30, low=np.where(np.arange(30) == 7, -1.0, walk(30).past[:, 2])))


def test_a_set_of_ones_own_is_named_by_its_import_string():
    panel = daily()
    found = with_features(panel, ("price", "candles:range_only"))
    assert found.past_names[-1] == "range_only_range"
    np.testing.assert_allclose(found.past[:, -1], np.log(panel.past[:, 1] / panel.past[:, 2]), rtol=1e-9, atol=1e-12)
    assert Live(("candles:range_only",), panel).append(np.datetime64("2030-01-01"), open=2.0, high=4.0, low=2.0, close=3.0) == {
        "range_only_range": pytest.approx(np.log(2))
    }


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere:at_all", "cannot be imported"),
        ("candles:nothing", "cannot be imported"),
        ("candles:NAMES", "must be a function from a Panel to a Panel; it is a tuple"),
        ("prise", "did you mean 'price'"),
        ("candles:forgetful", "must return its panel"),
        ("candles:own_target", "must leave ids and target as they are"),
        ("candles:overwriting", "changes the column 'open'"),
        ("candles:twice", "makes columns that are there already: price_body"),
    ],
)
def test_a_set_that_breaks_the_contract_is_refused_by_name(name, said):
    with pytest.raises(BadInput, match=said):
        with_features(walk(30), ("price", name))
