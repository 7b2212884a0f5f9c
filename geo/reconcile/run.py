"""The main job: two official maps in, a balanced and coded list of unassigned farmland out.

The steps are functions on tables, run village by village, so that one
village, one county on a laptop and a province on a cluster are the same code.
A village that is done can be kept on disk; an interrupted run goes on from
there to the same result.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from geopandas import GeoDataFrame
from pyproj import CRS

from geo.area import apportion, ellipsoidal_area, mu, net_area
from geo.codes import lookup
from geo.errors import InputError, MismatchError
from geo.findings import findings, gather
from geo.reconcile.align import AlignSettings
from geo.reconcile.balance import balance
from geo.reconcile.border import BorderSettings, border_error, border_finding
from geo.reconcile.check import Checked, mended, rule_tasks
from geo.reconcile.checkpoint import Checkpoint
from geo.reconcile.classify import ClassifySettings, classify, is_farmland
from geo.reconcile.code import allocate
from geo.reconcile.common_area import common_area
from geo.reconcile.overlay import OverlaySettings, overlay
from geo.reconcile.owner import OwnerSettings, owner_groups
from geo.reconcile.part import VillagePart
from geo.reconcile.rules import CheckSettings, is_area
from geo.reconcile.shape import ShapeSettings, opening_width, shape
from geo.reconcile.sources import Sources, prepared
from geo.schema import column_names, conform
from geo.sheets import sheet_code
from geo.standards import code_list
from geo.workers import cores

DUST_M2: Final = 0.005  # less land than this is 0.00 m2 in the books and gets no row of its own
NEAR_MARGIN_M: Final = 400.0  # parcels this far from a village still help to find its groups
# What villages ask of parcels: each takes its rows of them, and a column not taken costs nothing.
_OF_COVERING: Final = ("issuer_code", "village_code", "geometry")
_OF_EVIDENCE: Final = ("parcel_code", "parcel_class", "geometry")

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that decides a result; kept with it in the workspace."""

    share_based_share: float = 0.5  # of a village's rights records in shares: from here on it is share-based
    check: CheckSettings = field(default_factory=CheckSettings)
    align: AlignSettings = field(default_factory=AlignSettings)
    overlay: OverlaySettings = field(default_factory=OverlaySettings)
    border: BorderSettings = field(default_factory=BorderSettings)
    shape: ShapeSettings = field(default_factory=ShapeSettings)
    classify: ClassifySettings = field(default_factory=ClassifySettings)
    owner: OwnerSettings = field(default_factory=OwnerSettings)
    jobs: int = 0  # threads, 0 for every core; never changes the result

    def as_json(self) -> str:
        """The settings that decide the result, as JSON with sorted keys."""
        values = asdict(replace(self, jobs=0))
        values.pop("jobs")
        values["overlay"].pop("jobs", None)
        return json.dumps(values, ensure_ascii=False, sort_keys=True)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reconciliation:
    """A result: the layers of a workspace, and the settings that made them."""

    patches: GeoDataFrame
    parcels: GeoDataFrame
    parcels_original: GeoDataFrame  # those that were moved, where they lay
    pieces: GeoDataFrame
    villages: GeoDataFrame
    findings: GeoDataFrame
    shifts: pd.DataFrame
    balance: pd.DataFrame
    code_register: pd.DataFrame
    settings: Settings

    def tables(self) -> dict[str, pd.DataFrame]:
        """Layers by name, as a workspace keeps them."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name != "settings"}


def reconcile(  # noqa: PLR0913 - every layer a county may have, by name
    patches: GeoDataFrame,
    parcels: GeoDataFrame,
    *,
    villages: GeoDataFrame | None = None,
    baseline: GeoDataFrame | None = None,
    rights: pd.DataFrame | None = None,
    issuers: pd.DataFrame | None = None,
    groups: GeoDataFrame | None = None,
    extent: GeoDataFrame | None = None,
    previous: Mapping[str, pd.DataFrame] | None = None,
    settings: Settings | None = None,
    read_findings: Iterable[pd.DataFrame] = (),
    county_name: str = "",
    run_id: str = "",
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
) -> Reconciliation:
    """Lay the survey over the contract parcels and account for all that is left.

    Parameters
    ----------
    patches : GeoDataFrame
        The survey (layer ``survey``; all classes or farmland only), in a projected CRS.
    parcels : GeoDataFrame
        Contract parcels (layer ``parcels``) in the same CRS. Parcels of class 10
        with a rights record take land out; the others are evidence. If no parcel
        has a rights record, all of class 10 count and a finding says so.
    villages, baseline, rights, issuers, groups, extent : optional
        Layers of these names; ``extent`` is where the confirmation survey worked.
    previous : mapping, optional
        ``pieces`` and ``code_register`` of the workspace before: codes carry over.
    settings : Settings, optional
        Everything that decides the result.
    read_findings : iterable of DataFrame
        Findings of reading, put into the same table.
    county_name : str
        Name of the county in the balance.
    run_id : str
        Written into the code register.
    checkpoint : Checkpoint, optional
        Where villages that are done are kept and found again.
    progress : callable, optional
        Called with villages done, villages in all, and the name of the last.

    Returns
    -------
    Reconciliation
        Layers as promised in ``standards/columns.csv``.

    Raises
    ------
    GeoError
        If a layer has no CRS or lacks an indispensable column.
    InputError
        If the survey has no farmland that can be laid out.
    MismatchError
        If rights are given and none of them names a contract parcel.
    ShiftError
        If a village lies off by more than ``settings.align.stop_m`` and nobody accepted it.
    BalanceError
        If areas do not add up: a fault of this program.
    """
    settings = settings or Settings()
    sources = prepared(
        Sources(
            survey=patches,
            parcels=parcels,
            rights=conform(pd.DataFrame(), "rights") if rights is None else rights,
            issuers=conform(pd.DataFrame(), "issuers") if issuers is None else issuers,
            villages=villages,
            groups=groups,
            baseline=baseline,
            extent=extent,
        )
    )
    checked = mended(sources, settings.align, jobs=settings.jobs)
    farmland, notes = _farmland(checked, settings)
    covering, evidence, more = _roles(checked)
    work = _Work(
        farmland=farmland,
        covering=covering,
        evidence=evidence,
        groups=_placed_groups(checked),
        checked=checked,
        settings=settings,
    )
    done, flaws = _by_village(work, checkpoint, progress)
    laid = pd.concat([part.patches for part in done]) if done else farmland
    laid = laid.sort_values("patch_code", kind="stable").reset_index(drop=True)
    found = _found(done, sources)
    with ThreadPoolExecutor(max_workers=1) as beside:  # where pieces lie decides no code
        sheets = beside.submit(_sheets, found)
        allocation = allocate(
            found,
            run_id=run_id,
            previous=_previous(previous, "pieces"),
            register=_previous(previous, "code_register"),
        )
    pieces = _finished(allocation.pieces.assign(sheet_code=sheets.result()), previous)
    names = _names(checked) | dict.fromkeys(laid["village_code"].str[:6].unique(), county_name)
    covered = pd.concat([part.covered for part in done], ignore_index=True)
    every = [
        *read_findings,
        checked.findings,
        *flaws,
        *notes,
        *more,
        *(part.findings for part in done),
        allocation.findings,
    ]
    crs = sources.survey.crs
    return Reconciliation(
        patches=_layer(laid, "patches", crs),
        parcels=_layer(checked.sources.parcels, "parcels", crs),
        parcels_original=checked.alignment.original,
        pieces=pieces,
        villages=_villages(checked),
        findings=gather(every, crs),
        shifts=checked.alignment.shifts,
        balance=balance(laid, pieces, covered, names, checked.homes.issuer_village),
        code_register=allocation.register,
        settings=settings,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Work:
    """What every village takes its part of."""

    farmland: GeoDataFrame
    covering: GeoDataFrame
    evidence: GeoDataFrame
    groups: GeoDataFrame | None  # with the village of each
    checked: Checked
    settings: Settings


def _farmland(checked: Checked, settings: Settings) -> tuple[GeoDataFrame, list[pd.DataFrame]]:
    """Farmland patches with village, kind and authoritative area."""
    survey = checked.sources.survey
    homes = checked.homes
    chosen = is_farmland(survey["land_class"]).to_numpy(dtype=bool)
    land = survey[chosen].assign(
        village_code=homes.patch_village,
        location_village=homes.location_village,
        raw_area_m2=checked.geometry_area,
        geometry_area_m2=checked.geometry_area.round(2),
    )
    land["village_name"] = lookup(land["village_code"], homes.village_names)
    official = is_area(land["patch_area_m2"])
    land["patch_area_m2"] = land["patch_area_m2"].where(official, land["geometry_area_m2"])
    ratio = land["ridge_ratio"].fillna(0.0)
    land["ridge_ratio"] = ratio.where(ratio.ge(0) & ratio.lt(1), 0.0)

    shared = _share_based_villages(checked, settings)
    unplaced = sorted(set(shared) - set(land["village_code"]))
    ownership = land["ownership_kind"].fillna("")
    state = ownership.str[:1].isin(["1", "2"])
    share_based = ~state & land["village_code"].isin(set(shared))
    land["patch_kind"] = np.select([state, share_based], ["STATE", "SHARE_BASED"], "COLLECTIVE")
    kinds = {**code_list("QSXZ"), "": "未填"}
    by_code = [f"权属性质 {code} {kinds.get(code, '不在代码表，按集体计')}".strip() for code in ownership]
    by_share = lookup(land["village_code"], shared)
    land["kind_reason"] = np.where(share_based, by_share, by_code)

    empty = land.geometry.isna() | land.geometry.is_empty | land["geometry_area_m2"].le(0)
    unlaid = land[empty]
    notes = [
        findings(
            "patch_not_laid",
            [
                f"耕地图斑 {c} 没有图形，{a:.2f} m² 未参与套合，不在平衡表中"
                for c, a in zip(unlaid["patch_code"], unlaid["patch_area_m2"].fillna(0), strict=True)
            ],
            layer="survey",
            rows=unlaid.drop(columns="geometry"),
            row_code=unlaid["patch_code"],
            area_before_m2=unlaid["patch_area_m2"],
        )
    ]
    messages = [f"村 {code} {shared[code]}，但三调中没有这个村的耕地" for code in unplaced]
    notes.append(findings("share_based_unplaced", messages, layer="rights", row_code=unplaced))
    land = land[~empty]
    if land.empty:
        classes = "、".join(sorted(survey["land_class"].dropna().unique())[:12])
        raise InputError(
            f"三调图层中没有可套合的耕地（地类编码 0101、0102、0103，且有图形）；现有地类：{classes or '无'}"
        )
    for kind, rule, text in (
        ("STATE", "state_land", "国有耕地 {n} 个图斑 {a:.2f} m²，不计入集体耕地，也不编号"),
        ("SHARE_BASED", "share_based_village", "确权确股村，耕地 {n} 个图斑 {a:.2f} m² 单列，不逐块套合编号"),
    ):
        sums = land[land["patch_kind"].eq(kind)].groupby("village_code")["patch_area_m2"].agg(["size", "sum"])
        messages = [text.format(n=n, a=a) for n, a in zip(sums["size"], sums["sum"], strict=True)]
        notes.append(
            findings(
                rule, messages, layer="patches", row_code=list(sums.index), village_code=list(sums.index)
            )
        )
    return land, notes


def _share_based_villages(checked: Checked, settings: Settings) -> dict[str, str]:
    """Villages most of whose rights records are in shares, with the reason."""
    rights = checked.sources.rights
    if rights.empty:
        parcels = checked.sources.parcels
        rights = parcels[parcels["has_rights"]]
    village = rights["issuer_code"].fillna("").str[:12]
    mapped = lookup(village, checked.homes.issuer_village)
    village = mapped.where(mapped.ne(""), village)
    counts = rights.groupby(village)["share_based"].agg(["size", "sum"])
    counts = counts[counts["sum"] >= settings.share_based_share * counts["size"]]
    counts = counts[counts["sum"] > 0]
    return {
        code: f"承包地块信息 {size} 条中 {total} 条确权确股"
        for code, size, total in zip(counts.index, counts["size"], counts["sum"], strict=True)
    }


def _roles(checked: Checked) -> tuple[GeoDataFrame, GeoDataFrame, list[pd.DataFrame]]:
    """Parcels that take land out, parcels that are evidence, and what had to be assumed."""
    parcels = checked.sources.parcels.assign(village_code=checked.homes.parcel_village)
    parcels = parcels[(~parcels.geometry.isna() & ~parcels.geometry.is_empty).to_numpy(dtype=bool)]
    contract = parcels["parcel_class"].eq("10").to_numpy(dtype=bool)
    held = parcels["has_rights"].to_numpy(dtype=bool)
    notes = []
    registered = len(checked.sources.rights)
    if contract.any() and registered and not held.any():
        example = checked.sources.rights["parcel_code"].iloc[0]
        raise MismatchError(
            f"权属数据的 {registered} 条记录（如 {example}）没有一条与承包地块对上；"
            "请核对两者是否同一批成果、地块代码是否完整"
        )
    if len(parcels) and not held.any():
        held = np.ones(len(parcels), dtype=bool)
        message = "没有任何地块带有承包地块信息（CBDKXX）；全部承包地块（类别 10）按已确权计"
        notes.append(findings("rights_absent", message, layer="parcels"))
    takes = contract & held
    return parcels.loc[takes, list(_OF_COVERING)], parcels.loc[~takes, list(_OF_EVIDENCE)], notes


def _placed_groups(checked: Checked) -> GeoDataFrame | None:
    groups = checked.sources.groups
    if groups is None:
        return None
    prefix = groups["group_code"].fillna("").str[:12]
    mapped = lookup(prefix, checked.homes.issuer_village)
    return groups.assign(village_code=mapped.where(mapped.ne(""), prefix))


def _by_village(
    work: _Work, checkpoint: Checkpoint | None, progress: Progress | None
) -> tuple[list[VillagePart], list[pd.DataFrame]]:
    """Every village's part, in order of code, and what the rules found, which are run beside them."""
    rows = work.farmland.groupby("location_village", sort=True).indices
    villages = [str(village) for village in rows]
    jobs = cores(work.settings.jobs)
    inner = 1 if len(rows) >= jobs else jobs

    def one(village: str) -> VillagePart:
        part = checkpoint.load(village) if checkpoint is not None else None
        if part is None:
            part = village_part(work, work.farmland.iloc[rows[village]], jobs=inner)
            if checkpoint is not None:
                checkpoint.save(village, part)
        return part

    # Largest first: the cores then come to the end together.
    order = sorted(villages, key=lambda village: (-len(rows[village]), village))
    done: dict[str, VillagePart] = {}
    pool = ThreadPoolExecutor(max_workers=jobs)
    try:
        rules = [pool.submit(task) for task in rule_tasks(work.checked, work.settings.check, jobs=inner)]
        running = {pool.submit(one, village): village for village in order}
        for future in as_completed(running):
            village = running[future]
            done[village] = future.result()
            if progress is not None:
                progress(len(done), len(rows), work.checked.homes.village_names.get(village, village))
        return [done[village] for village in villages], [rule.result() for rule in rules]
    finally:
        pool.shutdown(cancel_futures=True)


def _near(layer: GeoDataFrame, box: npt.NDArray[np.float64], margin: float) -> GeoDataFrame:
    """Rows whose bounds meet a box, in their order."""
    west, south, east, north = box
    hits = layer.sindex.query(shapely.box(west - margin, south - margin, east + margin, north + margin))
    return layer.iloc[np.sort(hits)]


def village_part(work: _Work, patches: GeoDataFrame, *, jobs: int) -> VillagePart:
    """Overlay, areas, shapes, classes and groups of one village's patches."""
    settings = work.settings
    patches = patches.sort_values(["patch_code", "source_row"], kind="stable").reset_index(drop=True)
    box = patches.total_bounds
    covering = _near(work.covering, box, NEAR_MARGIN_M)
    upon = _near(covering, box, 0.0)
    laid = overlay(patches, upon, replace(settings.overlay, jobs=jobs))
    error = border_error(covering, patches, settings.border)
    shaped = shape(laid.pieces, settings.shape, gap_width_m=error.gap_width_m, jobs=jobs)
    row = shaped["patch_row"].to_numpy(dtype=np.int64)
    raw = ellipsoidal_area(shaped).to_numpy()
    whole = patches["raw_area_m2"].to_numpy()
    large = raw >= DUST_M2
    opened = opening_width(settings.shape, error.gap_width_m)
    notes = [border_finding(error, patches["location_village"].iloc[0], opened)]
    if not large.all():
        size, total = int((~large).sum()), raw[~large].sum()
        text = f"{size} 个小于 {DUST_M2} m² 的碎屑共 {total:.4f} m²，四舍五入为 0.00，计入已确权"
        village = patches["village_code"].iloc[0]
        notes.append(findings("dust_fragments", text, layer="pieces", row_code=village, village_code=village))
    shaped, row, raw = shaped[large].reset_index(drop=True), row[large], raw[large]

    left = np.bincount(row, raw, len(patches))
    untouched = laid.patches["n_parcels"].to_numpy() == 0
    cover = np.where(untouched, 0.0, np.maximum(whole - left, 0.0))
    cover[cover < DUST_M2] = 0.0
    cover = np.where((left == 0) & (cover == 0), whole, cover)
    parts = apportion(
        np.concatenate([cover, raw]),
        np.concatenate([np.arange(len(patches)), row]),
        patches["patch_area_m2"].to_numpy(),
    )
    patches = patches.assign(
        covered_area_m2=parts[: len(patches)],
        residual_area_m2=(patches["patch_area_m2"] - parts[: len(patches)]).round(2),
        piece_count=np.bincount(row, minlength=len(patches)) * patches["patch_kind"].eq("COLLECTIVE"),
    )
    pieces = _described(shaped, row, parts[len(patches) :], patches)
    pieces = pieces[pieces["patch_kind"].eq("COLLECTIVE").to_numpy(dtype=bool)].reset_index(drop=True)
    baseline = work.checked.sources.baseline
    old = _near(baseline, box, 0.0) if baseline is not None else None
    classes = classify(
        pieces,
        baseline=old,
        evidence=_near(work.evidence, box, 0.0),
        extent=work.checked.sources.extent,
        settings=settings.classify,
    )
    groups = owner_groups(pieces, covering, groups=work.groups, settings=settings.owner)
    pieces = pieces.assign(**classes, **groups)
    return VillagePart(
        patches=_layer(patches, "patches", work.farmland.crs),
        pieces=_layer(pieces.assign(state="candidate"), "pieces", work.farmland.crs),
        covered=_covered_by_group(patches, upon),
        findings=pd.concat(notes, ignore_index=True),
    )


def _described(
    shaped: GeoDataFrame,
    row: "np.ndarray[tuple[int], np.dtype[np.int64]]",
    area: "np.ndarray[tuple[int], np.dtype[np.float64]]",
    patches: GeoDataFrame,
) -> GeoDataFrame:
    """Pieces with the columns they take from their patch."""
    taken = [
        "patch_code",
        "patch_kind",
        "village_code",
        "village_name",
        "land_class",
        "detail_code",
        "is_enclave",
    ]
    taken += ["ridge_ratio", "owner_unit_code"]
    columns = patches[taken].iloc[row].reset_index(drop=True)
    net = net_area(area, columns["ridge_ratio"].to_numpy())
    table = columns.assign(
        piece_shape=shaped["piece_shape"].to_numpy(),
        mean_width_m=shaped["mean_width_m"].round(2).to_numpy(),
        area_m2=area,
        net_area_m2=net,
        area_mu=mu(area),
        net_area_mu=mu(net),
    )
    return gpd.GeoDataFrame(table, geometry=shaped.geometry.to_numpy(), crs=patches.crs)


def _covered_by_group(patches: GeoDataFrame, covering: GeoDataFrame) -> pd.DataFrame:
    """Covered area of each collective patch by the group whose parcels cover it; the sums are exact.

    Parcels over each other count twice for the shares only, never for the sum.
    A group of another village counts as the patch's village itself.
    """
    land = patches[patches["patch_kind"].eq("COLLECTIVE").to_numpy(dtype=bool)].reset_index(drop=True)
    polygons, others = np.asarray(land.geometry.array), np.asarray(covering.geometry.array)
    row, other = shapely.STRtree(others).query(polygons)  # by frames: most patches have one group in theirs
    village = land["village_code"].to_numpy(dtype=object)
    issuer = covering["issuer_code"].fillna("").to_numpy(dtype=object)[other]
    home = covering["village_code"].to_numpy(dtype=object)[other]
    group = np.where(
        (home == village[row]) & (covering["issuer_code"].str.len().eq(14).to_numpy(dtype=bool)[other]),
        issuer,
        village[row] + "00",
    )
    pairs = pd.DataFrame({"row": row, "other": other, "group": group})
    several = pairs.groupby("row")["group"].transform("nunique") > 1
    pairs["share"] = 1.0
    # Only a patch with parcels of several groups needs their common areas measured.
    pairs.loc[several, "share"] = 0.0
    at = np.flatnonzero(several.to_numpy())
    pairs.loc[at, "share"] = common_area(polygons, row[at], others, other[at])
    lone = np.setdiff1d(np.arange(len(land)), row)
    alone = pd.DataFrame({"row": lone, "other": -1, "group": village[lone] + "00", "share": 1.0})
    every = pd.concat([pairs, alone], ignore_index=True)
    shares = every.groupby(["row", "group"], sort=True)["share"].sum().reset_index()
    total = shares.groupby("row")["share"].transform("sum")
    shares["share"] = shares["share"].where(total > 0, 1.0)
    at_row = shares["row"].to_numpy(dtype=np.int64)
    amount = apportion(shares["share"].to_numpy(), at_row, land["covered_area_m2"].to_numpy())
    table = pd.DataFrame(
        {"village_code": village[at_row], "group_code": shares["group"].to_numpy(), "covered_area_m2": amount}
    )
    return table[table["covered_area_m2"] > 0].reset_index(drop=True)


def _found(done: list[VillagePart], sources: Sources) -> GeoDataFrame:
    """Pieces of all villages in one stable order."""
    if not done:
        return _layer(gpd.GeoDataFrame(geometry=[], crs=sources.survey.crs), "pieces", sources.survey.crs)
    return pd.concat([part.pieces for part in done], ignore_index=True)


def _sheets(pieces: GeoDataFrame) -> npt.NDArray[np.object_]:
    """The 1:2000 map sheet each piece lies on."""
    points = gpd.GeoSeries(pieces.geometry.representative_point(), crs=pieces.crs)
    lonlat = points.to_crs(CRS(pieces.crs).geodetic_crs)  # type: ignore[arg-type] # a projected CRS has one
    return sheet_code(lonlat.x.to_numpy(), lonlat.y.to_numpy(), 2_000)


def _finished(pieces: GeoDataFrame, previous: Mapping[str, pd.DataFrame] | None) -> GeoDataFrame:
    """Pieces with their state, sorted by key; those without a code come last, by patch."""
    out = pieces
    before = _previous(previous, "pieces")
    if before is not None:
        state = dict(zip(before["piece_key"], before["state"], strict=True))
        out = out.copy()
        out["state"] = lookup(out["piece_key"], state, default="candidate")
    out = _layer(out, "pieces", pieces.crs)
    last = out["piece_key"].eq("")
    order = (
        out.assign(_last=last)
        .sort_values(["_last", "piece_key", "patch_code", "area_m2"], kind="stable")
        .index
    )
    return out.loc[order].reset_index(drop=True)


def _previous(previous: Mapping[str, pd.DataFrame] | None, layer: str) -> Any:  # noqa: ANN401 - with geometry or without, as the layer is
    return None if previous is None else previous.get(layer)


def _villages(checked: Checked) -> GeoDataFrame:
    """The village layer, or the outline of each village's patches where none was given."""
    sources = checked.sources
    if sources.villages is not None:
        table = sources.villages
    else:
        land = sources.survey.assign(village_code=checked.homes.location_village)[
            ["village_code", "geometry"]
        ]
        table = land[~land.geometry.isna().to_numpy()].dissolve("village_code").reset_index()
        table["village_name"] = lookup(table["village_code"], checked.homes.village_names)
    return _layer(
        table.sort_values("village_code", kind="stable").reset_index(drop=True),
        "villages",
        sources.survey.crs,
    )


def _names(checked: Checked) -> dict[str, str]:
    issuers = checked.sources.issuers
    groups = dict(zip(issuers["issuer_code"], issuers["issuer_name"].fillna(""), strict=True))
    if checked.sources.groups is not None:
        layer = checked.sources.groups
        groups |= dict(zip(layer["group_code"], layer["group_name"].fillna(""), strict=True))
    return {**groups, **checked.homes.village_names}


def _layer(table: pd.DataFrame, layer: str, crs: Any) -> GeoDataFrame:  # noqa: ANN401 - whatever pyproj takes
    """Just the promised columns and the geometry."""
    out = conform(table, layer)[[*column_names(layer), "geometry"]]
    return gpd.GeoDataFrame(out, geometry="geometry", crs=crs)
