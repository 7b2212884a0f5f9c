"""One village, from its land to its grids: divided, outlined, numbered and told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd

from geo import schema
from geo.findings import findings, joined
from geo.grids.former import same_land
from geo.grids.grid_code import MICRO_DIGITS, code_fault, grid_codes, grid_names
from geo.grids.kernel import Ints
from geo.grids.outline import outline
from geo.grids.profiles import PROFILES, Profile
from geo.grids.reasons import UNFOUND, part_reasons
from geo.grids.split import BudgetName, Split, best_split
from geo.grids.units import Land, UnitSettings, land_units

ORDINARY: Final = "ORDINARY"
EXCLUSIVE: Final = "EXCLUSIVE"
MICRO: Final = "MICRO"


@dataclass(frozen=True, slots=True, kw_only=True)
class GridSettings:
    """Everything that decides the result."""

    profile: Profile = PROFILES["rural"]
    micro: Profile | None = None  # grids inside grids
    budget: BudgetName = "standard"
    seed: int = 0
    moved_price: float | None = None  # metres of way a household may be moved for; None: as few as can be
    units: UnitSettings = field(default_factory=UnitSettings)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Place:
    """What is known of one village."""

    village: gpd.GeoDataFrame  # one row: village_code, village_name, geometry
    homes: gpd.GeoDataFrame  # layer ``households``, those in the village
    survey: gpd.GeoDataFrame | None = None
    lines: gpd.GeoDataFrame | None = None
    groups: gpd.GeoDataFrame | None = None
    exclusive: gpd.GeoDataFrame | None = None
    grids: gpd.GeoDataFrame | None = None  # those it has already
    before: Mapping[str, str] = field(default_factory=dict)  # grid each household_key was in
    micro: Mapping[str, str] = field(default_factory=dict)  # and its micro-grid
    issued: tuple[str, ...] = ()  # codes of grids that were ever given out here
    bare: Mapping[str, Any] = field(default_factory=dict)  # shapes of earlier grids without homes, by code

    @property
    def code(self) -> str:
        """The village's code."""
        return str(self.village["village_code"].iloc[0])

    @property
    def name(self) -> str:
        """Its name, or its code where it has none."""
        name = self.village["village_name"].iloc[0]
        return str(name).removesuffix("村民委员会") if pd.notna(name) and name else self.code


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawn:
    """Rows of one village, by layer."""

    grids: gpd.GeoDataFrame
    homes: gpd.GeoDataFrame
    row: pd.DataFrame  # layer ``grid_villages``
    lineage: pd.DataFrame
    findings: pd.DataFrame
    issued: tuple[str, ...] = ()  # codes that were given out before


def divided(land: Land, nodes: Ints, profile: Profile, *, budget: BudgetName, seed: int) -> Split:
    """Some units of a village's land divided by a norm.

    Parameters
    ----------
    land : Land
    nodes : m
        Positions of the units; the answer numbers them from 0, in this order.
    profile : Profile
        At most as many parts as bring their mean to the target, while that is
        possible in the band: a grid more is a leader more.
    budget, seed
        As `geo.grids.best_split` takes them.

    Returns
    -------
    Split
    """
    place = np.full(len(land.units), -1, dtype=np.int64)
    place[nodes] = np.arange(len(nodes))
    ends = place[land.borders[["a", "b"]].to_numpy(dtype=np.int64).reshape(-1, 2)]
    ends = ends[(ends >= 0).all(axis=1)]
    weights = land.units["households"].to_numpy(dtype=np.int64)[nodes]
    total = int(weights.sum())
    least, most = profile.counts(total)
    wanted = int(np.clip(profile.wanted(total), least, max(least, most)))

    def split(parts: tuple[int, int] | None) -> Split:
        return best_split(
            weights,
            ends,
            parts=parts,
            lower=profile.lower,
            upper=profile.upper,
            seed=seed,
            budget=budget,
            coordinates=land.centres[nodes],
            sides=land.sides[nodes],
            tolls=land.tolls,
            distances=None if land.distances is None else land.distances[np.ix_(nodes, nodes)],
        )

    if not 1 <= least <= most:
        return split(None)
    first = split((least, wanted))
    if not first.misses or wanted == most:
        return first
    free = split(None)
    return free if free.misses < first.misses else first


def draw(place: Place, settings: GridSettings) -> Drawn:
    """A village's grids, drawn anew.

    Parameters
    ----------
    place : Place
        A grid that comes out with the very homes of an earlier one keeps its code.
    settings : GridSettings

    Returns
    -------
    Drawn
    """
    land = land_of(place, settings)
    closed = land.units["is_exclusive"].to_numpy(dtype=bool)
    nodes = np.flatnonzero(~closed)
    split = divided(land, nodes, settings.profile, budget=settings.budget, seed=settings.seed)
    labels = np.empty(len(land.units), dtype=np.int64)
    labels[nodes] = split.labels
    parts = len(split.sizes)
    labels[closed] = parts + np.arange(int(closed.sum()))
    shapes = outline(land, labels, village=place.village)
    kept = _kept(place, land, labels, shapes)
    reasons = part_reasons(split.labels, split.sizes, split.reasons, np.arange(len(nodes)), settings.profile)
    row = certificate(place, land, split, settings)
    return told(
        place,
        land,
        settings,
        labels=labels,
        shapes=shapes.assign(
            grid_code=codes_of(place, shapes, kept),
            change=np.where(pd.Series(kept, dtype=object).notna(), "KEPT", "NEW"),
            reason=[*reasons, *[""] * (len(shapes) - parts)],
        ),
        row=row,
        came={code: code for code in kept if code is not None},
    )


def land_of(place: Place, settings: GridSettings, *, cut_by: gpd.GeoDataFrame | None = None) -> Land:
    """Units of a village, cut by the borders of ``cut_by``, and the graph of which touch."""
    return land_units(
        place.village,
        place.homes,
        survey=place.survey,
        lines=place.lines,
        groups=place.groups,
        exclusive=place.exclusive,
        cut_by=cut_by,
        settings=settings.units,
    )


def told(  # noqa: PLR0913 - a village in its parts
    place: Place,
    land: Land,
    settings: GridSettings,
    *,
    labels: Ints,
    shapes: gpd.GeoDataFrame,
    row: pd.DataFrame,
    came: Mapping[str, str],
    notes: Sequence[pd.DataFrame] = (),
) -> Drawn:
    """Rows of a village's layers from outlines with ``grid_code, change, reason``.

    ``came`` tells what a grid was before, by its code, even if no home was in it.
    """
    codes = shapes["grid_code"].tolist()
    grids = _rows(
        place, shapes, codes, settings.profile, exclusive=shapes["is_exclusive"].to_numpy(dtype=bool)
    )
    sites = _site_names(land, labels, len(shapes))
    grids["grid_name"] = np.where(sites != "", sites, grids["grid_name"])
    homes = place.homes.assign(
        grid_code=np.array(codes, dtype=object)[labels[land.home_unit]], micro_code=None
    )
    lineage = lineage_of(place, homes, grids, came)
    grids["predecessors"] = grids["grid_code"].map(_predecessors(lineage)).astype("str").fillna("")
    row["natural_share"] = _natural_share(land, labels)
    row["reason"] = "；".join(dict.fromkeys(filter(None, shapes["reason"])))
    found = [land.findings, *notes, _out_of_band(grids)]
    if settings.micro is not None:
        micro, homes, more = micro_grids(place, land, settings, labels=labels, grids=grids, homes=homes)
        lineage = pd.concat([lineage, _micro_lineage(place, homes, micro)], ignore_index=True)
        grids = pd.concat([grids, micro], ignore_index=True)
        found.append(more)
    notices = joined(found)
    notices["village_code"] = notices["village_code"].astype("str").fillna(place.code)
    return Drawn(
        grids=_finished(grids),
        homes=homes,
        row=row,
        lineage=lineage,
        findings=notices,
        issued=place.issued,
    )


def micro_grids(  # noqa: PLR0913 - a village in its parts
    place: Place,
    land: Land,
    settings: GridSettings,
    *,
    labels: Ints,
    grids: gpd.GeoDataFrame,
    homes: gpd.GeoDataFrame,
) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame, pd.DataFrame]:
    """Every ordinary grid divided by the smaller norm.

    Parameters
    ----------
    place, land, settings
        As the grids were drawn with; ``settings.micro`` is the norm.
    labels : n
        Row of ``grids`` of each unit of land.
    grids : layer ``grids``
        In the order of the labels.
    homes : layer ``households``
        In the order of ``land.home_unit``.

    Returns
    -------
    micro-grids, homes with ``micro_code``, findings
    """
    norm = settings.micro
    if norm is None:
        raise ValueError("no norm of micro-grids")
    inner = np.full(len(labels), -1, dtype=np.int64)
    parents: list[int] = []
    reasons: list[str] = []
    for grid in np.flatnonzero(grids["grid_kind"].eq(ORDINARY).to_numpy()):
        nodes = np.flatnonzero(labels == grid)
        split = divided(land, nodes, norm, budget=settings.budget, seed=settings.seed)
        inner[nodes] = split.labels + len(parents)
        reasons += part_reasons(split.labels, split.sizes, split.reasons, np.arange(len(nodes)), norm)
        parents += [int(grid)] * len(split.sizes)
    rest = np.flatnonzero(inner < 0)
    inner[rest] = len(parents) + np.arange(len(rest))  # exclusive land: outlined so that all land is there
    shapes = outline(land, inner, village=place.village).iloc[: len(parents)]
    near = [tuple(part for part in parts if part < len(parents)) for parts in shapes["neighbours"]]
    shapes = shapes.assign(neighbours=pd.Series(near, index=shapes.index, dtype=object))
    over = np.array(parents, dtype=np.int64)
    above = grids["grid_code"].to_numpy(dtype=object)[over]
    codes = np.array(
        [
            code if code is not None and code[:15] == parent else None
            for code, parent in zip(
                _same_homes(place, place.micro, land, inner, len(parents)), above, strict=True
            )
        ],
        dtype=object,
    )
    kept = codes != None  # noqa: E711 - cell by cell
    for grid in np.unique(over):
        own = np.flatnonzero((over == grid) & ~kept)
        parent = str(grids["grid_code"].iloc[grid])
        codes[own] = grid_codes(_centres(shapes.iloc[own]), parent, place.issued, digits=MICRO_DIGITS)
    micro = _rows(place, shapes, list(codes), norm, exclusive=np.zeros(len(shapes), dtype=bool))
    micro["grid_kind"] = MICRO
    micro["parent_code"] = above
    micro["grid_name"] = [
        f"{name}第{code[-2:].lstrip('0')}微网格"
        for name, code in zip(grids["grid_name"].to_numpy()[over], codes, strict=True)
    ]
    micro["reason"], micro["change"] = reasons, np.where(kept, "KEPT", "NEW")
    unit = inner[land.home_unit]
    named = np.append(codes, [None] * len(rest))
    return micro, homes.assign(micro_code=named[unit]), _out_of_band(micro)


def certificate(place: Place, land: Land, split: Split, settings: GridSettings) -> pd.DataFrame:
    """The village's row of layer ``grid_villages``: how many grids, and how near the best possible."""
    profile = settings.profile
    total = int(split.sizes.sum())
    least, most = profile.counts(total)
    under, over = int((split.sizes < profile.lower).sum()), int((split.sizes > profile.upper).sum())
    return pd.DataFrame(
        {
            "village_code": [place.code],
            "village_name": [place.name],
            "profile": [str(profile)],
            "households": [total],
            "homes": [len(place.homes)],
            "units": [len(land.units)],
            "grids": [len(split.sizes)],
            "least_grids": [least],
            "most_grids": [most],
            "in_band": [len(split.sizes) - under - over],
            "under": [under],
            "over": [over],
            "misses": [split.misses],
            "least_misses": [split.least_misses],
            "cost_m": [round(split.cost, 3)],
            "bound_m": [round(split.bound, 3)],
            "gap": [round(split.gap, 6)],
            "exact": [split.exact],
            "budget": [settings.budget],
        }
    )


def lineage_of(
    place: Place, homes: gpd.GeoDataFrame, grids: gpd.GeoDataFrame, came: Mapping[str, str]
) -> pd.DataFrame:
    """Households by the grid they were in and the one they are in, layer ``grid_lineage``.

    A grid of which no household was in any before has one row without ``old_code``;
    one without homes has what ``came`` says.
    """
    change = dict(zip(grids["grid_code"], grids["change"], strict=True))
    before = dict(place.before)
    table = pd.DataFrame(
        {
            "old_code": [before.get(key, "") for key in homes["household_key"]],
            "new_code": homes["grid_code"].to_numpy(dtype=object),
            "households": homes["households"].to_numpy(),
        }
    )
    empty = [code for code in grids["grid_code"] if code not in set(table["new_code"])]
    bare = {"old_code": [came.get(code, "") for code in empty], "new_code": empty, "households": 0}
    return _flows(pd.concat([table, pd.DataFrame(bare)]), change, place.code)


def _micro_lineage(place: Place, homes: gpd.GeoDataFrame, micro: gpd.GeoDataFrame) -> pd.DataFrame:
    """The same of micro-grids."""
    own = homes[homes["micro_code"].notna()]
    table = pd.DataFrame(
        {
            "old_code": [place.micro.get(key, "") for key in own["household_key"]],
            "new_code": own["micro_code"].to_numpy(dtype=object),
            "households": own["households"].to_numpy(),
        }
    )
    return _flows(table, dict(zip(micro["grid_code"], micro["change"], strict=True)), place.code)


def _flows(table: pd.DataFrame, change: Mapping[str, str], village: str) -> pd.DataFrame:
    flow = table.groupby(["new_code", "old_code"])["households"].sum().reset_index()
    flow["change"] = flow["new_code"].map(change)
    flow["village_code"] = village
    flow["old_code"] = flow["old_code"].where(flow["old_code"].ne(""))
    return schema.conform(flow, "grid_lineage")


def _predecessors(lineage: pd.DataFrame) -> dict[str, str]:
    held = lineage.dropna(subset=["old_code"])
    return {str(code): ";".join(sorted(rows["old_code"])) for code, rows in held.groupby("new_code")}


def _kept(place: Place, land: Land, labels: Ints, shapes: gpd.GeoDataFrame) -> list[str | None]:
    """For each label, the earlier grid that had the very same homes, or none and the very same land."""
    kept = _same_homes(place, place.before, land, labels, len(shapes))
    for label in np.flatnonzero(shapes["homes"].eq(0).to_numpy()):
        kept[label] = same_land(shapes.geometry.iloc[label], place.bare)
    return [code if code is not None and is_code(code, place) else None for code in kept]


def is_code(name: str, place: Place) -> bool:
    """Whether a grid's name is a code of this village."""
    return not code_fault(name) and name[:12] == place.code


def _same_homes(
    place: Place, before: Mapping[str, str], land: Land, labels: Ints, count: int
) -> list[str | None]:
    """For each label, the name of what had the very same homes before."""
    kept: list[str | None] = [None] * count
    if not before:
        return kept
    keys = place.homes["household_key"].to_numpy(dtype=object)
    members: dict[str, set[str]] = {}
    for key, code in before.items():
        members.setdefault(code, set()).add(key)
    own = labels[land.home_unit]
    for label in range(count):
        mine = set(keys[own == label])
        codes = {before.get(key) for key in mine}
        former = codes.pop() if len(codes) == 1 else None
        if former is not None and members[former] == mine:
            kept[label] = former
    return kept


def _site_names(land: Land, labels: Ints, count: int) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    """Names of exclusive sites by label; empty for other grids."""
    names = np.full(count, "", dtype=object)
    closed = land.units["is_exclusive"].to_numpy(dtype=bool)
    names[labels[closed]] = land.units["site_name"].fillna("").to_numpy(dtype=object)[closed]
    return names


def codes_of(place: Place, shapes: gpd.GeoDataFrame, kept: Sequence[str | None]) -> list[str]:
    """Codes of all grids: those kept, and new serials for the others."""
    new = np.array([label for label, code in enumerate(kept) if code is None], dtype=np.int64)
    fresh = grid_codes(_centres(shapes.iloc[new]), place.code, place.issued)
    given = dict(zip(new.tolist(), fresh, strict=True))
    return [given.get(label) or str(code) for label, code in enumerate(kept)]


def _centres(shapes: gpd.GeoDataFrame) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return shapes[["centre_x", "centre_y"]].to_numpy(dtype=np.float64)


def _rows(
    place: Place,
    shapes: gpd.GeoDataFrame,
    codes: list[str],
    profile: Profile,
    *,
    exclusive: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> gpd.GeoDataFrame:
    """Layer ``grids`` of outlines."""
    size = shapes["households"].to_numpy(dtype=np.int64)
    balance = np.where(size < profile.lower, "UNDER", np.where(size > profile.upper, "OVER", "IN_BAND"))
    named = np.array(codes, dtype=object)
    neighbours = [";".join(sorted(named[list(near)])) for near in shapes["neighbours"]]
    return shapes.reset_index(drop=True).assign(
        grid_code=codes,
        grid_kind=np.where(exclusive, EXCLUSIVE, ORDINARY),
        parent_code="",
        grid_name=grid_names(place.name, codes),
        village_code=place.code,
        village_name=place.name,
        profile=np.where(exclusive, "", str(profile)),
        balance=np.where(exclusive, "", balance),
        neighbours=neighbours,
    )


def _natural_share(land: Land, labels: Ints) -> float:
    """Share of the borders between grids that runs on natural lines; NaN where there is one grid."""
    rows = pd.concat([land.borders, land.closed], ignore_index=True)
    between = labels[rows["a"].to_numpy(dtype=np.int64)] != labels[rows["b"].to_numpy(dtype=np.int64)]
    length, natural = (
        rows[name].to_numpy(dtype=np.float64)[between].sum() for name in ("length_m", "natural_m")
    )
    return float(natural / length) if length else float("nan")


def _out_of_band(grids: gpd.GeoDataFrame) -> pd.DataFrame:
    out = grids[grids["balance"].isin(["UNDER", "OVER"])]
    unproved = out["reason"].eq(UNFOUND)
    parts = []
    for rule, rows in (("grid_out_of_band", out[~unproved]), ("grid_band_not_found", out[unproved])):
        messages = [
            f"{name} {count} 户（标准 {norm}）：{why}"
            for name, count, norm, why in zip(
                rows["grid_name"], rows["households"], rows["profile"], rows["reason"], strict=True
            )
        ]
        parts.append(findings(rule, messages, layer="grids", rows=rows, row_code=rows["grid_code"]))
    return joined(parts)


def _finished(grids: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    names = [*schema.column_names("grids"), "geometry"]
    return schema.conform(grids, "grids")[names].sort_values("grid_code", ignore_index=True)
