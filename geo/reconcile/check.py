"""Checks of the layers that come in: every rule of the registry, and the few repairs that are made.

A rule looks at the layers and says which rows are wrong and why; it changes
nothing. Rings that cross themselves are the exception: land must have an
area, so they are repaired first and the area before and after is said.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
import pandas as pd
import shapely
from geopandas import GeoDataFrame

from geo.area import ellipsoidal_area
from geo.findings import findings, joined
from geo.reconcile import parcel_rules, survey_rules  # each enters its rules in the registry
from geo.reconcile.align import Alignment, AlignSettings, align
from geo.reconcile.classify import is_farmland
from geo.reconcile.homes import Homes, homes
from geo.reconcile.overlay import OverlaySettings
from geo.reconcile.rules import RULES, CheckSettings, Context
from geo.reconcile.sources import Sources
from geo.topology import is_polygonal, repair
from geo.workers import cores

__all__ = ["Checked", "check", "parcel_rules", "survey_rules"]

AREAL: Final = 2  # dimensions of what has an area


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checked:
    """Sources with valid geometry, the villages of their rows, and what was found."""

    sources: Sources
    homes: Homes
    alignment: Alignment
    geometry_area: "pd.Series[float]"  # ellipsoidal m2 of each survey patch
    findings: pd.DataFrame


def check(
    sources: Sources,
    settings: CheckSettings | None = None,
    *,
    aligning: AlignSettings | None = None,
    jobs: int = 0,
) -> Checked:
    """Repair what must be, lay the parcels where they belong, then run every rule of the registry.

    Parameters
    ----------
    sources : Sources
        As `geo.reconcile.sources.prepared` gives them.
    settings : CheckSettings, optional
        Tolerances.
    aligning : AlignSettings, optional
        How parcels are moved onto the survey; what waits to be accepted is a finding here.
    jobs : int
        Threads; 0 takes every core.

    Returns
    -------
    Checked
        The same rows; geometry that was valid and lay right is untouched.
    """
    checked = mended(sources, aligning, stop=False, jobs=jobs)
    with ThreadPoolExecutor(cores(jobs)) as pool:
        found = list(pool.map(lambda task: task(), rule_tasks(checked, settings, jobs=jobs)))
    return replace(checked, findings=joined([checked.findings, *found]))


def mended(
    sources: Sources, aligning: AlignSettings | None = None, *, stop: bool = True, jobs: int = 0
) -> Checked:
    """What the main job builds on: repairs, villages and shifts, with their findings, before any rule has run.

    Raises
    ------
    ShiftError
        If ``stop``, and a shift waits to be accepted.
    """
    sources, repairs = _repaired(sources, jobs=jobs)
    with ThreadPoolExecutor(max_workers=1) as pool:
        area = pool.submit(ellipsoidal_area, sources.survey)
        where = homes(sources)
        alignment = align(
            sources.parcels,
            sources.survey[is_farmland(sources.survey["land_class"]).to_numpy(dtype=bool)],
            villages=where.parcel_village,
            names=where.village_names,
            settings=aligning,
            stop=stop,
            jobs=jobs,
        )
        sources = replace(sources, parcels=alignment.parcels)
        if len(alignment.original):
            where = homes(sources)
    return Checked(
        sources=sources,
        homes=where,
        alignment=alignment,
        geometry_area=area.result(),
        findings=joined([*repairs, where.findings, alignment.findings]),
    )


def rule_tasks(
    checked: Checked, settings: CheckSettings | None = None, *, jobs: int = 0
) -> list[Callable[[], pd.DataFrame]]:
    """Every rule of the registry, ready to be called from any thread; no rule waits for another."""
    context = Context(
        sources=checked.sources,
        homes=checked.homes,
        settings=settings or CheckSettings(),
        geometry_area=checked.geometry_area,
        overlay=OverlaySettings(jobs=jobs),
    )
    return [partial(function, context) for function in RULES]


def _repaired(sources: Sources, *, jobs: int) -> tuple[Sources, list[pd.DataFrame]]:
    names = ("survey", "parcels", "villages", "groups", "baseline", "extent")
    given = {name: layer for name in names if (layer := getattr(sources, name)) is not None and len(layer)}
    with ThreadPoolExecutor(cores(jobs)) as pool:  # to ask whether a ring is valid takes no lock of Python's
        done = list(pool.map(_mended_layer, given, given.values()))
    layers = {name: layer for name, (layer, _) in zip(given, done, strict=True) if layer is not None}
    return replace(sources, **layers), [note for _, notes in done for note in notes]


def _mended_layer(name: str, layer: GeoDataFrame) -> tuple[GeoDataFrame | None, list[pd.DataFrame]]:
    """The layer with valid land only, None where it was that already, and what was mended."""
    parts: list[pd.DataFrame] = []
    polygons = np.asarray(layer.geometry.array)
    flat = (
        (shapely.get_dimensions(polygons) < AREAL)
        & ~shapely.is_missing(polygons)
        & ~shapely.is_empty(polygons)
    )
    if flat.any():
        parts.append(_not_land(name, layer[flat]))
        polygons = polygons.copy()
        polygons[flat] = None
    bad = ~shapely.is_missing(polygons) & ~(shapely.is_valid(polygons) & is_polygonal(polygons))
    if not bad.any() and not flat.any():
        return None, parts
    fixed = repair(polygons[bad])
    new = polygons.copy()
    new[bad] = fixed.fixed
    mended = layer.copy()
    mended["geometry"] = new
    mended = GeoDataFrame(mended, geometry="geometry", crs=layer.crs)
    rows = mended[bad]
    code = _row_codes(name, rows)
    messages = [
        f"{c or '要素'}：{why}；修复前 {before:.2f} m²，修复后 {after:.2f} m²"
        for c, why, before, after in zip(code, fixed.reason, fixed.area_before, fixed.area_after, strict=True)
    ]
    parts.append(
        findings(
            "geometry_repaired",
            messages,
            layer=name,
            rows=rows,
            row_code=code,
            area_before_m2=np.round(fixed.area_before, 2),
            area_after_m2=np.round(fixed.area_after, 2),
        )
    )
    return mended, parts


def _not_land(layer: str, rows: GeoDataFrame) -> pd.DataFrame:
    messages = [f"{code or '要素'} 是点或线，不是面，不参与套合" for code in _row_codes(layer, rows)]
    return findings("geometry_not_land", messages, layer=layer, rows=rows, row_code=_row_codes(layer, rows))


def _row_codes(layer: str, rows: pd.DataFrame) -> list[str]:
    column = {
        "survey": "patch_code",
        "parcels": "parcel_code",
        "villages": "village_code",
        "groups": "group_code",
        "baseline": "patch_number",
    }.get(layer)
    return rows[column].fillna("").tolist() if column in rows else [""] * len(rows)
