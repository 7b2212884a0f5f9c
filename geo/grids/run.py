"""Grids of a whole county: village by village, each on its own, the same at any number of processes."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from geo import schema
from geo.codes import is_digits
from geo.errors import InputError, MismatchError
from geo.findings import findings, gather
from geo.grids.former import former_of, history
from geo.grids.grid_code import code_fault
from geo.grids.profiles import Profile
from geo.grids.redraw import costs, redraw
from geo.grids.village import EXCLUSIVE, MICRO, Drawn, GridSettings, Place, draw
from geo.standards import code_list
from geo.topology import is_polygonal, repair
from geo.workers import Tell, cores, spread

_TOUCH_M: Final = 1.0  # villages' borders are drawn twice: grids are neighbours that share this much of one
_NEAR_M: Final = 0.1
_OVERLAP_M2: Final = 1.0  # villages that share more land than this are told


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grids:
    """Grids of a county: layers of a workspace, and the settings that made them."""

    grids: gpd.GeoDataFrame
    households: gpd.GeoDataFrame
    grid_villages: pd.DataFrame
    grid_lineage: pd.DataFrame
    findings: gpd.GeoDataFrame
    settings: GridSettings
    villages: tuple[str, ...] = ()  # codes of those divided in this run; the others are as they were

    def tables(self) -> dict[str, pd.DataFrame]:
        """Layers by name, as a workspace keeps them; findings are those of grids only."""
        return {
            name: getattr(self, name)
            for name in ("grids", "households", "grid_villages", "grid_lineage", "findings")
        }

    def settings_json(self) -> str:
        """The settings that decide the result, as JSON with sorted keys."""
        return json.dumps(asdict(self.settings), ensure_ascii=False, sort_keys=True, default=sorted)


def partition(  # noqa: PLR0913 - every layer a county may have, by name
    homes: gpd.GeoDataFrame,
    villages: gpd.GeoDataFrame,
    *,
    survey: gpd.GeoDataFrame | None = None,
    lines: gpd.GeoDataFrame | None = None,
    groups: gpd.GeoDataFrame | None = None,
    exclusive: gpd.GeoDataFrame | None = None,
    previous: Mapping[str, pd.DataFrame] | None = None,
    only: Collection[str] = (),
    settings: GridSettings | None = None,
    read_findings: Sequence[pd.DataFrame] = (),
    jobs: int = 0,
    progress: Tell | None = None,
) -> Grids:
    """Divide villages into grids that are balanced in households.

    Parameters
    ----------
    homes : GeoDataFrame of points, layer ``households``
        As `geo.grids.households` gives them; those in no village stay without a grid.
    villages : GeoDataFrame, layer ``villages``
        In a projected CRS in metres; rows of one code are one village.
    survey, lines, groups, exclusive : GeoDataFrame, optional
        Land patches (``land_class``), lines (``kind``: road, lane, highway, railway,
        river, wall), groups' areas (``group_code``), sites with grids of their own
        (``name``); all in the same CRS.
    previous : mapping, optional
        ``grids``, ``households`` and ``grid_lineage`` of the workspace before: a grid
        that comes out with the same homes keeps its code, and no code is used twice.
    only : collection of str
        Codes (or their first digits) of the villages to divide; the others keep their rows.
    settings : GridSettings, optional
        Everything that decides the result.
    read_findings : sequence of DataFrame
        Findings of reading, put into the same table.
    jobs : int
        Processes, 0 for every core; never changes the result.
    progress : callable, optional
        Called after each village.

    Returns
    -------
    Grids

    Raises
    ------
    InputError
        If no village is left to divide.
    MismatchError
        If a layer is in another CRS.
    """
    settings = settings or GridSettings()
    extra = {"survey": survey, "lines": lines, "groups": groups, "exclusive": exclusive}
    _one_system(villages, {"households": homes, **extra})
    places, notes = places_of(homes, villages, extra, previous=previous, only=only)
    drawn = spread(draw, places, settings, workers=cores(jobs), tell=progress, name=_name)
    return gathered(drawn, homes, settings, previous=previous, notes=[*read_findings, *notes])


def adjust_grids(  # noqa: PLR0913 - every layer a county may have, by name
    homes: gpd.GeoDataFrame,
    villages: gpd.GeoDataFrame,
    grids: gpd.GeoDataFrame | None = None,
    *,
    survey: gpd.GeoDataFrame | None = None,
    lines: gpd.GeoDataFrame | None = None,
    groups: gpd.GeoDataFrame | None = None,
    exclusive: gpd.GeoDataFrame | None = None,
    previous: Mapping[str, pd.DataFrame] | None = None,
    only: Collection[str] = (),
    settings: GridSettings | None = None,
    read_findings: Sequence[pd.DataFrame] = (),
    jobs: int = 0,
    progress: Tell | None = None,
) -> Grids:
    """Bring existing grids into a norm with the fewest households moved.

    Parameters
    ----------
    homes, villages, survey, lines, groups, exclusive, previous, only, settings, read_findings, jobs, progress
        As `partition` takes them.
    grids : GeoDataFrame of polygons, layer ``grids`` or ``grid_file``, optional
        Those of ``previous`` if None. Where a village has none, the ``grid_code``
        of its homes tells which grids there are. Its exclusive grids (``grid_kind``)
        stay so where ``exclusive`` is not given.

    Returns
    -------
    Grids
        Villages without any grid are left out, and a finding says so.

    Raises
    ------
    InputError
        If no village is left, or none has grids.
    MismatchError
        If a layer is in another CRS.
    """
    settings = settings or GridSettings()
    extra = {"survey": survey, "lines": lines, "groups": groups, "exclusive": exclusive}
    able, notes = _with_grids(homes, villages, grids, extra, previous=previous, only=only)
    drawn = spread(redraw, able, settings, workers=cores(jobs), tell=progress, name=_name)
    return gathered(drawn, homes, settings, previous=previous, notes=[*read_findings, *notes])


def norm_costs(  # noqa: PLR0913 - every layer a county may have, by name
    homes: gpd.GeoDataFrame,
    villages: gpd.GeoDataFrame,
    grids: gpd.GeoDataFrame | None,
    norms: Sequence[Profile],
    *,
    survey: gpd.GeoDataFrame | None = None,
    lines: gpd.GeoDataFrame | None = None,
    groups: gpd.GeoDataFrame | None = None,
    exclusive: gpd.GeoDataFrame | None = None,
    previous: Mapping[str, pd.DataFrame] | None = None,
    only: Collection[str] = (),
    settings: GridSettings | None = None,
    jobs: int = 0,
    progress: Tell | None = None,
) -> pd.DataFrame:
    """What each of several norms would cost a county that has grids.

    Parameters
    ----------
    homes, villages, grids, survey, lines, groups, exclusive, previous, only, settings, jobs, progress
        As `adjust_grids` takes them.
    norms : sequence of Profile

    Returns
    -------
    DataFrame, a row a norm
        As `geo.grids.adjust.norm_curve` gives them, summed over villages; distances are means by household.

    Raises
    ------
    InputError, MismatchError
        As `adjust_grids` does.
    """
    settings = settings or GridSettings()
    extra = {"survey": survey, "lines": lines, "groups": groups, "exclusive": exclusive}
    able, _ = _with_grids(homes, villages, grids, extra, previous=previous, only=only)
    rows = spread(costs, able, (settings, tuple(norms)), workers=cores(jobs), tell=progress, name=_name)
    table = pd.concat(rows, ignore_index=True)
    table["way"] = table["mean_distance_m"] * table["households"]
    names = ["profile", "lower", "target", "upper"]
    sums = table.groupby(names, sort=False).sum(numeric_only=True).reset_index()
    total = sums["households"].clip(lower=1)
    return sums.assign(moved_share=sums["moved"] / total, mean_distance_m=sums["way"] / total).drop(
        columns="way"
    )


def places_of(
    homes: gpd.GeoDataFrame,
    villages: gpd.GeoDataFrame,
    extra: Mapping[str, gpd.GeoDataFrame | None],
    *,
    previous: Mapping[str, pd.DataFrame] | None = None,
    only: Collection[str] = (),
) -> tuple[list[Place], list[pd.DataFrame]]:
    """What is known of each village, and what is wrong with the villages.

    Parameters
    ----------
    homes, villages, previous, only
        As `partition` takes them.
    extra : mapping
        ``survey``, ``lines``, ``groups``, ``exclusive``, ``grids``: whole layers or None.

    Returns
    -------
    list of Place, in order of code; findings

    Raises
    ------
    InputError
        If no village is left.
    """
    whole, unusable = _whole(villages)
    notes = [unusable, _overlaps(whole)]
    chosen = whole[_wanted(whole["village_code"], only)]
    if chosen.empty:
        asked = "、".join(only) or "全部"
        raise InputError(f"没有可划网格的村（要求：{asked}）：请核对村界和村代码")
    former = former_of(previous)
    homes = homes.sort_values("household_key", kind="stable")
    by_village = homes.groupby("village_code").indices
    tables = {name: table for name, table in extra.items() if table is not None and len(table)}
    places = []
    for row in range(len(chosen)):
        village = chosen.iloc[[row]].reset_index(drop=True)
        code = str(village["village_code"].iloc[0])
        own = homes.iloc[by_village.get(code, [])].reset_index(drop=True)
        near = {name: _in(table, village, code) for name, table in tables.items()}
        before = _grids_of(own, former.grid)
        codes = {*former.codes, *(grid for grid in before.values() if not code_fault(grid))}
        places.append(
            Place(
                village=village,
                homes=own,
                before=before,
                micro={key: former.micro[key] for key in own["household_key"] if key in former.micro},
                issued=tuple(sorted(grid for grid in codes if grid[:12] == code)),
                bare={grid: shape for grid, shape in former.bare.items() if grid[:12] == code},
                **near,
            )
        )
    return places, notes


def gathered(
    drawn: Sequence[Drawn],
    homes: gpd.GeoDataFrame,
    settings: GridSettings,
    *,
    previous: Mapping[str, pd.DataFrame] | None = None,
    notes: Sequence[pd.DataFrame] = (),
) -> Grids:
    """Rows of villages as layers of the county, beside those of villages that were left alone.

    Parameters
    ----------
    drawn : sequence of Drawn
    homes : layer ``households``
        All of them; those of no village among ``drawn`` keep the grid they were in.
    settings, previous, notes
        As `partition` has them.

    Returns
    -------
    Grids
        Sorted by code; no household is missing.
    """
    crs = homes.crs
    done = {str(part.row["village_code"].iloc[0]) for part in drawn}
    grids: list[pd.DataFrame] = [part.grids for part in drawn]
    rows = [part.row for part in drawn]
    lineage = [part.lineage for part in drawn]
    # What a file says of grids that are not there is no code of ours.
    rest = homes[~homes["village_code"].isin(done)].assign(grid_code=None, micro_code=None)
    before = None
    if previous is not None:
        grids.append(_others(previous, "grids", done))
        rows.append(_others(previous, "grid_villages", done))
        before = previous.get("grid_lineage")
        codes = previous["households"].set_index("household_key")
        rest = rest.assign(
            **{name: rest["household_key"].map(codes[name]) for name in ("grid_code", "micro_code")}
        )
    people = pd.concat([*(part.homes for part in drawn), rest], ignore_index=True)
    people = schema.conform(people, "households").sort_values("household_key", ignore_index=True)
    together = gpd.GeoDataFrame(pd.concat(grids, ignore_index=True), geometry="geometry", crs=crs)
    together = _with_outer_neighbours(together.sort_values("grid_code", ignore_index=True))
    table = schema.conform(pd.concat(rows, ignore_index=True), "grid_villages")
    issued = {str(part.row["village_code"].iloc[0]): part.issued for part in drawn}
    past = history(
        before,
        pd.concat(lineage, ignore_index=True),
        issued=issued,
        stood=() if previous is None else previous["grids"]["grid_code"].tolist(),
        standing=together["grid_code"].tolist(),
    )
    keys = ["edition", "village_code", "new_code", "old_code"]
    past = schema.conform(past, "grid_lineage").sort_values(keys, ignore_index=True, na_position="first")
    return Grids(
        grids=together,
        households=gpd.GeoDataFrame(people, geometry="geometry", crs=crs)[
            [*schema.column_names("households"), "geometry"]
        ],
        grid_villages=table.sort_values("village_code", ignore_index=True),
        grid_lineage=past,
        findings=gather([*notes, *(part.findings for part in drawn)], crs),
        settings=settings,
        villages=tuple(sorted(done)),
    )


def _with_grids(  # noqa: PLR0913 - as `adjust_grids`
    homes: gpd.GeoDataFrame,
    villages: gpd.GeoDataFrame,
    grids: gpd.GeoDataFrame | None,
    extra: Mapping[str, gpd.GeoDataFrame | None],
    *,
    previous: Mapping[str, pd.DataFrame] | None,
    only: Collection[str],
) -> tuple[list[Place], list[pd.DataFrame]]:
    """Villages that have grids, and findings on those that have none."""
    if grids is None and previous is not None:
        held = gpd.GeoDataFrame(previous["grids"])
        grids = held[held["grid_kind"].ne(MICRO)]
    layers = {**extra, "grids": grids}
    if extra["exclusive"] is None and grids is not None and "grid_kind" in grids:
        sites = grids[grids["grid_kind"].isin([EXCLUSIVE, code_list("grid_kind")[EXCLUSIVE]])]
        layers["exclusive"] = sites.assign(name=sites.get("grid_name", ""))
    _one_system(villages, {"households": homes, **layers})
    places, notes = places_of(homes, villages, layers, previous=previous, only=only)
    able = [place for place in places if place.before or (place.grids is not None and len(place.grids))]
    if not able:
        raise InputError("各村都没有现有网格，无从调整：请用 --grids 给出，或用 partition 划分")
    for place in places:
        if place not in able:
            text = f"{place.name}（{place.code}）没有现有网格，未作调整"
            rows = place.village
            notes.append(
                findings("grid_village_without", text, layer="grids", rows=rows, row_code=place.code)
            )
    return able, notes


def _name(place: Place) -> str:
    return place.name


def _one_system(villages: gpd.GeoDataFrame, layers: Mapping[str, gpd.GeoDataFrame | None]) -> None:
    if villages.crs is None or not villages.crs.is_projected:
        raise MismatchError("村界须是以米为单位的投影坐标系；请先转换")
    for name, table in layers.items():
        if table is not None and len(table) and table.crs != villages.crs:
            raise MismatchError(f"{name} 的坐标系与村界不同：请先转换到 {villages.crs.name}")


def _whole(villages: gpd.GeoDataFrame) -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
    """One row a village, in order of code, and what cannot be divided."""
    given = villages.geometry.to_numpy()
    shapes = np.full(len(given), None, dtype=object)
    areas = is_polygonal(given)
    shapes[areas] = repair(given[areas]).fixed
    land = is_polygonal(shapes) & (shapely.area(shapes) > 0)
    numbers = villages["village_code"].fillna("").astype("str")
    good = land & is_digits(numbers, 12).to_numpy()
    bad = villages[~good]
    names = bad["village_name"].fillna("").where(bad["village_name"].fillna("").ne(""), "未命名")
    messages = [
        f"{name}（代码 {code or '空'}）{'没有面' if not is_land else '的代码不是 12 位数字'}，未划网格"
        for name, code, is_land in zip(names, numbers[~good], land[~good], strict=True)
    ]
    notes = findings(
        "grid_village_unusable", messages, layer="villages", rows=bad, row_code=numbers[~good].tolist()
    )
    held = villages[good].set_geometry(
        gpd.GeoSeries(shapes[good], index=villages.index[good], crs=villages.crs)
    )
    rows = [
        (code, part["village_name"].dropna().min(), shapely.union_all(part.geometry.to_numpy()))
        for code, part in held.groupby("village_code", sort=True)
    ]
    table = pd.DataFrame(rows, columns=["village_code", "village_name", "geometry"])
    return gpd.GeoDataFrame(table, geometry="geometry", crs=villages.crs), notes


def _overlaps(villages: gpd.GeoDataFrame) -> pd.DataFrame:
    """Villages that lie on one another."""
    shapes = np.asarray(villages.geometry.to_numpy())
    a, b = villages.sindex.query(shapes, predicate="intersects")
    a, b = a[a < b], b[a < b]
    shared = shapely.intersection(shapes[a], shapes[b])
    large = shapely.area(shared) > _OVERLAP_M2
    a, b, shared = a[large], b[large], shared[large]
    codes, names = villages["village_code"].to_numpy(), villages["village_name"].fillna("").to_numpy()
    rows = gpd.GeoDataFrame({"village_code": codes[a]}, geometry=shared, crs=villages.crs)
    messages = [
        f"{names[i]}（{codes[i]}）与{names[j]}（{codes[j]}）的村界重叠 {area:.1f} m²"
        for i, j, area in zip(a, b, shapely.area(shared), strict=True)
    ]
    return findings("grid_villages_overlap", messages, layer="villages", rows=rows, row_code=codes[a])


def _wanted(codes: "pd.Series[str]", only: Collection[str]) -> "pd.Series[bool]":
    return codes.str.startswith(tuple(only)) if only else codes.notna()


def _in(table: gpd.GeoDataFrame, village: gpd.GeoDataFrame, code: str) -> gpd.GeoDataFrame:
    """Rows of a layer that belong to a village by its code, else by place."""
    shape = village.geometry.iloc[0]
    near = np.zeros(len(table), dtype=bool)
    near[table.sindex.query(shape, predicate="intersects")] = True
    if "grid_code" in table:  # of grids not those that only touch
        near[near] = shapely.intersects(shape, shapely.point_on_surface(table.geometry.to_numpy()[near]))
    for column in ("location_unit_code", "group_code", "village_code"):
        if column in table:
            told = table[column].astype("str").fillna("").str[:12].to_numpy(dtype=object)
            own = told == code
            if own.any():
                # Somebody who draws grids does not fill in every cell.
                near = own | (near & (told == "")) if "grid_code" in table else own
                break
    return table[near].reset_index(drop=True)


def _grids_of(homes: gpd.GeoDataFrame, before: Mapping[str, str]) -> dict[str, str]:
    """The grid each home was in: as the workspace has it, else as the file of homes says."""
    told = homes["grid_code"] if "grid_code" in homes else pd.Series("", index=homes.index, dtype="str")
    texts = told.astype("str").fillna("").str.strip()
    pairs = {key: code for key, code in zip(homes["household_key"], texts, strict=True) if code}
    return {**pairs, **{key: before[key] for key in homes["household_key"] if key in before}}


def _others(previous: Mapping[str, pd.DataFrame], layer: str, done: set[str]) -> pd.DataFrame:
    table = previous[layer]
    return table[~table["village_code"].isin(done)]


def _with_outer_neighbours(grids: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Neighbours across villages' borders added to those within."""
    plain = np.flatnonzero(grids["grid_kind"].ne("MICRO").to_numpy())
    shapes = grids.geometry.to_numpy()[plain]
    village = grids["village_code"].to_numpy()[plain]
    codes = grids["grid_code"].to_numpy()[plain]
    tree = shapely.STRtree(shapes)
    a, b = tree.query(shapes, predicate="dwithin", distance=_NEAR_M)
    apart = village[a] < village[b]
    a, b = a[apart], b[apart]
    strip = shapely.area(
        shapely.intersection(shapely.buffer(shapely.boundary(shapes[a]), _NEAR_M), shapes[b])
    )
    close = strip > _TOUCH_M * _NEAR_M
    near: dict[str, set[str]] = {}
    for i, j in zip(codes[a[close]], codes[b[close]], strict=True):
        near.setdefault(i, set()).add(j)
        near.setdefault(j, set()).add(i)
    texts = [
        ";".join(sorted({*(one for one in text.split(";") if one[:12] == code[:12]), *near.get(code, ())}))
        for code, text in zip(grids["grid_code"], grids["neighbours"].fillna(""), strict=True)
    ]
    return grids.assign(neighbours=texts)
