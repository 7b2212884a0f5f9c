"""One village's existing grids brought into a norm: as they were where that will do, and who moved where."""

from dataclasses import replace
from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from geo.errors import InputError
from geo.grids.adjust import Adjusted, adjust, norm_curve
from geo.grids.inherit import old_of_units
from geo.grids.kernel import Ints
from geo.grids.outline import outline, require_tiling
from geo.grids.profiles import Profile
from geo.grids.reasons import part_reasons
from geo.grids.units import Land
from geo.grids.village import Drawn, GridSettings, Place, codes_of, is_code, land_of, told

_SAME_M: Final = 1e-6  # a border nowhere further than this from where it was, in the mean, is the same


def redraw(place: Place, settings: GridSettings) -> Drawn:
    """A village's existing grids brought into the norm with the fewest households moved.

    Parameters
    ----------
    place : Place
        With ``grids``, layer ``grids`` or ``grid_file``; without, ``before`` tells the grid of each home.
        A grid that need not change keeps its code, and its shape to the last byte where that tiles.
    settings : GridSettings

    Returns
    -------
    Drawn
        What a grid lost and won stands in the lineage. A grid keeps its code while it has a
        successor; a new one, and one whose code is none, gets the next serial.

    Raises
    ------
    InputError
        If the village has no grids.
    """
    land, names, old, notes = _standing(place, settings)
    made = adjust(
        land,
        old,
        profile=settings.profile,
        seed=settings.seed,
        budget=settings.budget,
        moved_price=settings.moved_price,
    )
    labels = made.labels
    shapes = outline(land, labels, village=place.village)
    heir = made.grids["old"].to_numpy(dtype=np.int64)
    change = made.grids["change"].to_numpy(dtype=object)
    if place.grids is not None and len(place.grids):
        shapes = _verbatim(shapes, place.grids, np.where(change == "KEPT", heir, -1))
        require_tiling(shapes.geometry.to_numpy(), place.village.geometry.to_numpy())
    code = [names[at] if at >= 0 and is_code(names[at], place) else None for at in heir]
    parts = int((~made.grids["is_exclusive"].to_numpy(dtype=bool)).sum())
    sizes = made.grids["households"].to_numpy(dtype=np.int64)[:parts]
    open_ = np.flatnonzero(labels < parts)
    reasons = part_reasons(labels[open_], sizes, made.reasons, open_, settings.profile)
    before = {
        key: names[old[unit]]
        for key, unit in zip(place.homes["household_key"], land.home_unit, strict=True)
        if old[unit] >= 0
    }
    own = [name for name in names if is_code(name, place)]
    place = replace(place, before=before, issued=tuple(sorted({*place.issued, *own})))
    codes = codes_of(place, shapes, code)
    return told(
        place,
        land,
        settings,
        labels=labels,
        shapes=shapes.assign(
            grid_code=codes,
            change=change,
            reason=[*reasons, *[""] * (len(shapes) - parts)],
        ),
        row=_adjusted_row(place, land, made, settings),
        came={new: names[at] for new, at in zip(codes, heir, strict=True) if at >= 0},
        notes=notes,
    )


def costs(place: Place, shared: tuple[GridSettings, tuple[Profile, ...]]) -> pd.DataFrame:
    """What each norm would cost a village: `geo.grids.adjust.norm_curve` of its existing grids."""
    settings, norms = shared
    land, _, old, _ = _standing(place, settings)
    return norm_curve(land, old, norms, budget=settings.budget, seed=settings.seed)


def _standing(place: Place, settings: GridSettings) -> tuple[Land, list[str], Ints, list[pd.DataFrame]]:
    """Land cut by the grids there are, their names, the one each unit is in, and what is wrong with them."""
    held = place.grids
    if held is not None and len(held):
        land = land_of(place, settings, cut_by=held)
        old, notes = old_of_units(land, held, homes=place.homes)
        return land, _old_names(held), old, notes
    if not place.before:
        raise InputError(f"{place.name}（{place.code}）没有现有网格，无从调整：请用 partition 划分")
    land = land_of(place, settings)
    names, old = _old_by_homes(place, land)
    return land, names, old, []


def _old_names(grids: gpd.GeoDataFrame) -> list[str]:
    """What each existing grid goes by: its code, else its name, else its row; made unique."""
    names: list[str] = []
    for at in range(len(grids)):
        texts = [grids[column].iloc[at] for column in ("grid_code", "grid_name") if column in grids]
        name = next(
            (str(text).strip() for text in texts if pd.notna(text) and str(text).strip()), f"第{at + 1}行"
        )
        names.append(name if name not in names else f"{name}~{at + 1}")
    return names


def _old_by_homes(place: Place, land: Land) -> tuple[list[str], Ints]:
    """Grids by the homes that are said to be in them: a unit was where most of its households were."""
    names = sorted(set(place.before.values()))
    at = {name: number for number, name in enumerate(names)}
    votes = np.zeros((len(land.units), len(names)))
    for key, unit, weight in zip(
        place.homes["household_key"], land.home_unit, place.homes["households"].fillna(0), strict=True
    ):
        if key in place.before:
            votes[unit, at[place.before[key]]] += weight + 1e-6
    old = np.where(votes.any(axis=1), votes.argmax(axis=1), -1)
    return names, old.astype(np.int64)


def _verbatim(shapes: gpd.GeoDataFrame, old: gpd.GeoDataFrame, heir: Ints) -> gpd.GeoDataFrame:
    """Outlines with the very polygon a grid had before, where it is the same land."""
    whole = np.asarray(shapes.geometry.to_numpy()).copy()
    kept = np.flatnonzero(heir >= 0)
    before = shapely.get_parts(old.geometry.to_numpy()[heir[kept]], return_index=True)
    single = np.bincount(before[1], minlength=len(kept)) == 1
    kept, former = kept[single], before[0][np.isin(before[1], np.flatnonzero(single))]
    apart = shapely.area(shapely.symmetric_difference(whole[kept], former))
    same = apart <= _SAME_M * shapely.length(former)
    whole[kept[same]] = former[same]
    return shapes.set_geometry(gpd.GeoSeries(whole, index=shapes.index, crs=shapes.crs))


def _adjusted_row(place: Place, land: Land, made: Adjusted, settings: GridSettings) -> pd.DataFrame:
    """The village's row of layer ``grid_villages`` after an adjustment."""
    profile = settings.profile
    own = made.grids[~made.grids["is_exclusive"].astype(bool)]
    size = own["households"].to_numpy(dtype=np.int64)
    least, most = profile.counts(int(size.sum()))
    return pd.DataFrame(
        {
            "village_code": [place.code],
            "village_name": [place.name],
            "profile": [str(profile)],
            "households": [int(size.sum())],
            "homes": [len(place.homes)],
            "units": [len(land.units)],
            "grids": [len(own)],
            "least_grids": [least],
            "most_grids": [most],
            "in_band": [int(own["in_band"].sum())],
            "under": [int((size < profile.lower).sum())],
            "over": [int((size > profile.upper).sum())],
            "misses": [made.misses],
            "least_misses": [made.least_misses],
            "moved": [made.moved],
            "least_moved": [made.least_moved],
            "budget": [settings.budget],
        }
    )
