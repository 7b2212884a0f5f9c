"""What every test may use: the reference data, where it is there, and one profile of hypothesis."""

import os
from pathlib import Path

import hypothesis
import pytest

SHARED = Path(__file__).parents[2] / "shared" / "data"

# No deadline: a machine of two busy cores is slow now and then, and that is no fault of the code.
hypothesis.settings.register_profile("local", deadline=None, max_examples=50)
# The same examples each time, so that a red run is red again when it is looked into.
hypothesis.settings.register_profile("ci", deadline=None, max_examples=50, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of reference data beside the checkout; without it the test is skipped."""
    if not SHARED.is_dir():
        pytest.skip("no reference data beside the checkout")
    return SHARED
