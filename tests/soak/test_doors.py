"""Five hundred generated tables at the door: read as written, or refused in a line."""

import tempfile
from pathlib import Path

import pytest
from doors import check, tables
from hypothesis import HealthCheck, given, settings

pytestmark = pytest.mark.soak


@settings(max_examples=500, deadline=None, database=None, print_blob=True, suppress_health_check=list(HealthCheck))
@given(drawn=tables())
def test_five_hundred_tables_are_read_as_written_or_refused(drawn):
    with tempfile.TemporaryDirectory() as folder:
        check(drawn, Path(folder))
