"""What every test may use: the reference data, where it is there, and one profile of hypothesis."""

import os
import shutil
from pathlib import Path

import hypothesis
import pytest
from playwright.sync_api import sync_playwright

from tests import database

SHARED = Path(__file__).parents[2] / "shared" / "data"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

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


@pytest.fixture(scope="session")
def browser():
    """One Chromium for all tests of a process: a second beside it would be refused."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine (Debian package: chromium)")
    quiet = ["--disable-background-networking", "--disable-component-update", "--no-first-run"]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", *quiet]
        )
        yield running
        running.close()


@pytest.fixture(scope="session")
def postgis():
    """A PostGIS server of this run's own; where none is installed the test is skipped, but never where all must run."""
    if database.programs() is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(database.NOT_THERE)
    with database.server() as server:
        yield server
