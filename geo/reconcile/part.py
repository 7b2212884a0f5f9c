"""One village's share of a result: what is worked out at a time, kept on disk, and put together."""

from dataclasses import dataclass

import pandas as pd
from geopandas import GeoDataFrame


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VillagePart:
    """One village's share of the result."""

    patches: GeoDataFrame  # layer patches
    pieces: GeoDataFrame  # layer pieces, without codes
    covered: pd.DataFrame  # village_code, group_code, covered_area_m2
    findings: pd.DataFrame
