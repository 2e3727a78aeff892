"""Numbers as people write them."""

import numpy as np
import pandas as pd
import pytest

from ensemble_forecast.data.numerals import decimal_mark, is_numeric, to_numbers


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["1,234.5", "7"], [1234.5, 7]),
        (["1.234,5", "7"], [1234.5, 7]),
        (["1,234", "5,678"], [1234, 5678]),  # English unless something speaks against it
        (["1,234", "0,5"], [1.234, 0.5]),
        (["1.234.567", "1.234"], [1234567, 1234]),
        (["1 234", "1'234", "1_234"], [1234, 1234, 1234]),
        (["1e3", "-2.5E-1", "+4", ".5", "5."], [1000, -0.25, 4, 0.5, 5]),
        (["\u22123", "$4", "5 \u20ac"], [-3, 4, 5]),
        (["1", "", "NA", "null", "-", "nan", None], [1] + [np.nan] * 6),
        (["True", "false"], [1, 0]),
        (["inf", "-Infinity"], [np.inf, -np.inf]),
    ],
)
def test_numbers_are_read_in_every_spelling(cells, numbers):
    values, bad = to_numbers(pd.Series(cells))
    np.testing.assert_array_equal(values, numbers)
    assert not bad.any()


@pytest.mark.parametrize("cell", ["abc", "1.2.3", "12,34,5", "1-2", "2024-01-01", "--1", "1e", "0x10", "5%", "3 apples"])
def test_what_is_no_number_is_marked(cell):
    values, bad = to_numbers(pd.Series(["1.5", cell]))
    assert bad.tolist() == [False, True]
    assert np.isnan(values[1])


def test_contradicting_marks_decide_nothing():
    assert decimal_mark(pd.Series(["0.5", "0,5"])) is None


def test_a_column_is_numeric_when_most_of_it_is():
    assert is_numeric(pd.Series(["1", "2", "x"]))
    assert not is_numeric(pd.Series(["1", "y", "x"]))
    assert not is_numeric(pd.Series(["2024-01-01"]))
    assert not is_numeric(pd.Series([None, None], dtype=object))
    assert not is_numeric(pd.Series(pd.date_range("2024", periods=2)))
