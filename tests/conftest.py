import pytest
from commands import typed


@pytest.fixture(scope="session")
def smoke_home(tmp_path_factory):
    """Run the smoke pipeline whole, once: a working directory with runs/smoke searched, stacked and evaluated."""
    folder = tmp_path_factory.mktemp("smoke")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for verb in (["search", "--budget", "12s"], ["stack", "--budget", "25s"], ["evaluate"]):
            assert typed(verb[0], "--study", "smoke", *verb[1:]) == 0, verb
    return folder
