from ensemble_forecast.ensemble.buckets import bucket_of


def test_buckets_are_nearly_equal_and_in_order():
    assert bucket_of(6, 4).tolist() == [0, 0, 1, 2, 2, 3]
    assert bucket_of(3, 3).tolist() == [0, 1, 2]
    assert bucket_of(5, 1).tolist() == [0] * 5
