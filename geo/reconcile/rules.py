"""What a rule of checking is, what it may look at, and how it says which rows are wrong."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pandas as pd
from geopandas import GeoDataFrame

from geo.findings import findings
from geo.reconcile.homes import Homes
from geo.reconcile.overlay import OverlaySettings
from geo.reconcile.sources import Sources


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSettings:
    """From where on a difference is worth a row."""

    area_tolerance_m2: float = 1.0  # |TBMJ - area of the geometry|: both this
    area_tolerance_share: float = 0.001  # and this share must be exceeded
    parcel_area_share: float = 0.2  # |SCMJ - area of the geometry| over this share
    overlap_area_m2: float = 100.0  # two parcels over each other by this much ...
    overlap_width_m: float = 2.5  # ... and this wide (2 A / perimeter) are one land with two rights
    overlap_frame_m2: float = 10.0  # neighbours whose frames share less than this are not looked at
    overlap_share: float = 0.3  # and so is this share of the lesser one: borders err by metres, not by fields
    survey_overlap_m2: float = 1.0  # two patches over each other by this much
    off_farmland_share: float = 0.5  # a parcel with more than this of its land off farmland


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Context:
    """What a rule may look at."""

    sources: Sources
    homes: Homes
    settings: CheckSettings
    geometry_area: "pd.Series[float]"
    overlay: OverlaySettings


LARGEST_M2: Final = 1e10
Rule = Callable[[Context], pd.DataFrame]
RULES: Final[list[Rule]] = []


def rule(function: Rule) -> Rule:
    """Enter a rule in the registry; rules run in the order they stand."""
    RULES.append(function)
    return function


def survey_rows(context: Context, name: str, bad: "pd.Series[bool]", text: str) -> pd.DataFrame:
    """Findings for survey rows; ``text`` may use the columns of the layer in braces."""
    if not bad.any():
        return findings(name, [], layer="survey")
    rows = context.sources.survey[bad.to_numpy(dtype=bool)]
    rows = at_home(rows, context.homes.patch_village)
    return findings(name, _messages(text, rows), layer="survey", rows=rows, row_code=rows["patch_code"])


def parcel_rows(context: Context, name: str, bad: "pd.Series[bool]", text: str) -> pd.DataFrame:
    """Findings for parcel rows; ``text`` may use the columns of the layer in braces."""
    if not bad.any():
        return findings(name, [], layer="parcels")
    rows = context.sources.parcels[bad.to_numpy(dtype=bool)]
    rows = at_home(rows, context.homes.parcel_village)
    rows["location"] = context.homes.parcel_location.loc[rows.index]
    return findings(name, _messages(text, rows), layer="parcels", rows=rows, row_code=rows["parcel_code"])


def at_home(rows: GeoDataFrame, village: "pd.Series[str]") -> GeoDataFrame:
    """Rows with their village; an empty selection stays empty, which plain assignment would not keep."""
    return rows.assign(village_code=village.loc[rows.index])


def _messages(text: str, rows: pd.DataFrame) -> list[str]:
    if rows.empty:
        return []
    plain = rows.drop(columns="geometry").astype(object)
    records = plain.where(plain.notna(), "").to_dict("records")
    return [text.format_map({str(name): value for name, value in row.items()}) for row in records]


def is_area(values: "pd.Series[float]") -> "pd.Series[bool]":
    """Whether each value can be the area of a patch: over nothing, under ten thousand km²."""
    return values.gt(0) & values.lt(LARGEST_M2)


def blank(values: "pd.Series[str]") -> "pd.Series[bool]":
    """Whether each value is missing or only spaces."""
    return values.isna() | values.str.strip().eq("")
