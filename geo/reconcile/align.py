"""How far each village's contract parcels lie off the survey, and the parcels moved onto it.

The two maps were made years apart on different datums, by different crews. A
village is moved as one, by a movement found from the borders alone, and only
where that movement is beyond doubt; a village where it is not stays as it was
delivered, and the table says why. Nobody's border is drawn anew.

Source: the search over the offset of two layers, the warning from 2 m and the
stop from 10 m on, are project rules; no standard sets them.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final, Literal

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from geopandas import GeoDataFrame
from shapely import Polygon

from geo.errors import MismatchError, ShiftError
from geo.findings import findings, joined
from geo.movement import GivenShift, Movement
from geo.reconcile.batch import (
    Batch,
    Geometries,
    Rows,
    batches,
    beside,
    file_names,
    group_of,
    issuer_codes,
    without,
)
from geo.reconcile.edges import Floats, together
from geo.reconcile.match import Match, Part, match
from geo.reconcile.shift_row import Described, motion, movement_of, parted
from geo.reconcile.strays import strays_apart, with_their_file
from geo.schema import column_names, conform
from geo.shifts import LEAST_M, LEAST_SIGMAS
from geo.workers import cores

Mode = Literal["auto", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignSettings:
    """What is moved, and what is sure enough to be moved."""

    mode: Mode = "auto"
    accept_far: bool = False  # shifts of more than ``stop_m`` are applied without being named one by one
    given: tuple[GivenShift, ...] = ()  # goes before what is found
    reach_m: float = 150.0  # an unconverted datum lies up to about this far off
    warn_m: float = 2.0
    stop_m: float = 10.0
    least_m: float = LEAST_M  # what lies off less stays where it is
    least_sigmas: float = LEAST_SIGMAS  # and what lies off less than this many standard errors
    min_parcels: int = 30  # fewer say nothing of a village
    sure_error_m: float = 0.1  # standard error up to which a village surely lies within 0.2 m
    max_error_m: float = 0.4  # and beyond which it is not moved; between, it is, and said to be rough
    max_second_peak: float = 0.6  # a second place this good is another field, not noise
    min_matched_share: float = 0.05  # of the parcels' borders; chance alone matches 1-3 %
    part_m: float = 0.5  # a group that lies off its village by more than this is looked at by itself


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Alignment:
    """Parcels where they are laid, where they lay, and the shifts between."""

    parcels: GeoDataFrame  # all rows; ``shift_key`` where moved
    original: GeoDataFrame  # layer parcels_original: the rows that were moved
    shifts: pd.DataFrame  # layer shifts
    findings: pd.DataFrame


def align(  # noqa: PLR0913 - two layers, where the rows belong, and how
    parcels: GeoDataFrame,
    farmland: GeoDataFrame,
    *,
    villages: "pd.Series[str]",
    names: dict[str, str] | None = None,
    settings: AlignSettings | None = None,
    stop: bool = True,
    jobs: int = 0,
) -> Alignment:
    """Find how far each village's parcels lie off, and move those for which it is certain.

    Parameters
    ----------
    parcels : GeoDataFrame
        Contract parcels (layer ``parcels``), in the survey's CRS.
    farmland : GeoDataFrame
        Farmland patches of the survey, of all villages.
    villages : Series of str
        Village of each parcel, on the index of ``parcels``.
    names : dict, optional
        Village names by code.
    settings : AlignSettings, optional
    stop : bool
        Raise where a shift waits to be accepted; else it is a finding and nothing is moved there.
    jobs : int
        Threads, 0 for one a core; never changes the answer.

    Returns
    -------
    Alignment
        One row of shifts a village, or a batch where a village has several
        that lie apart. A parcel of no batch stays.

    Raises
    ------
    MismatchError
        If a decision is on a village or batch that is not there.
    ShiftError
        If a village certainly lies off by more than ``settings.stop_m`` and
        nobody accepted it; the error carries the table of shifts.
    """
    settings = settings or AlignSettings()
    laid = parcels.assign(shift_key="")
    if settings.mode == "none" and not settings.given:
        return Alignment(
            parcels=laid,
            original=_original(parcels, np.zeros(0, dtype=np.intp), laid),
            shifts=conform(pd.DataFrame(), "shifts"),
            findings=joined([]),
        )
    shapes = np.asarray(parcels.geometry.array)
    bounds = shapely.bounds(shapes)
    land = np.asarray(farmland.geometry.array)
    land = land[~(shapely.is_missing(land) | shapely.is_empty(land))]
    tree = shapely.STRtree(land)
    given = {shift.shift_key: shift for shift in settings.given if shift.accepted is not None}
    open_ = {shift.shift_key for shift in settings.given} - set(given)

    def near(rows: Rows) -> Geometries:
        return np.asarray(land[tree.query(_grown(bounds[rows], settings.reach_m))])

    def one(batch: Batch) -> list[tuple[Batch, Match | None]]:
        if settings.mode == "none" and not {batch.key, batch.village} & set(given):
            return []
        return _found(parcels, shapes, batch, near(batch.rows), settings)

    drawn_together = batches(parcels, beside(parcels, villages, settings.reach_m), given)
    with ThreadPoolExecutor(cores(jobs)) as pool:
        found = [pair for pairs in pool.map(one, drawn_together) for pair in pairs]
    _require_known(given, [batch for batch, _ in found])
    decisions = [_decision(batch, given, open_) for batch, _ in found]
    described = [
        _described(batch, result, decision, settings, names or {})
        for (batch, result), decision in zip(found, decisions, strict=True)
    ]
    files = file_names(parcels)
    described = with_their_file(found, described, files, shapes)
    found, described = strays_apart(found, described, files, shapes, near, settings.part_m, decisions, open_)
    table = conform(pd.DataFrame([row for row, _, _ in described]), "shifts")
    table = table.sort_values("shift_key", kind="stable").reset_index(drop=True)
    if stop and (waiting := [row for row, _, rule in described if rule == "shift_far"]):
        raise ShiftError(_waiting(waiting, settings.stop_m), shifts=table)

    moved = shapes.copy()
    key = np.full(len(shapes), "", dtype=object)
    for (batch, _), (row, movement, _) in zip(found, described, strict=True):
        if movement is not None:
            # As the table says it, to the last bit: whoever moves parcels_original by it gets these.
            traced = movement_of(pd.Series(row))
            moved[batch.rows] = shapely.transform(shapes[batch.rows], traced)
            key[batch.rows] = row["shift_key"]
    laid = laid.assign(shift_key=pd.Series(key, index=laid.index, dtype="str")).set_geometry(
        gpd.GeoSeries(moved, index=laid.index, crs=parcels.crs)
    )
    told: dict[str, list[tuple[dict[str, object], Floats]]] = {}
    for (batch, _), (row, _, rule) in zip(found, described, strict=True):
        if rule:
            told.setdefault(rule, []).append((row, bounds[batch.rows]))
    return Alignment(
        parcels=laid,
        original=_original(parcels, np.flatnonzero(key != ""), laid),
        shifts=table,
        findings=joined([_notes(rule, told[rule]) for rule in sorted(told)]),
    )


def _decision(batch: Batch, given: dict[str, GivenShift], open_: set[str]) -> GivenShift | None:
    """What was decided on a batch: on itself, or on its village unless it is listed beside that, undecided."""
    return given.get(batch.key) or (None if batch.key in open_ else given.get(batch.village))


def _require_known(given: dict[str, GivenShift], there: list[Batch]) -> None:
    """Decisions on what is not there are a wrong file, not a wish."""
    known = {batch.key for batch in there} | {batch.village for batch in there}
    if unknown := sorted(set(given) - known):
        raise MismatchError(
            f"--align 文件中的 {'、'.join(unknown[:_LISTED])} 不在本次数据中；请核对村代码和批次"
        )


def _grown(bounds: Floats, by: float) -> Polygon:
    """Frame of shapes by their bounds, and so much more on each side; a stray one does not widen it."""
    lying = bounds[together(bounds)]
    (west, south), (east, north) = lying[:, :2].min(axis=0) - by, lying[:, 2:].max(axis=0) + by
    return shapely.box(float(west), float(south), float(east), float(north))


def _found(
    parcels: GeoDataFrame, shapes: Geometries, batch: Batch, near: Geometries, settings: AlignSettings
) -> list[tuple[Batch, Match | None]]:
    """The batch with its match; groups of it that lie elsewhere, or nowhere, become batches of their own."""
    meant = batch.meant
    if len(meant) < settings.min_parcels or not len(near):
        return [(batch, None)]
    issuers = issuer_codes(parcels)
    groups, labels = np.unique(issuers[meant].astype(str), return_inverse=True)
    result = match(
        shapes[meant],
        near,
        labels=labels.astype(np.intp) if len(groups) > 1 else None,
        reach_m=settings.reach_m,
    )
    if result is None or not result.parts:
        return [(batch, result)]
    apart: list[tuple[Batch, Match | None]] = []
    for part in result.parts:
        if not _doubtful_part(part, result):
            continue
        group = str(groups[part.label])
        own = group_of(batch, group, batch.rows[issuers[batch.rows].astype(str) == group])
        if len(own.meant) < settings.min_parcels:
            continue
        theirs = match(shapes[own.meant], near, reach_m=settings.reach_m)
        if theirs is None or _doubt(theirs, len(own.meant), replace(settings, max_error_m=np.inf)):
            elsewhere = part.matched_share < result.matched_share / _LOST
        else:
            # However wide its error is, it may be sure that its place is not the village's.
            apart_m = parted(theirs.movement, result.movement, shapes[own.rows])
            elsewhere = apart_m > max(settings.part_m, _PART_SIGMAS * theirs.error_m)
        if elsewhere:
            apart.append((own, theirs))
    if not apart:
        return [(batch, result)]
    gone = np.concatenate([own.rows for own, _ in apart])
    rest = without(batch, gone)
    if not len(rest.rows):
        return apart
    return [*_found(parcels, shapes, rest, near, settings), *apart]


def _doubtful_part(part: Part, whole: Match) -> bool:
    """Whether a part is worth a match of its own: what is left of its shift is drawn towards 0 by the others."""
    off = float(np.hypot(part.dx_m, part.dy_m))
    missed = part.matched_share < whole.matched_share / _LOOK_SHARE
    return missed or off > max(_LOOK_M, _LOOK_SIGMAS * part.error_m)


# On generated villages drawn in one go no group is matched 1.3 times less than its village, or lies 1.5 errors off.
_LOOK_SHARE: Final = 1.5
_LOOK_M: Final = 0.3
_LOOK_SIGMAS: Final = 2.0
_LOST: Final = 2.5  # a group matched this many times less than its village lies elsewhere altogether
_PART_SIGMAS: Final = 3.0


def _doubt(result: Match, count: int, settings: AlignSettings) -> str:
    """Why a match is not to be trusted; empty if it is."""
    if result.matched_share < settings.min_matched_share:
        return f"只有 {result.matched_share:.1%} 的地块边界与图斑边界对得上"
    if min(count, result.matched) < settings.min_parcels:
        return f"能对上图斑边界的地块只有 {result.matched} 个"
    if result.second_peak > settings.max_second_peak:
        return f"另有一处位置几乎同样吻合（次峰 {result.second_peak:.2f}），可能错开一道地坎"
    if result.uneven_m:
        return f"各部分偏移不一致，有的部分改正后还差 {result.uneven_m:.1f} m 以上"
    if result.error_m > settings.max_error_m:
        return f"中误差 {result.error_m:.2f} m，超过 {settings.max_error_m:.2f} m"
    return ""


def _described(
    batch: Batch,
    result: Match | None,
    decision: GivenShift | None,
    settings: AlignSettings,
    names: dict[str, str],
) -> Described:
    """A row of shifts, the movement to apply if any, and the rule of the finding it makes."""
    row: dict[str, object] = {
        "shift_key": batch.key,
        "village_code": batch.village,
        "village_name": names.get(batch.village, ""),
        "batch": batch.name,
        "parcel_count": len(batch.rows),
        "accepted": False,
        "confidence": "none",
    }
    few = len(batch.meant) < settings.min_parcels
    doubt = "附近没有能对上的图斑边界" if result is None else _doubt(result, len(batch.meant), settings)
    if result is not None:
        sure = result.error_m <= settings.sure_error_m
        row |= _figures(result) | {"confidence": "low" if doubt else "high" if sure else "medium"}
    if decision is not None and (decision.movement is not None or not decision.accepted):
        return _decided(row, decision, None if doubt else result, settings)
    if few and result is None:
        return row | {"reason": f"可比对的只有 {len(batch.meant)} 个，无法判断偏移"}, None, "shift_unknown"
    if result is None:
        return row | {"reason": f"{doubt}；未作移动"}, None, "parcels_do_not_fit"
    return _verdict(row, result, doubt, settings, accepted=bool(decision and decision.accepted))


def _verdict(  # noqa: PLR0911 - one return a verdict
    row: dict[str, object], result: Match, doubt: str, settings: AlignSettings, *, accepted: bool
) -> Described:
    """What becomes of a batch for which a movement was found."""
    size = _size(result)
    off = f"整体偏{row['direction']} {size:.2f} m（中误差 {result.error_m:.2f} m）"
    if result.matched_share < settings.min_matched_share:
        return row | {"reason": f"{doubt}；未作移动"}, None, "parcels_do_not_fit"
    if accepted:
        return (
            row | {"accepted": True, "reason": f"{off}，依据 --align 文件采用"},
            result.movement,
            "shift_given",
        )
    if size > settings.stop_m and result.second_peak <= settings.max_second_peak:
        more = f"；{doubt}" if doubt else ""
        if not settings.accept_far:
            return row | {"reason": f"{off}，待确认{more}"}, None, "shift_far"
        # Roughly in its place serves better than surely out of it, and someone accepted it.
        return row | {"accepted": True, "reason": f"{off}，已改正{more}"}, result.movement, "shift_large"
    if doubt:
        return row | {"reason": f"可能{off}，但{doubt}；未作移动"}, None, "shift_doubtful"
    if size < max(settings.least_m, settings.least_sigmas * result.error_m):
        return row | {"reason": f"{off}，在精度以内，不移动"}, None, ""
    rule = "shift_large" if size > settings.warn_m else "shift_mended"
    rough = "" if row["confidence"] == "high" else f"，改正后仍可能偏 {2 * result.error_m:.1f} m"
    return row | {"accepted": True, "reason": f"{off}，已改正{rough}"}, result.movement, rule


def _size(result: Match) -> float:
    """How far parcels lie off on average, turn and scale included, m."""
    move = result.movement
    turned = np.hypot(move.rotation_rad, move.scale - 1) * result.radius_m
    return float(np.hypot(np.hypot(move.dx_m, move.dy_m), turned))


def _figures(result: Match) -> dict[str, object]:
    return motion(result.movement) | {
        "error_m": round(result.error_m, 4),
        "rms_m": round(result.rms_m, 4),
        "median_m": round(result.median_m, 4),
        "inset_m": round(result.inset_m, 4),
        "matched_share": round(result.matched_share, 4),
        "matched_count": result.matched,
        "second_peak": round(result.second_peak, 4),
        "condition": round(result.condition, 4),
    }


def _decided(
    row: dict[str, object], decision: GivenShift, sure: Match | None, settings: AlignSettings
) -> Described:
    """A row as someone decided it; what was measured stays beside it, and is said where it is surely another."""
    move = decision.movement if decision.accepted else None
    against = ""
    if sure is not None:
        apart = _parted(move or Movement(), sure)
        if apart > max(settings.warn_m, settings.least_sigmas * sure.error_m):
            against = (
                f"；但与边界不符，相差 {apart:.1f} m：程序测得整体偏{row['direction']} {_size(sure):.2f} m"
            )
    if move is None:
        reason = f"依据 --align 文件不移动{against}"
        return row | {"reason": reason}, None, "shift_disputed" if against else "shift_declined"
    reason = f"依据 --align 文件给定的参数改正{against}"
    row |= motion(move) | {"accepted": True, "confidence": "given", "reason": reason}
    return row, move, "shift_disputed" if against else "shift_given"


def _parted(move: Movement, found: Match) -> float:
    """How far a movement lays outlines from where they were found to belong, on average, m."""
    angle = np.arange(4) * np.pi / 2
    there = found.radius_m * np.column_stack([np.cos(angle), np.sin(angle)])
    there += (found.movement.origin_x, found.movement.origin_y)
    return float(np.hypot(*(move(there) - found.movement(there)).T).mean())


def _waiting(rows: list[dict[str, object]], stop_m: float) -> str:
    """What must be accepted before anything is printed, in one line."""
    lines = [
        f"{row['village_name'] or ''}（{row['shift_key']}）偏{row['direction']} {row['distance_m']:.1f} m"
        + (f"、旋转 {row['rotation_deg']:.2f}°" if row["rotation_deg"] else "")
        for row in rows
    ]
    return (
        f"{len(rows)} 个村（批次）的确权地块整体偏移超过 {stop_m:g} m，需确认后再套合："
        + "；".join(lines[:_LISTED])
        + ("…" if len(lines) > _LISTED else "")
        + "。多为坐标基准未转换；确认无误请加 --accept-shifts，或在 --align 文件中逐村采用"
    )


_LISTED: Final = 10


def _notes(rule: str, told: list[tuple[dict[str, object], Floats]]) -> pd.DataFrame:
    """Findings of one rule, a row a batch, each placed in its middle."""
    places = [_grown(bounds, 1.0) for _, bounds in told]
    rows = [row for row, _ in told]
    villages = {"village_code": [row["village_code"] for row in rows]}
    return findings(
        rule,
        [_told(row) for row in rows],
        layer="parcels",
        rows=GeoDataFrame(villages, geometry=places),
        row_code=[str(row["shift_key"]) for row in rows],
    )


def _told(row: dict[str, object]) -> str:
    """What is said of a batch."""
    text = f"{row['village_name'] or ''}（{row['shift_key']}）确权地块{row['reason']}"
    if row["accepted"]:
        text += f"：东移 {row['dx_m']:.2f} m，北移 {row['dy_m']:.2f} m，旋转 {row['rotation_deg']:.4f}°"
    return text


def _original(parcels: GeoDataFrame, rows: Rows, laid: GeoDataFrame) -> GeoDataFrame:
    table = parcels.iloc[rows].assign(shift_key=laid["shift_key"].iloc[rows])
    out = conform(table, "parcels_original")[[*column_names("parcels_original"), "geometry"]]
    return gpd.GeoDataFrame(out, geometry="geometry", crs=parcels.crs).reset_index(drop=True)
