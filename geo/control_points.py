"""A datum shift from control points: least squares, residuals, and gross errors told from good points.

A point typed wrongly pulls the whole county with it. So each point is tested
against the others by its normalized residual, which counts how far the
adjustment can see it at all (its redundancy). What cannot be decided (three
points that disagree, two suspects that explain the misfit equally well) is
refused: more points are needed, not a guess.

Source: Baarda (1968), A testing procedure for use in geodetic networks, Neth. Geod. Comm. 2(5); the scale
of the residuals by least median of squares, Rousseeuw (1984), J. Am. Stat. Assoc. 79,
doi:10.1080/01621459.1984.10477105; Molodensky-Badekas form of the seven parameters, IOGP Guidance Note 7-2, 1034.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyproj import CRS, Transformer
from scipy.special import chdtri

from geo.crs import datum_of
from geo.datum import (
    FINEST_M,
    HELMERT_NAMES,
    POSITION_VECTOR,
    Array,
    DatumShift,
    Support,
    helmert,
    lonlat,
    moved,
    planar,
)
from geo.errors import InputError, MismatchError

Mask = npt.NDArray[np.bool_]

PLANAR: Final = "planar4"
HELMERT: Final = "helmert7"

_MOST: Final = 2000  # more are no control points of a county
_LEAST: Final = 3  # points that an adjustment needs to have anything over
_GROSS_M: Final = 500.0  # an offset this far from the others is no surveying error
_APART_M: Final = 1.0e6  # further from the others than any county is wide
_SAME_PLACE_M: Final = 1.0
_FLATNESS: Final = 0.05  # breadth of the points' figure over its length
_TRIALS: Final = 3000  # smallest sets of points tried for the scale
_ARCSEC: Final = math.pi / 180 / 3600
_CONDITION: Final = 1e4  # beyond it the parameters cannot be told from each other


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """What a fit is held against."""

    model: str = PLANAR  # or HELMERT
    sigma_m: float = 0.05  # a misfit of this size is no error, however well the rest agrees
    limit_m: float = 1.0  # standard deviation of a coordinate beyond which points are refused
    significance: float = 0.001  # chance that a good set of points is accused


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Model:
    """Equations of all points: observed = design @ unknowns, a block of 2 or 3 rows a point."""

    design: Array  # n x d x p, in a frame with its origin at ``centre`` and ``length`` as unit
    observed: Array  # n x d, metres, less ``base``
    base: Array  # the offset most points have
    centre: Array
    length: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Adjusted:
    """One least squares adjustment: unknowns, residuals and what the tests need."""

    unknowns: Array
    residuals: Array  # n x d
    statistic: Array  # n: what the sum of squares would lose if the point were left out
    redundancy: Array  # n: share of an error that shows in the point's own residual
    squares: float
    freedom: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Tested:
    """The points that are good, their adjustment, and what a residual was held against."""

    good: Mask
    adjusted: _Adjusted
    sigma: float
    limit: float  # of a statistic, m2


def fit(points: pd.DataFrame, source: CRS, target: CRS, settings: FitSettings | None = None) -> DatumShift:
    """Parameters that carry the old coordinates of control points onto the new ones.

    Parameters
    ----------
    points : DataFrame, n rows
        ``point`` (name), ``source_file``, ``source_row``, ``old_north_m``, ``old_east_m``, ``new_north_m``,
        ``new_east_m`` in ``source`` and ``target``; for seven parameters also ``old_height_m`` and
        ``new_height_m`` above the ellipsoid, if known. ``suspicion`` (Chinese text) is kept if there.
    source, target : CRS
        Gauss-Krüger systems of one central meridian, the target on CGCS2000.
    settings : FitSettings, optional
        Model and limits.

    Returns
    -------
    DatumShift
        ``residuals`` has a row a point, sorted by file and row: ``residual_north_m`` and ``residual_east_m``
        (given new less computed new), ``residual_m``, ``redundancy`` (0 to 1; missing for a point left out),
        ``normalized`` (residual over its own standard deviation), ``outlier``, ``reason``.

    Raises
    ------
    InputError
        If the points are too few or too many, in one place, in a line, or too close for seven parameters.
    MismatchError
        If they do not agree, or an error among them cannot be told from good points.
    """
    settings = settings or FitSettings()
    order = ["old_north_m", "old_east_m", "new_north_m", "new_east_m", "point"]
    table = points.sort_values(order, kind="stable").reset_index(drop=True)
    where = str(table["source_file"].iloc[0]) if len(table) else "控制点"
    if not _LEAST <= len(table) <= _MOST:
        raise InputError(
            f"{where} 有 {len(table)} 个{datum_of(source)}控制点，应为 {_LEAST}-{_MOST} 个；"
            "少于 3 个没有多余观测，查不出错点，请补充，最好 5 个以上并分布全县"
        )
    old = table[["old_east_m", "old_north_m"]].to_numpy(float)
    new = table[["new_east_m", "new_north_m"]].to_numpy(float)
    used = ~_gross(old, new)
    _require_most(table, used, where)
    _require_apart(table, old, used, where)
    _require_spread(table, old, used, where)
    if settings.model == HELMERT:
        model = _spatial(table, old, new, used, source, target, where)
    else:
        model = _plane(old, new, used)
    tested = _tested(model, used, settings, len(table))
    _require_decided(model, tested, used, settings, table, where)
    _require_spread(table, old, tested.good, where)
    best = tested.adjusted
    sigma = math.sqrt(best.squares / best.freedom)
    if sigma > settings.limit_m:
        raise MismatchError(
            f"{where} 的控制点互不符合：单位权中误差 {sigma:.2f} m，超过 {settings.limit_m:g} m；"
            f"{_largest(table, tested)}；请核对新旧坐标、基准和带号"
        )
    make = _helmert_of if settings.model == HELMERT else _planar_of
    shift = make(model, best.unknowns, source, target)
    return _reported(shift, table, old, new, (source, target), tested, sigma)


# What is refused before anything is computed.


def _gross(old: Array, new: Array) -> Mask:
    """Points so far from the rest that no adjustment is needed to see it: axes turned, digits lost."""
    bad: Mask = np.asarray(~np.isfinite(np.hstack([old, new])).all(axis=1))
    if bad.all():
        return bad
    finite = ~bad
    with np.errstate(invalid="ignore"):
        for values, limit in ((old, _APART_M), (new, _APART_M), (new - old, _GROSS_M)):
            far = np.abs(values - np.median(values[finite], axis=0)).max(axis=1)
            bad |= np.asarray(~(far <= limit))
    return bad


def _require_most(table: pd.DataFrame, used: Mask, where: str) -> None:
    bad = ~used
    if 2 * int(bad.sum()) >= len(table):
        raise MismatchError(
            f"{where} 的{_names(table, np.flatnonzero(bad))}与其余点相差 {_GROSS_M:.0f} m 以上，已占半数，"
            "无法判断哪些正确；请核对表头的北（X）、东（Y）次序、带号与新旧坐标"
        )
    if int(used.sum()) < _LEAST:
        raise MismatchError(
            f"{where} 除去有粗差的{_names(table, np.flatnonzero(bad))}后只剩 {int(used.sum())} 个控制点；请改正或补充"
        )


def _require_apart(table: pd.DataFrame, old: Array, used: Mask, where: str) -> None:
    """Two rows of one place are one point said twice."""
    rows = np.flatnonzero(used)
    gap = np.abs(old[rows][:, None] - old[rows][None]).max(axis=2)
    gap[np.diag_indices_from(gap)] = np.inf
    if (gap < _SAME_PLACE_M).any():
        pair = [int(rows[at]) for at in np.unravel_index(int(gap.argmin()), gap.shape)]
        raise InputError(f"{where} 的{_names(table, pair)}是同一位置；请删去一行，或核对旧坐标")


def _require_spread(table: pd.DataFrame, old: Array, used: Mask, where: str) -> None:
    at = old[used]
    spread = np.linalg.svd(at - at.mean(axis=0), compute_uv=False)
    if spread[1] < _FLATNESS * spread[0]:
        raise InputError(
            f"{where} 的{_names(table, np.flatnonzero(used))}几乎在一条直线上，线外的地方没有控制；请补充线外的控制点"
        )


def _names(table: pd.DataFrame, rows: Iterable[int]) -> str:
    """Rows as an officer finds them: the header is row 1."""
    chosen = table.iloc[list(rows)].sort_values("source_row")
    said = [
        f"第 {row + 2} 行" + (f"（{name}）" if pd.notna(name) else "")
        for row, name in zip(chosen["source_row"], chosen["point"], strict=True)
    ]
    most = 5
    return "、".join(said[:most]) + (f"等 {len(said)} 点" if len(said) > most else "")


# The equations of the two models.


def _frame(at: Array, used: Mask) -> tuple[Array, float]:
    """A centre and a length that make the unknowns alike in size."""
    centre = np.asarray(at[used].mean(axis=0).round(), dtype=np.float64)
    return centre, float(np.sqrt(((at[used] - centre) ** 2).sum(axis=1).mean()))


def _plane(old: Array, new: Array, used: Mask) -> _Model:
    """Rows east, north; unknowns shift north, shift east, scale, rotation from north to east."""
    centre, length = _frame(old, used)
    safe = np.where(used[:, None], old, centre)
    east, north = ((safe - centre) / length).T
    one, none = np.ones_like(east), np.zeros_like(east)
    east_row = np.stack([none, one, east, north], axis=1)
    north_row = np.stack([one, none, north, -east], axis=1)
    base = np.median((new - old)[used], axis=0)
    observed = np.where(used[:, None], new, safe + base) - safe - base
    design = np.stack([east_row, north_row], axis=1)
    return _Model(design=design, observed=observed, base=base, centre=centre, length=length)


def _planar_of(model: _Model, unknowns: Array, source: CRS, target: CRS) -> DatumShift:
    north, east, scale, turn = unknowns
    scale, turn = 1 + scale / model.length, turn / model.length
    return planar(
        source,
        target,
        {
            "north_m": float(model.base[1] + north),
            "east_m": float(model.base[0] + east),
            "rotation_arcsec": math.atan2(turn, scale) / _ARCSEC,
            "scale_ppm": (math.hypot(scale, turn) - 1) * 1e6,
            "about_north_m": float(model.centre[1]),
            "about_east_m": float(model.centre[0]),
        },
    )


def _spatial(  # noqa: PLR0913, PLR0917 - two systems, two coordinates, and where they stand
    table: pd.DataFrame, old: Array, new: Array, used: Mask, source: CRS, target: CRS, where: str
) -> _Model:
    """Rows east, north and, with heights, up; unknowns shift x y z, scale, rotations as a position vector turns."""
    none = np.full(len(table), np.nan)
    up = [table[name].to_numpy(float) if name in table else none for name in ("old_height_m", "new_height_m")]
    solid = all(np.isfinite(height[used]).all() for height in up)
    safe = np.where(used[:, None], old, old[used][0]), np.where(used[:, None], new, new[used][0])
    degrees = lonlat(safe[0], source), lonlat(safe[1], target)
    level = [np.where(used & solid, height, 0.0) for height in up]
    before, after = _geocentric(degrees[0], level[0], source), _geocentric(degrees[1], level[1], target)
    axes = _axes(degrees[1])[:, : 3 if solid else 2]
    centre, length = _frame(before, used)
    x, y, z = ((before - centre) / length).T
    one, none = np.ones_like(x), np.zeros_like(x)
    rows = (
        (one, none, none, x, none, z, -y),
        (none, one, none, y, -z, none, x),
        (none, none, one, z, y, -x, none),
    )
    design = axes @ np.stack([np.stack(row, axis=1) for row in rows], axis=1)
    base = np.median((after - before)[used], axis=0)
    observed = np.einsum("nij,nj->ni", axes, after - before - base)
    flat = design[used].reshape(-1, design.shape[2])
    if len(flat) <= flat.shape[1] or np.linalg.cond(flat) > _CONDITION:
        heights = "" if solid else "没有两套大地高，"
        raise InputError(
            f"{where} 的控制点{heights}不足以分开七参数；请补充大地高或相距更远的点，或改用平面四参数"
        )
    return _Model(design=design, observed=observed, base=base, centre=centre, length=length)


def _geocentric(degrees: Array, up: Array, crs: CRS) -> Array:
    shape = crs.ellipsoid
    assert shape is not None  # noqa: S101 - a national Gauss-Krüger system has one
    cart = f"+proj=cart +a={shape.semi_major_metre!r} +rf={shape.inverse_flattening!r}"
    line = f"+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad +step {cart}"
    return np.column_stack(Transformer.from_pipeline(line).transform(degrees[:, 0], degrees[:, 1], up))


def _axes(degrees: Array) -> Array:
    """East, north and up at each place, as geocentric vectors."""
    lon, lat = np.radians(degrees).T
    return np.stack(
        [
            np.stack([-np.sin(lon), np.cos(lon), np.zeros_like(lon)], axis=1),
            np.stack([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)], axis=1),
            np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1),
        ],
        axis=1,
    )


def _helmert_of(model: _Model, unknowns: Array, source: CRS, _target: CRS) -> DatumShift:
    scale, turn = unknowns[3] / model.length, unknowns[4:] / model.length
    shift = model.base + unknowns[:3] - scale * model.centre - np.cross(turn, model.centre)
    turn /= (1 + scale) * _ARCSEC  # the scale takes the rotations with it
    values = (*shift, *turn, scale * 1e6)
    parameters = {name: float(value) for name, value in zip(HELMERT_NAMES, values, strict=True)}
    return helmert(datum_of(source), parameters, convention=POSITION_VECTOR)


# The tests.


def _adjust(model: _Model, rows: Mask) -> _Adjusted:
    design, observed = model.design[rows], model.observed[rows]
    count, depth, width = design.shape
    flat = design.reshape(count * depth, width)
    unknowns: Array = np.linalg.lstsq(flat, observed.ravel(), rcond=None)[0].astype(np.float64)
    residuals = observed - design @ unknowns
    normal = np.linalg.pinv(flat.T @ flat, hermitian=True)
    cofactor = np.eye(depth) - design @ normal @ design.transpose(0, 2, 1)
    inverse = np.linalg.pinv(cofactor, rcond=1e-6, hermitian=True)
    return _Adjusted(
        unknowns=unknowns,
        residuals=residuals,
        statistic=np.einsum("ni,nij,nj->n", residuals, inverse, residuals),
        redundancy=np.trace(cofactor, axis1=1, axis2=2) / depth,
        squares=float((residuals**2).sum()),
        freedom=max(count * depth - width, 1),
    )


def _scale(model: _Model, used: Mask) -> float:
    """Standard deviation of a coordinate, which less than half of the points cannot move; 0 if they are few."""
    design, observed = model.design[used], model.observed[used]
    count, depth, width = design.shape
    least = -(-width // depth)  # points that just fix the unknowns
    if count < least + 2:
        return 0.0
    some = np.arange(count)
    while math.comb(len(some), least) > min(_TRIALS, 2_000_000 // count):
        some = some[np.linspace(0, len(some) - 1, int(len(some) * 0.9)).astype(int)]
    trial = np.array(list(combinations(some, least)))
    inverse = np.linalg.pinv(design[trial].reshape(len(trial), -1, width), rcond=1e-9)
    unknowns = np.einsum("tpk,tk->tp", inverse, observed[trial].reshape(len(trial), -1))
    squares = ((observed[None] - np.einsum("ndp,tp->tnd", design, unknowns)) ** 2).sum(axis=2)
    half = (count + least + 1) // 2
    middle = np.partition(squares, half - 1, axis=1)[:, half - 1].min()
    return float(math.sqrt(middle / chdtri(depth, 0.5)) * (1 + 5 / (count - least)))


def _tested(model: _Model, used: Mask, settings: FitSettings, count: int) -> _Tested:
    """Good points: the worst is left out until none stands out, then what fits is taken back."""
    depth, width = model.design.shape[1:]
    sigma = max(settings.sigma_m, _scale(model, used))
    limit = float(chdtri(depth, settings.significance / count)) * sigma**2
    good = used.copy()
    while (left := int(good.sum())) > _LEAST and (left - 1) * depth > width:
        statistic = _adjust(model, good).statistic
        if statistic.max() <= limit:
            break
        good[np.flatnonzero(good)[int(statistic.argmax())]] = False
    while (out := np.flatnonzero(used & ~good)).size:
        drops = [_statistic_of(model, good, int(row)) for row in out]
        if min(drops) > limit:
            break
        good[out[int(np.argmin(drops))]] = True
    return _Tested(good=good, adjusted=_adjust(model, good), sigma=sigma, limit=limit)


def _statistic_of(model: _Model, good: Mask, row: int) -> float:
    """Statistic of a point that was left out, taken in again."""
    again = good.copy()
    again[row] = True
    at = int(again[:row].sum())
    return float(_adjust(model, again).statistic[at])


def _require_decided(  # noqa: PLR0913, PLR0917 - what the message has to say
    model: _Model, tested: _Tested, used: Mask, settings: FitSettings, table: pd.DataFrame, where: str
) -> None:
    """Refuse where the misfit has no explanation, or more than one."""
    if tested.adjusted.statistic.max() > tested.limit:
        raise MismatchError(
            f"{where} 的控制点互不符合，而点数太少，判断不出是哪一点有误：{_largest(table, tested)}；"
            "请核对新旧坐标，或补充控制点"
        )
    out = np.flatnonzero(used & ~tested.good)
    if 2 * len(out) >= int(used.sum()):
        raise MismatchError(
            f"{where} 有半数控制点与其余点不符：{_names(table, out)}；请核对新旧坐标后重新提供"
        )
    variance = max(tested.sigma**2, tested.adjusted.squares / tested.adjusted.freedom)
    for row in out:
        for other in np.flatnonzero(tested.good):
            swapped = tested.good.copy()
            swapped[[row, other]] = True, False
            rival = _adjust(model, swapped)
            allowed = float(chdtri(rival.freedom, settings.significance)) * variance
            if rival.squares <= allowed and rival.statistic.max() <= tested.limit:
                raise MismatchError(
                    f"{where} 的控制点中有粗差，但{_names(table, [int(row), int(other)])}都可能有误，"
                    "多余观测不足，判断不出是哪一点；请核对这两点，或补充控制点"
                )


def _largest(table: pd.DataFrame, tested: _Tested) -> str:
    """The three largest residuals among the points that were used."""
    lengths = np.hypot(tested.adjusted.residuals[:, 0], tested.adjusted.residuals[:, 1])
    rows = np.flatnonzero(tested.good)
    order = np.lexsort((rows, -lengths))[:3]
    return "、".join(f"{_names(table, [int(rows[at])])}残差 {lengths[at]:.2f} m" for at in order)


# The result.


def _reported(  # noqa: PLR0913, PLR0917 - the parts of the result
    shift: DatumShift,
    table: pd.DataFrame,
    old: Array,
    new: Array,
    systems: tuple[CRS, CRS],
    tested: _Tested,
    sigma: float,
) -> DatumShift:
    """The shift with its residuals and its accuracy."""
    good, best = tested.good, tested.adjusted
    left = new - _carried(shift, old, *systems)
    length = np.hypot(left[:, 0], left[:, 1])
    out = table.copy()
    out["residual_north_m"], out["residual_east_m"], out["residual_m"] = left[:, 1], left[:, 0], length
    out["redundancy"], out["normalized"] = np.nan, np.nan
    out.loc[good, "redundancy"] = best.redundancy
    out.loc[good, "normalized"] = np.sqrt(best.statistic) / tested.sigma
    out["outlier"] = ~good
    suspicion = out["suspicion"] if "suspicion" in out else pd.Series("", index=out.index)
    out["reason"] = [
        "" if fine else said or _reason(far)
        for fine, said, far in zip(good, suspicion.fillna(""), length, strict=True)
    ]
    centre = old[good].mean(axis=0)
    moment = ((old[good] - centre) ** 2).sum(axis=1)
    support = Support(
        count=int(good.sum()),
        north_m=float(centre[1]),
        east_m=float(centre[0]),
        moment_m2=float(moment.sum()),
        sigma_m=sigma,
    )
    reach = 1 + 1 / support.count + float(moment.max()) / support.moment_m2
    file = str(table["source_file"].iloc[0])
    return replace(
        shift,
        provenance=f"由 {file} 的控制点解算",
        accuracy_m=max(sigma * math.sqrt(2 * reach), FINEST_M),
        rms_m=float(np.sqrt((length[good] ** 2).mean())),
        residuals=out.sort_values(["source_file", "source_row"], kind="stable").reset_index(drop=True),
        support=support,
    )


def _reason(far: float) -> str:
    return "坐标无效" if not math.isfinite(far) else f"与其余点解算的位置相差 {far:.2f} m"


def _carried(shift: DatumShift, old: Array, source: CRS, target: CRS) -> Array:
    """Old coordinates in the target plane, as the shift computes them."""
    if shift.source == source:
        return moved(shift, old)
    there = moved(shift, lonlat(old, source))
    return np.column_stack(Transformer.from_crs(shift.target, target, always_xy=True).transform(*there.T))
