"""A county of two villages, the second of which lies 60 m off: what a datum left unconverted looks like."""

import pytest

from geo.pipeline import Inputs
from geo.sample import SampleSettings, county, deliver


@pytest.fixture(scope="session")
def shifted(tmp_path_factory):
    """Inputs of the county, delivered as files."""
    folder = tmp_path_factory.mktemp("shifted")
    made = SampleSettings(villages=2, seed=5, shift_m=60, patches_per_village=60, noise_m=(0.2, 0.8))
    deliver(county(made), folder)
    (held,) = [path.parent for path in folder.glob("*/矢量数据")]
    return Inputs(survey=folder / "三调", parcels=held, baseline=folder / "二调" / "DLTB.shp")
