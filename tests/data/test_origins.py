"""Of many origins a few are kept."""

import numpy as np
import pytest

from ensemble_forecast.data.origins import Origins


@pytest.mark.parametrize(("count", "kept"), [(0, []), (3, [0, 1, 2]), (4, [0, 1, 2, 3]), (10, [0, 3, 6, 9])])
def test_few_origins_are_all_kept_and_of_many_evenly_spaced_ones_from_end_to_end(count, kept):
    origins = Origins(np.zeros(count, int), np.arange(count))
    assert origins.spread(4).step.tolist() == kept
