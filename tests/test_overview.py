"""What a run tells about itself beyond the table."""

import pytest

from ensemble_forecast.overview import transfers


def row(rank, family, value, **params):
    return {
        "rank": rank,
        "id": f"{family}-{rank or 0:04d}",
        "family": family,
        "state": "finished" if rank else "failed",
        "value": value,
        "params": params,
    }


@pytest.mark.parametrize(
    ("board", "said"),
    [
        ([row(1, "mlp", 0.8, start="old"), row(2, "mlp", 0.9)], ["mlp: starting from old pays: 0.8000 (mlp-0001), 0.9000 from scratch (mlp-0002)"]),
        (
            [row(1, "ridge", 0.7), row(2, "mlp", 0.8), row(3, "mlp", 0.9, start="old"), row(4, "mlp", 0.95, start="older")],
            ["mlp: starting from old does not pay: 0.9000 (mlp-0003), 0.8000 from scratch (mlp-0002)"],
        ),
        (
            [row(1, "mlp", 0.8, start="old"), row(None, "mlp", None), row(2, "gru", 0.9, start="")],
            ["mlp: starting from old cannot be judged: no candidate from scratch is finished"],
        ),
        ([row(1, "ridge", 0.7), row(None, "mlp", None, start="old")], []),
    ],
    ids=["pays", "does not", "alone", "none"],
)
def test_it_says_whether_a_start_from_elsewhere_pays(board, said):
    assert transfers(board) == said
