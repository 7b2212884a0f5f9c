"""Grids from files to a workspace: read, divide or adjust, write, and remember what they were made from.

A workspace of the main job gets the layers of grids beside its own; where there
is none, one is made that has only these.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import geopandas as gpd
import pandas as pd

from geo import workspace
from geo.atomic import alone
from geo.errors import InputError
from geo.exchange import read
from geo.exchange.grid_file import read_grids
from geo.exchange.household_file import read_households
from geo.findings import gather, joined
from geo.grid_page import write_before_after
from geo.grids import Grids, GridSettings, Profile, adjust_grids, norm_costs, partition
from geo.grids.check import check_grids
from geo.grids.compare import Comparison, compare
from geo.grids.households import from_contractors, households
from geo.grids.split import BudgetName
from geo.provenance import Run, content, hashes
from geo.schema import GRID_FINDINGS, GRID_LAYERS
from geo.workers import Tell

# What a line given by the caller is, in the words of officers and of the land graph.
LINE_KINDS: Final = {
    "道路": "road",
    "村道": "lane",
    "公路": "highway",
    "铁路": "railway",
    "河流": "river",
    "围墙": "wall",
}
_SITE_NAMES: Final = ("name", "名称", "单位名称", "网格名称", "mc", "dwmc", "wgmc")
_GIVEN: Final = ("household_key", "village_code", "group_code", "households", "geometry")  # not what we make
_COUNTY: Final = ("grid_villages_overlap", "grid_village_unusable")  # told of all villages by every run
_COMPUTING: Final = ("numba",)


@dataclass(frozen=True, slots=True, kw_only=True)
class GridInputs:
    """Paths of what grids are made from; what is not given is taken from the workspace, if it has it."""

    households: Path | None = None
    villages: Path | None = None
    survey: Path | None = None
    groups: Path | None = None
    exclusive: Path | None = None
    parcels: Path | None = (
        None  # contract parcels with their register: for want of households, its contractors
    )
    lines: tuple[tuple[str, Path], ...] = ()  # kind and file
    grids: Path | None = None  # existing ones, to be adjusted, checked or compared
    households_crs: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GridLayers:
    """What was read, in one CRS."""

    homes: gpd.GeoDataFrame  # layer ``households``
    villages: gpd.GeoDataFrame
    survey: gpd.GeoDataFrame | None
    lines: gpd.GeoDataFrame | None
    groups: gpd.GeoDataFrame | None
    exclusive: gpd.GeoDataFrame | None
    grids: gpd.GeoDataFrame | None
    findings: tuple[pd.DataFrame, ...]
    files: dict[str, dict[str, str]] = field(default_factory=dict)  # content of files by role
    stored: bool = False  # homes are those of the workspace: what was wrong with them is told there

    def layers(self) -> dict[str, gpd.GeoDataFrame | None]:
        """What helps to divide, by name."""
        return {name: getattr(self, name) for name in ("survey", "lines", "groups", "exclusive")}


def read_grid_layers(inputs: GridInputs, work: Path) -> GridLayers:
    """Read what grids are made from.

    Parameters
    ----------
    inputs : GridInputs
    work : path
        A workspace, or none yet.

    Returns
    -------
    GridLayers

    Raises
    ------
    InputError
        If neither a file nor the workspace has villages, or households.
    GeoError
        If a file cannot be read or does not belong to the same county.
    """
    if work.suffix.lower() != ".gpkg":
        raise InputError(f"成果文件 {work} 应以 .gpkg 结尾")
    held = workspace.open(work) if work.exists() else None
    readings: dict[str, read.Reading] = {}
    near: gpd.GeoDataFrame | None = None
    if held is not None:
        known = held.read("villages")
        near = gpd.GeoDataFrame(known) if len(known) else None
    if inputs.survey is not None:
        readings["survey"] = read.survey(inputs.survey, near=near)
        near = readings["survey"].table if near is None else near
    if inputs.villages is not None:
        readings["villages"] = read.villages(inputs.villages, near=near)
        villages = readings["villages"].table
    elif held is not None and len(known):
        villages = gpd.GeoDataFrame(known)
    else:
        raise InputError(f"没有村界：工作区 {work} 里没有，请用 --villages 给出村级调查区 CJDCQ")
    if inputs.groups is not None:
        readings["groups"] = read.groups(inputs.groups, near=villages)
    groups = readings["groups"].table if "groups" in readings else None
    survey = readings["survey"].table if "survey" in readings else None
    source = _source(inputs, villages, readings)
    notes: list[pd.DataFrame] = []
    if source is None:
        homes = _stored(held)
    else:
        placed = households(source, villages, groups=groups, residential=survey)
        homes, notes = placed.points, [placed.findings]
    lines, exclusive = _lines(inputs, villages, readings), None
    if inputs.exclusive is not None:
        readings["exclusive"] = read.vector(inputs.exclusive)
        exclusive = _sites(readings["exclusive"].table.to_crs(villages.crs))
    if inputs.grids is not None:
        readings["grids"] = read_grids(inputs.grids, near=villages)
    return GridLayers(
        homes=homes,
        villages=villages,
        survey=survey,
        lines=lines,
        groups=groups,
        exclusive=exclusive,
        grids=readings["grids"].table if "grids" in readings else None,
        findings=(*(reading.findings for reading in readings.values()), *notes),
        files={role: hashes(reading.files) for role, reading in readings.items()}
        | ({"households": {"workspace": content(homes, _GIVEN)}} if source is None else {}),
        stored=source is None,
    )


def _source(
    inputs: GridInputs, villages: gpd.GeoDataFrame, readings: dict[str, read.Reading]
) -> gpd.GeoDataFrame | None:
    """Houses from their file, else the contractors; None if neither is given."""
    if inputs.households is not None:
        reading = read_households(inputs.households, near=villages, crs=inputs.households_crs)
        readings["households"] = reading
        return gpd.GeoDataFrame(reading.table)
    if inputs.parcels is not None:
        parcels = read.parcels(inputs.parcels, near=villages)
        readings["parcels"] = parcels
        if not len(parcels.contractors):
            raise InputError(
                f"{inputs.parcels.name} 里没有承包方（CBF），推不出住户：请用 --households 给出住户"
            )
        return from_contractors(parcels.contractors, parcels=parcels.table, villages=villages)
    return None


def _stored(held: workspace.Workspace | None) -> gpd.GeoDataFrame:
    """Homes of the workspace."""
    if held is not None and "households" in held.layers:
        homes = held.read("households")
        if len(homes):
            return gpd.GeoDataFrame(homes)
    raise InputError(
        "没有住户：请用 --households 给出房屋面、住户点或住户表；没有时可用 --parcels 给出确权成果"
    )


def _sites(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Exclusive sites with the column ``name``."""
    words = {str(column).casefold(): column for column in table.columns}
    column = next((words[word] for word in _SITE_NAMES if word in words), None)
    names = "" if column is None else table[column].astype("str").fillna("").str.strip()
    return table.assign(name=names)


def _lines(
    inputs: GridInputs, villages: gpd.GeoDataFrame, readings: dict[str, read.Reading]
) -> gpd.GeoDataFrame | None:
    """All lines with their kind."""
    parts = []
    for number, (kind, path) in enumerate(inputs.lines):
        if kind not in LINE_KINDS:
            raise InputError(f"没有线的种类“{kind}”：可用 {'、'.join(LINE_KINDS)}")
        reading = read.vector(path)
        told = reading.findings  # that a line is no area is no flaw of a line
        readings[f"lines{number}"] = replace(reading, findings=told[told["rule"].ne("geometry_kind")])
        table = reading.table.to_crs(villages.crs)
        parts.append(gpd.GeoDataFrame({"kind": LINE_KINDS[kind]}, index=table.index, geometry=table.geometry))
    return gpd.GeoDataFrame(pd.concat(parts, ignore_index=True), crs=villages.crs) if parts else None


def partition_files(  # noqa: PLR0913 - what the command line offers, by name
    work: str | os.PathLike[str],
    inputs: GridInputs,
    *,
    settings: GridSettings | None = None,
    only: Collection[str] = (),
    jobs: int = 0,
    progress: Tell | None = None,
) -> Grids:
    """Divide villages into grids and put them into a workspace.

    Parameters
    ----------
    work : path
        A workspace, or where one is to be made.
    inputs, settings, only, jobs, progress
        As `read_grid_layers` and `geo.grids.partition` take them.

    Returns
    -------
    Grids
        As written.

    Raises
    ------
    GeoError
        If an input cannot be read, or the workspace not written; what stood there stays.
    """
    target = Path(work)
    with alone(target):
        layers = read_grid_layers(inputs, target)
        before = previous_grids(target)
        result = partition(
            layers.homes,
            layers.villages,
            **layers.layers(),
            previous=before,
            only=only,
            settings=settings,
            read_findings=layers.findings,
            jobs=jobs,
            progress=progress,
        )
        return keep(target, result, layers, what={"work": "partition", "only": sorted(only)})


def adjust_files(  # noqa: PLR0913 - what the command line offers, by name
    work: str | os.PathLike[str],
    inputs: GridInputs,
    *,
    settings: GridSettings | None = None,
    only: Collection[str] = (),
    page: Path | None = None,
    jobs: int = 0,
    progress: Tell | None = None,
) -> Grids:
    """Bring existing grids into a norm, and put them into a workspace.

    Parameters
    ----------
    work, inputs, settings, only, jobs, progress
        As `partition_files` takes them. ``inputs.grids`` are the grids there are;
        without, those of the workspace.
    page : path, optional
        Where grids before and after are drawn side by side.

    Returns
    -------
    Grids
        As written.

    Raises
    ------
    InputError
        If a page is wanted and the grids there are have no polygons.
    GeoError
        If an input cannot be read, or the workspace not written; what stood there stays.
    """
    target = Path(work)
    with alone(target):
        layers = read_grid_layers(inputs, target)
        before = previous_grids(target)
        drawn = layers.grids
        if drawn is None and before is not None:
            drawn = gpd.GeoDataFrame(before["grids"])
        if page is not None and drawn is None:
            raise InputError("现有网格没有面（只有住户所属网格），画不出对照图：请用 --grids 给出现有网格面")
        result = adjust_grids(
            layers.homes,
            layers.villages,
            layers.grids,
            **layers.layers(),
            previous=before,
            only=only,
            settings=settings,
            read_findings=layers.findings,
            jobs=jobs,
            progress=progress,
        )
        kept = keep(target, result, layers, what={"work": "adjust", "only": sorted(only)})
        if page is not None and drawn is not None:
            norm = result.settings.profile
            told = compare(drawn, result.grids, result.households, profile=norm)
            write_before_after(told, village_names(layers.villages), page)
        return kept


def curve_files(  # noqa: PLR0913 - what the command line offers, by name
    work: str | os.PathLike[str],
    inputs: GridInputs,
    norms: Sequence[Profile],
    *,
    budget: BudgetName = "standard",
    seed: int = 0,
    only: Collection[str] = (),
    jobs: int = 0,
    progress: Tell | None = None,
) -> pd.DataFrame:
    """What each of several norms would cost the county; nothing is written.

    Returns
    -------
    DataFrame
        As `geo.grids.run.norm_costs` gives it.

    Raises
    ------
    GeoError
        If an input cannot be read.
    """
    target = Path(work)
    layers = read_grid_layers(inputs, target)
    return norm_costs(
        layers.homes,
        layers.villages,
        layers.grids,
        norms,
        **layers.layers(),
        previous=previous_grids(target),
        only=only,
        settings=GridSettings(budget=budget, seed=seed),
        jobs=jobs,
        progress=progress,
    )


def checked_files(
    work: str | os.PathLike[str], inputs: GridInputs, *, profile: Profile, micro: Profile | None = None
) -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
    """Grids of a workspace or a file, measured and checked; nothing is written.

    Returns
    -------
    As `geo.grids.check.check_grids`.

    Raises
    ------
    InputError
        If there are no grids, or no households.
    GeoError
        If an input cannot be read.
    """
    layers = read_grid_layers(inputs, Path(work))
    grids = layers.grids if layers.grids is not None else _kept_grids(Path(work))
    rows, found = check_grids(grids, layers.homes, layers.villages, profile=profile, micro=micro)
    return rows, joined([*layers.findings, found])


def compared_files(
    work: str | os.PathLike[str], inputs: GridInputs, *, profile: Profile, page: Path | None = None
) -> Comparison:
    """Grids of a file as they were before, those of the workspace as they are now; drawn on a page if wanted.

    Raises
    ------
    InputError
        If either has no grids, or there are no households.
    GeoError
        If an input cannot be read.
    """
    layers = read_grid_layers(inputs, Path(work))
    if layers.grids is None:
        raise InputError("没有给出用来比较的网格：请用 --grids 给出")
    result = compare(layers.grids, _kept_grids(Path(work)), layers.homes, profile=profile)
    if page is not None:
        write_before_after(result, village_names(layers.villages), page)
    return result


def village_names(villages: gpd.GeoDataFrame) -> dict[str, str]:
    """Name of each village by its code, of those that have one."""
    held = villages.dropna(subset=["village_name"])
    return dict(zip(held["village_code"], held["village_name"], strict=True))


def _kept_grids(work: Path) -> gpd.GeoDataFrame:
    before = previous_grids(work)
    if before is None:
        raise InputError(f"工作区 {work} 里没有网格：请用 --grids 给出，或先运行 taotu grids partition")
    return gpd.GeoDataFrame(before["grids"])


def previous_grids(target: Path) -> dict[str, pd.DataFrame] | None:
    """Layers of grids of a workspace that has any."""
    if not target.exists():
        return None
    held = workspace.open(target)
    if not set(GRID_LAYERS) <= set(held.layers):
        return None
    tables = {layer: held.read(layer) for layer in GRID_LAYERS}
    return tables if len(tables["grids"]) else None


def keep(target: Path, result: Grids, layers: GridLayers, *, what: Mapping[str, object]) -> Grids:
    """Write grids into a workspace that is held alone, beside what else is in it.

    Findings of an earlier run stay where this one has not looked: those of villages it
    left out, and of homes it took as they stood.

    Returns
    -------
    Grids
        With all findings on grids that the workspace now has.
    """
    described: dict[str, dict[str, object]] = {role: {"files": files} for role, files in layers.files.items()}
    run = Run.of({**described, "grids": dict(what)}, result.settings_json(), more=_COMPUTING)
    tables = result.tables()
    if not target.exists():
        tables |= {
            "villages": layers.villages,
            "findings": _numbered(result.findings),
            "runs": run.after(None),
        }
        workspace.write(target, tables, crs=layers.villages.crs, held=True)
        return result
    held = workspace.open(target)
    for name, table in tables.items():
        if isinstance(table, gpd.GeoDataFrame):
            tables[name] = table.to_crs(held.crs)
    before = held.read("findings")
    ours = before["finding_id"].str.startswith(GRID_FINDINGS)
    old = before[ours & _unseen(before, result, layers)]
    found = gather([old, tables["findings"]], held.crs)
    tables["findings"] = joined([before[~ours], _numbered(found)])
    tables["runs"] = run.after(held.read("runs"))
    if not len(held.read("patches", geometry=False)):  # of grids alone: villages are those they were drawn in
        tables["villages"] = layers.villages.to_crs(held.crs)
    workspace.amend(target, tables, held=True)
    return replace(result, findings=found)


def _unseen(found: pd.DataFrame, result: Grids, layers: GridLayers) -> "pd.Series[bool]":
    """Findings of an earlier run that this one could not make again."""
    of_homes = found["rule"].str.startswith("household_") | found["layer"].eq("household_file")
    elsewhere = found["rule"].str.startswith("grid_") & ~found["rule"].isin(_COUNTY)
    elsewhere &= found["village_code"].notna() & ~found["village_code"].isin(result.villages)
    return (of_homes if layers.stored else of_homes & False) | elsewhere


def _numbered(found: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Findings under numbers of grids."""
    return found.assign(finding_id=[f"{GRID_FINDINGS}{text[1:]}" for text in found["finding_id"]])
