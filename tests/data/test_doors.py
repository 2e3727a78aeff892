"""Generated tables at the door: read as written, or refused in a line. Five hundred more in tests/soak."""

import tempfile
from pathlib import Path

from doors import check, tables
from hypothesis import HealthCheck, given, settings

QUICK = settings(max_examples=60, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@QUICK
@given(drawn=tables())
def test_a_table_is_read_as_written_or_refused(drawn):
    with tempfile.TemporaryDirectory() as folder:
        check(drawn, Path(folder))
