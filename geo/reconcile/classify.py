"""Class of each piece: never confirmed, newly added, or not to be told from what is here.

A piece that was farmland at the base date and that no household holds was
never confirmed; one that was something else then is newly added. Where the
baseline is silent the confirmation's own evidence speaks, and where nothing
speaks the field decides: a class is never guessed.

Source: the decision table of standards note 2; the words 未确权地 and 新增地 are
the drive's own, no national standard defines them, so the threshold is a setting.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from geopandas import GeoDataFrame

from geo.reconcile.common_area import common_area
from geo.standards import code_list

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifySettings:
    """What decides a class."""

    farmland_share: float = 0.5  # of a piece that was farmland at the base date: from here on UNCONFIRMED
    known_share: float = 0.5  # of a piece that the baseline must cover to have a say
    evidence_share: float = 0.5  # of a piece that parcels of other classes must cover to count


def is_farmland(land_class: pd.Series) -> pd.Series:
    """Whether a land class is farmland: 0101-0103 of 三调, 011-013 of 二调, and nothing else.

    Source: annex of the working classification (TD/T 1057-2020); ridges (1203)
    and restorable K classes are not farmland.
    """
    return land_class.isin(["0101", "0102", "0103", "011", "012", "013"])


def classify(
    pieces: GeoDataFrame,
    *,
    baseline: GeoDataFrame | None = None,
    evidence: GeoDataFrame | None = None,
    extent: GeoDataFrame | None = None,
    settings: ClassifySettings | None = None,
) -> pd.DataFrame:
    """Class of each piece, where it comes from and why.

    Parameters
    ----------
    pieces : GeoDataFrame, n rows
        Polygons in a projected CRS, column ``piece_shape``; a strip or sliver is judged by a point in it.
    baseline : GeoDataFrame, optional
        Earlier survey in the same CRS, column ``land_class``; all classes, not only farmland.
        A row whose class is in neither code list has no say.
    evidence : GeoDataFrame, optional
        Parcels that give no household a right (classes 21, 22, 23, 99, or without
        rights record), columns ``parcel_code`` and ``parcel_class``.
    extent : GeoDataFrame, optional
        Where the confirmation survey worked.
    settings : ClassifySettings, optional
        Thresholds.

    Returns
    -------
    DataFrame, n rows, on the index of ``pieces``
        ``piece_class, class_source, class_reason, baseline_farmland_share,
        evidence_parcels``.
    """
    settings = settings or ClassifySettings()
    polygons = np.asarray(pieces.geometry.array)
    count = len(polygons)
    area = shapely.area(polygons)
    # A strip or sliver is no land to let: its middle is asked, which is many times cheaper than its share.
    asked = polygons.copy()
    narrow = ~pieces["piece_shape"].eq("BLOCK").to_numpy(dtype=bool)
    asked[narrow] = shapely.point_on_surface(polygons[narrow])
    cases: list[tuple[npt.NDArray[np.bool_], str, str, npt.NDArray[np.object_]]] = []
    farmland_share = np.full(count, np.nan)

    if baseline is not None and len(baseline):
        known_class = baseline["land_class"].isin({*code_list("DLBM"), *code_list("DLBM2")})
        old = baseline.loc[known_class, ["land_class", "geometry"]].reset_index(drop=True)
        old_farmland = is_farmland(old["land_class"]).to_numpy()
        share, chief = _shares(asked, area, np.asarray(old.geometry.array), old_farmland)
        known = share["all"] >= settings.known_share
        farmland_share = np.where(known, share["marked"], np.nan)
        was = known & (share["marked"] >= settings.farmland_share)
        percent = _percent(share["marked"])
        cases.append((was, "UNCONFIRMED", "BASELINE", _join("基期为耕地，占图块 ", percent)))
        names = _class_names(old["land_class"], chief)
        cases.append(
            (known & ~was, "NEWLY_ADDED", "BASELINE", _join("基期耕地仅占图块 ", percent, "，原地类", names))
        )

    listed = np.full(count, "", dtype=object)
    if evidence is not None and len(evidence):
        other = evidence.reset_index(drop=True)
        share, chief = _shares(
            polygons, area, np.asarray(other.geometry.array), np.ones(len(other), dtype=bool)
        )
        listed = _codes_over(asked, area, other)
        names = _parcel_names(other["parcel_class"], chief)
        under = share["all"] >= settings.evidence_share
        text = _join("确权成果中登记为", names, "，占图块 ", _percent(share["all"]))
        cases.append((under, "UNCONFIRMED", "PARCEL_EVIDENCE", text))

    if extent is not None and len(extent):
        everywhere = np.ones(len(extent), dtype=bool)
        share, _ = _shares(asked, area, np.asarray(extent.geometry.array), everywhere)
        inside = share["all"] >= settings.evidence_share
        text = _join("位于确权调查范围内，占图块 ", _percent(share["all"]))
        cases.append((inside, "UNCONFIRMED", "CONFIRMATION_EXTENT", text))

    silent = "无基期数据和确权佐证" if baseline is None else "基期数据未覆盖，亦无确权佐证"
    piece_class = np.full(count, "UNDETERMINED", dtype=object)
    source = np.full(count, "NONE", dtype=object)
    reason = np.full(count, f"{silent}，待实地认定", dtype=object)
    for applies, name, origin, text in reversed(cases):  # the first that applies has the last word
        piece_class[applies] = name
        source[applies] = origin
        reason[applies] = text[applies]
    has_evidence = (listed != "") & (source == "BASELINE")
    reason[has_evidence] = reason[has_evidence] + "；确权成果另有" + _spoken(listed[has_evidence])
    return pd.DataFrame(
        {
            "piece_class": piece_class,
            "class_source": source,
            "class_reason": reason,
            "baseline_farmland_share": farmland_share.round(4),
            "evidence_parcels": listed,
        },
        index=pieces.index,
    )


def _shares(
    polygons: npt.NDArray[np.object_],
    area: Floats,
    others: npt.NDArray[np.object_],
    marked: npt.NDArray[np.bool_],
) -> tuple[dict[str, Floats], npt.NDArray[np.int64]]:
    """Share of each polygon under all others and under marked ones, and the other that covers most of it (-1: none).

    Others that lie over each other may count land twice; a share stops at 1.
    """
    row, other, covered = _pair_areas(polygons, area, others)
    total = np.bincount(row, covered, len(polygons))
    under = np.bincount(row, covered * marked[other], len(polygons))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = {"all": np.minimum(total / area, 1.0), "marked": np.minimum(under / area, 1.0)}
    chief = np.full(len(polygons), -1, dtype=np.int64)
    # The largest unmarked part names the old class; ties go to the earlier row.
    unmarked = ~marked[other] if not marked.all() else np.ones(len(other), dtype=bool)
    order = np.lexsort((-other[unmarked], covered[unmarked]))
    chief[row[unmarked][order]] = other[unmarked][order]
    return share, chief


def _pair_areas(
    polygons: npt.NDArray[np.object_], area: Floats, others: npt.NDArray[np.object_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats]:
    """Every meeting of a polygon (or the point that stands for it) with another: their rows and the area in common."""
    # The others ask: each is prepared once for all the pieces near it; copies, as villages run in threads
    # and the index inside a prepared geometry is made by whoever asks first.
    other, row = shapely.STRtree(polygons).query(others, predicate="intersects")
    order = np.lexsort((other, row))
    other, row = other[order], row[order]
    asking, at = np.unique(other, return_inverse=True)
    prepared = shapely.set_srid(others[asking], 0)
    shapely.prepare(prepared)
    # Most pieces lie wholly in one old patch: that test is many times cheaper than an intersection.
    crossing = ~shapely.covers(prepared[at], polygons[row])
    covered = area[row].copy()
    covered[crossing] = common_area(polygons, row[crossing], others, other[crossing])
    return row, other, covered


def _codes_over(
    polygons: npt.NDArray[np.object_], area: Floats, evidence: GeoDataFrame
) -> npt.NDArray[np.object_]:
    """Codes of the evidence parcels that cover at least 5 % of a piece, with their class."""
    row, other, covered = _pair_areas(polygons, area, np.asarray(evidence.geometry.array))
    counts = covered >= 0.05 * area[row]
    table = pd.DataFrame({"row": row[counts], "other": other[counts]})
    listed = np.full(len(polygons), "", dtype=object)
    if table.empty:
        return listed
    kinds = code_list("DKLB")
    names = [
        f"{kinds.get(kind, kind)}{code}"
        for code, kind in zip(evidence["parcel_code"], evidence["parcel_class"].fillna(""), strict=True)
    ]
    table["name"] = np.asarray(names, dtype=object)[table["other"]]
    joined = table.sort_values(["row", "name"]).groupby("row")["name"].agg(";".join)
    listed[joined.index.to_numpy()] = joined.to_numpy()
    return listed


def _class_names(land_class: pd.Series, chief: npt.NDArray[np.int64]) -> npt.NDArray[np.object_]:
    known = {**code_list("DLBM"), **code_list("DLBM2")}
    names = np.array([f"{known.get(code, '')}({code})" for code in land_class] + ["不详"], dtype=object)
    return names[chief]


def _parcel_names(parcel_class: pd.Series, chief: npt.NDArray[np.int64]) -> npt.NDArray[np.object_]:
    known = code_list("DKLB")
    told = parcel_class.fillna("")
    names = np.array([known.get(code, code) or "类别未填" for code in told] + ["不详"], dtype=object)
    return names[chief]


def _spoken(codes: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    return np.array([text.replace(";", "、") for text in codes], dtype=object)


def _percent(share: Floats) -> npt.NDArray[np.object_]:
    return np.array([f"{value:.1f}%" for value in np.nan_to_num(share) * 100], dtype=object)


def _join(*parts: "str | npt.NDArray[np.object_]") -> npt.NDArray[np.object_]:
    out: npt.NDArray[np.object_] | str = ""
    for part in parts:
        out = out + part  # object arrays of str add elementwise
    return np.asarray(out, dtype=object)
