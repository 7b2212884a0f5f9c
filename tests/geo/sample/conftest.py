"""The counties the tests of the generator look at, made once."""

import pytest

from geo.sample import SampleSettings, county

SMALL = {"villages": 2, "seed": 5, "patches_per_village": 60}


@pytest.fixture(scope="session")
def clean():
    return county(SampleSettings(**SMALL))


@pytest.fixture(scope="session")
def still():
    return county(SampleSettings(**SMALL, noise_m=(0.0, 0.0)))


@pytest.fixture(scope="session")
def messy():
    return county(SampleSettings.small())
