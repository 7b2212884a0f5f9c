"""The county that the tests of alignment lay askew, made once."""

import pytest

from geo.sample import SampleSettings, county


@pytest.fixture(scope="session")
def laid_county():
    """Two villages of some 700 parcels each, drawn with an error of 0.5 to 1.5 m, none of them shifted."""
    return county(SampleSettings(villages=2, seed=5, patches_per_village=120, noise_m=(0.5, 1.5)))
