"""Commands of the command line, typed inside the test's own process."""

import pytest

from ensemble_forecast import cli


def typed(*argv):
    """Type a command; returns its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["ensemble-forecast", *map(str, argv)])
        try:
            cli.main()
        except SystemExit as error:
            return error.code or 0
    return 0
