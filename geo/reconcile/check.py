"""Checks of the layers that come in: a registry of rules, a findings table, and the few repairs that are made.

A rule looks at the layers and says which rows are wrong and why; it changes
nothing. Rings that cross themselves are the exception: land must have an
area, so they are repaired first and the area before and after is said.
Rules about codes and values follow TD/T 1057-2020 (survey) and NY/T 2539-2016,
GB/T 35958-2018 (parcels).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from geopandas import GeoDataFrame

from geo.area import ellipsoidal_area, net_area
from geo.codes import is_digits
from geo.findings import findings, joined
from geo.reconcile.classify import is_farmland
from geo.reconcile.homes import Homes, homes
from geo.reconcile.overlay import OverlaySettings, cores, pairs
from geo.reconcile.sources import Sources
from geo.standards import code_list
from geo.topology import repair

ROUNDING_M2: Final = 0.015  # two figures of two decimals each may differ by a cent
CAUTION_CODES: Final = ("HDGD", "HQGD", "LQGD", "MQGD", "SHGD", "SMGD")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSettings:
    """From where on a difference is worth a row."""

    area_tolerance_m2: float = 1.0  # |TBMJ - area of the geometry|: both this
    area_tolerance_share: float = 0.001  # and this share must be exceeded
    parcel_area_share: float = 0.2  # |SCMJ - area of the geometry| over this share
    overlap_area_m2: float = 100.0  # two parcels over each other by this much ...
    overlap_width_m: float = 2.5  # ... and this wide (2 A / perimeter) are one land with two rights
    overlap_share: float = 0.3  # and so is this share of the lesser one: borders err by metres, not by fields
    survey_overlap_m2: float = 1.0  # two patches over each other by this much
    off_farmland_share: float = 0.5  # a parcel with more than this of its land off farmland


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checked:
    """Sources with valid geometry, the villages of their rows, and all findings."""

    sources: Sources
    homes: Homes
    geometry_area: "pd.Series[float]"  # ellipsoidal m2 of each survey patch
    findings: pd.DataFrame


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Context:
    """What a rule may look at."""

    sources: Sources
    homes: Homes
    settings: CheckSettings
    geometry_area: "pd.Series[float]"
    overlay: OverlaySettings


Rule = Callable[[Context], pd.DataFrame]
RULES: Final[list[Rule]] = []


def rule(function: Rule) -> Rule:
    """Enter a rule in the registry; rules run in the order they stand."""
    RULES.append(function)
    return function


def check(sources: Sources, settings: CheckSettings | None = None, *, jobs: int = 0) -> Checked:
    """Repair what must be, then run every rule of the registry.

    Parameters
    ----------
    sources : Sources
        As `geo.reconcile.sources.prepared` gives them.
    settings : CheckSettings, optional
        Tolerances.
    jobs : int
        Threads; 0 takes every core.

    Returns
    -------
    Checked
        The same rows; geometry that was valid is untouched.
    """
    settings = settings or CheckSettings()
    sources, repairs = _repaired(sources)
    where = homes(sources)
    area = ellipsoidal_area(sources.survey)
    context = Context(
        sources=sources,
        homes=where,
        settings=settings,
        geometry_area=area,
        overlay=OverlaySettings(jobs=jobs),
    )
    with ThreadPoolExecutor(cores(jobs)) as pool:
        found = list(pool.map(lambda function: function(context), RULES))
    parts = [*repairs, where.findings, *found]
    return Checked(
        sources=sources,
        homes=where,
        geometry_area=area,
        findings=joined(parts),
    )


def _repaired(sources: Sources) -> tuple[Sources, list[pd.DataFrame]]:
    parts: list[pd.DataFrame] = []
    layers: dict[str, GeoDataFrame] = {}
    for name in ("survey", "parcels", "villages", "groups", "baseline", "extent"):
        layer = getattr(sources, name)
        if layer is None or not len(layer):
            continue
        polygons = np.asarray(layer.geometry.array)
        bad = ~(shapely.is_valid(polygons) | shapely.is_missing(polygons))
        if not bad.any():
            continue
        fixed = repair(polygons[bad])
        mended = layer.copy()
        new = polygons.copy()
        new[bad] = fixed.fixed
        mended["geometry"] = new
        mended = GeoDataFrame(mended, geometry="geometry", crs=layer.crs)
        rows = mended[bad]
        code = _row_codes(name, rows)
        messages = [
            f"{c or '要素'}：{why}；修复前 {before:.2f} m²，修复后 {after:.2f} m²"
            for c, why, before, after in zip(
                code, fixed.reason, fixed.area_before, fixed.area_after, strict=True
            )
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
        layers[name] = mended
    return replace(sources, **layers), parts


def _row_codes(layer: str, rows: pd.DataFrame) -> list[str]:
    column = {
        "survey": "patch_code",
        "parcels": "parcel_code",
        "villages": "village_code",
        "groups": "group_code",
        "baseline": "patch_number",
    }.get(layer)
    return rows[column].fillna("").tolist() if column in rows else [""] * len(rows)


def _survey_rows(context: Context, name: str, bad: "pd.Series[bool]", text: str) -> pd.DataFrame:
    """Findings for survey rows; ``text`` may use the columns of the layer in braces."""
    if not bad.any():
        return findings(name, [], layer="survey")
    rows = context.sources.survey[bad.to_numpy(dtype=bool)]
    rows = _at_home(rows, context.homes.patch_village)
    return findings(name, _messages(text, rows), layer="survey", rows=rows, row_code=rows["patch_code"])


def _parcel_rows(context: Context, name: str, bad: "pd.Series[bool]", text: str) -> pd.DataFrame:
    """Findings for parcel rows; ``text`` may use the columns of the layer in braces."""
    if not bad.any():
        return findings(name, [], layer="parcels")
    rows = context.sources.parcels[bad.to_numpy(dtype=bool)]
    rows = _at_home(rows, context.homes.parcel_village)
    rows["location"] = context.homes.parcel_location.loc[rows.index]
    return findings(name, _messages(text, rows), layer="parcels", rows=rows, row_code=rows["parcel_code"])


def _at_home(rows: GeoDataFrame, village: "pd.Series[str]") -> GeoDataFrame:
    """Rows with their village; an empty selection stays empty, which plain assignment would not keep."""
    return rows.assign(village_code=village.loc[rows.index])


def _messages(text: str, rows: pd.DataFrame) -> list[str]:
    if rows.empty:
        return []
    plain = rows.drop(columns="geometry").astype(object)
    records = plain.where(plain.notna(), "").to_dict("records")
    return [text.format_map({str(name): value for name, value in row.items()}) for row in records]


def _blank(values: "pd.Series[str]") -> "pd.Series[bool]":
    return values.isna() | values.str.strip().eq("")


@rule
def survey_class_unknown(context: Context) -> pd.DataFrame:
    """Land classes are those of the working classification."""
    known = context.sources.survey["land_class"].isin(code_list("DLBM"))
    return _survey_rows(
        context,
        "survey_class_unknown",
        ~known,
        "图斑 {patch_code} 的地类编码“{land_class}”不在三调工作分类中",
    )


@rule
def survey_unit_code(context: Context) -> pd.DataFrame:
    """Owner and location unit codes have 19 digits (a village's 12 are enough to go on)."""
    survey = context.sources.survey
    bad = ~(
        is_digits(survey["location_unit_code"].fillna(""), 19)
        & is_digits(survey["owner_unit_code"].fillna(""), 19)
    )
    text = "图斑 {patch_code} 的权属单位代码“{owner_unit_code}”或坐落单位代码“{location_unit_code}”不是 19 位数字"
    return _survey_rows(context, "survey_unit_code", bad, text)


@rule
def survey_village_unknown(context: Context) -> pd.DataFrame:
    """Every patch lies in a village of the village layer."""
    villages = context.sources.villages
    if villages is None:
        return findings("survey_village_unknown", [], layer="survey")
    known = context.homes.location_village.isin(set(villages["village_code"].fillna("").str[:12]))
    return _survey_rows(
        context,
        "survey_village_unknown",
        ~known,
        "图斑 {patch_code} 的坐落单位 {location_unit_code} 不在村级调查区图层中",
    )


@rule
def survey_ownership_unknown(context: Context) -> pd.DataFrame:
    """Kinds of ownership are those of the code table."""
    bad = ~context.sources.survey["ownership_kind"].isin(code_list("QSXZ"))
    return _survey_rows(
        context,
        "survey_ownership_unknown",
        bad,
        "图斑 {patch_code} 的权属性质“{ownership_kind}”不在代码表中；按集体土地处理前请核对",
    )


@rule
def survey_planting(context: Context) -> pd.DataFrame:
    """Farmland carries a planting attribute; refined farmland one of LS, FLS, LYFL."""
    survey = context.sources.survey
    farmland = is_farmland(survey["land_class"])
    unknown = ~survey["planting_code"].isin(code_list("ZZSXDM"))
    refined = survey["detail_code"].isin(CAUTION_CODES) & ~survey["planting_code"].isin(["LS", "FLS", "LYFL"])
    return joined(
        [
            _survey_rows(
                context,
                "survey_planting",
                farmland & unknown,
                "耕地图斑 {patch_code} 的种植属性“{planting_code}”缺失或不在代码表中",
            ),
            _survey_rows(
                context,
                "survey_planting",
                farmland & refined & ~unknown,
                "图斑 {patch_code} 细化为 {detail_code}，种植属性不应为 {planting_code}",
            ),
        ]
    )


@rule
def survey_slope(context: Context) -> pd.DataFrame:
    """Farmland carries a slope class 1..5; terrace kind TT or PD from 2 on, none at 1."""
    survey = context.sources.survey
    farmland = is_farmland(survey["land_class"])
    bad_slope = farmland & ~survey["slope_class"].isin(code_list("GDPDJB"))
    steep = farmland & survey["slope_class"].isin(["2", "3", "4", "5"])
    flat = farmland & survey["slope_class"].eq("1")
    bad_kind = (steep & ~survey["terrace_kind"].isin(["TT", "PD"])) | (flat & ~_blank(survey["terrace_kind"]))
    return joined(
        [
            _survey_rows(
                context,
                "survey_slope",
                bad_slope,
                "耕地图斑 {patch_code} 的坡度级别“{slope_class}”不在 1..5 中",
            ),
            _survey_rows(
                context,
                "survey_slope",
                bad_kind,
                "图斑 {patch_code} 坡度级别 {slope_class}，耕地类型“{terrace_kind}”不符",
            ),
        ]
    )


@rule
def survey_ridge(context: Context) -> pd.DataFrame:
    """Ridge ratio is 0 at slope 1, over 0 from 2 on, under 1, and only on farmland; KCMJ and TBDLMJ follow from it."""
    survey = context.sources.survey
    farmland = is_farmland(survey["land_class"])
    ratio = survey["ridge_ratio"].fillna(0.0)
    wrong_range = (ratio < 0) | (ratio >= 1)
    at_flat = farmland & survey["slope_class"].eq("1") & (ratio != 0)
    at_steep = farmland & survey["slope_class"].isin(["2", "3", "4", "5"]) & (ratio == 0)
    elsewhere = ~farmland & (
        (ratio != 0) | (survey["ridge_area_m2"].fillna(0) != 0) | ~_blank(survey["slope_class"])
    )
    usable = farmland & ~wrong_range & survey["patch_area_m2"].gt(0)
    net = np.full(len(survey), np.nan)
    rows = usable.to_numpy(dtype=bool)
    net[rows] = net_area(survey["patch_area_m2"].to_numpy()[rows], ratio.to_numpy()[rows])
    differs = usable & survey["class_area_m2"].notna() & ((survey["class_area_m2"] - net).abs() > ROUNDING_M2)
    cases = {
        "图斑 {patch_code} 的扣除系数 {ridge_ratio} 不在 0 与 1 之间，按 0 计": wrong_range,
        "图斑 {patch_code} 坡度级别为 1，扣除系数应为 0，现为 {ridge_ratio}": at_flat & ~wrong_range,
        "图斑 {patch_code} 坡度级别 {slope_class}，扣除系数应大于 0": at_steep,
        "非耕地图斑 {patch_code}（{land_class}）带有扣除系数、扣除面积或坡度级别": elsewhere,
        "图斑 {patch_code} 的图斑地类面积 {class_area_m2} 与 TBMJ × (1 - KCXS) 不符": differs,
    }
    return joined([_survey_rows(context, "survey_ridge", bad, text) for text, bad in cases.items()])


@rule
def survey_area(context: Context) -> pd.DataFrame:
    """TBMJ is there, positive, and agrees with the ellipsoidal area of the geometry."""
    survey, settings = context.sources.survey, context.settings
    official = survey["patch_area_m2"]
    missing = ~(official > 0)
    gap = (official - context.geometry_area).abs()
    differs = (gap > settings.area_tolerance_m2) & (gap > settings.area_tolerance_share * official) & ~missing
    survey_area = context.geometry_area.round(2)
    text = "图斑 {patch_code} 的 TBMJ {patch_area_m2:.2f} m² 与图形椭球面积不符（相差 %s m²）；仍以 TBMJ 为准"
    rows = _at_home(survey[differs.to_numpy(dtype=bool)], context.homes.patch_village)
    messages = [
        text.format(patch_code=code, patch_area_m2=value) % f"{value - real:+.2f}"
        for code, value, real in zip(
            rows["patch_code"], rows["patch_area_m2"], survey_area[differs], strict=True
        )
    ]
    return joined(
        [
            _survey_rows(
                context,
                "survey_area_missing",
                missing,
                "图斑 {patch_code} 没有图斑面积（TBMJ），改用图形椭球面积",
            ),
            findings("survey_area_differs", messages, layer="survey", rows=rows, row_code=rows["patch_code"]),
        ]
    )


@rule
def survey_overlap(context: Context) -> pd.DataFrame:
    """Farmland patches do not lie over each other: land would count twice."""
    survey = context.sources.survey
    farmland = survey[
        is_farmland(survey["land_class"]).to_numpy(dtype=bool) & survey.geometry.notna().to_numpy()
    ]
    found = pairs(farmland, min_area_m2=context.settings.survey_overlap_m2, settings=context.overlay)
    first = _at_home(farmland.iloc[found["left"]], context.homes.patch_village)
    second = farmland["patch_code"].to_numpy(dtype=object)[found["right"]]
    messages = [
        f"图斑 {a} 与 {b} 重叠 {area:.2f} m²，该处面积计了两次"
        for a, b, area in zip(first["patch_code"], second, found["overlap_m2"], strict=True)
    ]
    return findings("survey_overlap", messages, layer="survey", rows=first, row_code=first["patch_code"])


@rule
def parcel_code_form(context: Context) -> pd.DataFrame:
    """Parcel codes have 19 digits and begin with their issuer's 14; contractor codes have 18 and begin so too."""
    parcels = context.sources.parcels
    code = parcels["parcel_code"].fillna("").str.replace(r"~\d+$", "", regex=True)
    bad = ~is_digits(code, 19)
    issuer = parcels["issuer_code"].fillna("")
    differs = ~bad & (code.str[:14] != issuer)
    contractor = parcels["contractor_code"].fillna("")
    bad_contractor = contractor.ne("") & (~is_digits(contractor, 18) | (contractor.str[:14] != issuer))
    return joined(
        [
            _parcel_rows(context, "parcel_code_form", bad, "地块代码“{parcel_code}”不是 19 位数字"),
            _parcel_rows(
                context,
                "parcel_code_form",
                differs,
                "地块 {parcel_code} 的前 14 位与发包方编码 {issuer_code} 不同",
            ),
            _parcel_rows(
                context,
                "parcel_code_form",
                bad_contractor,
                "地块 {parcel_code} 的承包方编码“{contractor_code}”不是 18 位数字或不属于发包方 {issuer_code}",
            ),
        ]
    )


@rule
def parcel_not_laid(context: Context) -> pd.DataFrame:
    """A parcel without geometry takes no land out: its holder's land may turn up among the pieces."""
    geometry = context.sources.parcels.geometry
    return _parcel_rows(
        context,
        "parcel_not_laid",
        geometry.isna() | geometry.is_empty,
        "地块 {parcel_code}（承包方 {contractor_code}）没有图形，未参与套合",
    )


@rule
def parcel_class_unknown(context: Context) -> pd.DataFrame:
    """Parcel classes are those of NY/T 2539-2016 table C.7."""
    bad = ~context.sources.parcels["parcel_class"].isin(code_list("DKLB"))
    return _parcel_rows(
        context,
        "parcel_class_unknown",
        bad,
        "地块 {parcel_code} 的地块类别“{parcel_class}”不在代码表中，不计入已确权",
    )


@rule
def parcel_rights(context: Context) -> pd.DataFrame:
    """A contract parcel has a rights record, other classes have none."""
    parcels = context.sources.parcels
    if not parcels["has_rights"].any():
        return findings("parcel_without_rights", [], layer="parcels")
    contract = parcels["parcel_class"].eq("10")
    return joined(
        [
            _parcel_rows(
                context,
                "parcel_without_rights",
                contract & ~parcels["has_rights"],
                "承包地块 {parcel_code} 没有承包地块信息（CBDKXX）记录，不计入已确权",
            ),
            _parcel_rows(
                context,
                "parcel_rights_on_other_class",
                ~contract & parcels["has_rights"],
                "地块 {parcel_code} 类别为 {parcel_class}，却有承包地块信息记录；不计入已确权",
            ),
        ]
    )


@rule
def parcel_group_unknown(context: Context) -> pd.DataFrame:
    """Every issuer code stands in the issuers' table."""
    issuers = context.sources.issuers
    if issuers.empty:
        return findings("parcel_group_unknown", [], layer="parcels")
    parcels = context.sources.parcels
    unknown = parcels[~parcels["issuer_code"].isin(set(issuers["issuer_code"]))]
    counts = unknown.groupby("issuer_code").size()
    messages = [
        f"发包方（组）编码 {code} 不在发包方表（FBF）中，涉及 {count} 个地块"
        for code, count in counts.items()
    ]
    return findings(
        "parcel_group_unknown", messages, layer="parcels", row_code=list(counts.index.astype(str))
    )


@rule
def parcel_wrong_village(context: Context) -> pd.DataFrame:
    """A parcel lies in the village of its issuer, or on that village's enclaves."""
    lies, home = context.homes.parcel_location, context.homes.parcel_village
    wrong = lies.ne("") & home.ne("") & lies.ne(home)
    rows = np.flatnonzero(wrong.to_numpy())
    if len(rows):
        # On an enclave of the issuer's own village it is at home after all.
        survey, village = context.sources.survey, context.homes.patch_village
        away = (village != context.homes.location_village).to_numpy()
        points = shapely.point_on_surface(np.asarray(context.sources.parcels.geometry.array)[rows])
        hit, patch = shapely.STRtree(np.asarray(survey.geometry.array)[away]).query(
            points, predicate="intersects"
        )
        at_home = village.to_numpy(dtype=object)[away][patch] == home.to_numpy(dtype=object)[rows[hit]]
        wrong.iloc[rows[hit[at_home]]] = False
    outside = lies.eq("") & context.sources.parcels.geometry.notna()
    return joined(
        [
            _parcel_rows(
                context,
                "parcel_wrong_village",
                wrong,
                "地块 {parcel_code} 属于村 {village_code}，却落在村 {location}",
            ),
            _parcel_rows(context, "parcel_outside", outside, "地块 {parcel_code} 不在任何村的范围内"),
        ]
    )


@rule
def parcel_off_farmland(context: Context) -> pd.DataFrame:
    """A contract parcel lies mostly on farmland of the survey, and not on state land."""
    survey, parcels = context.sources.survey, context.sources.parcels
    farmland = survey[is_farmland(survey["land_class"]).to_numpy(dtype=bool)]
    polygons = np.asarray(parcels.geometry.array)
    patches = np.asarray(farmland.geometry.array)
    tree = shapely.STRtree(patches)
    contract = parcels["parcel_class"].eq("10").to_numpy() & ~shapely.is_missing(polygons)
    rows = np.flatnonzero(contract)
    points = shapely.point_on_surface(polygons[rows])
    hit, patch = tree.query(points, predicate="intersects")
    state = farmland["ownership_kind"].str[:1].isin(["1", "2"]).to_numpy()
    on_state = np.zeros(len(parcels), dtype=bool)
    on_state[rows[hit[state[patch]]]] = True
    # Only a parcel whose middle is off farmland can be mostly off it; the few are then measured.
    doubtful = np.setdiff1d(rows, rows[hit])
    share = _share_on(polygons[doubtful], patches, tree)
    off = np.zeros(len(parcels), dtype=bool)
    off[doubtful[1 - share > context.settings.off_farmland_share]] = True
    index = parcels.index
    return joined(
        [
            _parcel_rows(
                context,
                "parcel_off_farmland",
                pd.Series(off, index=index, dtype="bool"),
                "承包地块 {parcel_code} 过半不在三调耕地上",
            ),
            _parcel_rows(
                context,
                "parcel_on_state_land",
                pd.Series(on_state, index=index, dtype="bool"),
                "承包地块 {parcel_code} 落在国有耕地上",
            ),
        ]
    )


def _share_on(
    polygons: npt.NDArray[np.object_], patches: npt.NDArray[np.object_], tree: shapely.STRtree
) -> npt.NDArray[np.float64]:
    row, other = tree.query(polygons, predicate="intersects")
    common = shapely.area(shapely.intersection(polygons[row], patches[other]))
    area = np.maximum(shapely.area(polygons), 1e-9)
    return np.bincount(row, common, len(polygons)) / area


@rule
def parcel_area(context: Context) -> pd.DataFrame:
    """The surveyed area of a parcel agrees with its geometry."""
    parcels = context.sources.parcels
    drawn = pd.Series(shapely.area(np.asarray(parcels.geometry.array)), index=parcels.index)
    said = parcels["surveyed_area_m2"]
    bad = (said - drawn).abs() > context.settings.parcel_area_share * drawn
    return _parcel_rows(
        context,
        "parcel_area_differs",
        bad.fillna(value=False),
        "地块 {parcel_code} 的实测面积 {surveyed_area_m2} m² 与图形面积相差过大",
    )


@rule
def parcel_overlap(context: Context) -> pd.DataFrame:
    """Land with two rights is listed with both codes; the fringes of digitising are summed up by village."""
    parcels, settings = context.sources.parcels, context.settings
    held = parcels[(parcels["parcel_class"].eq("10") & parcels.geometry.notna()).to_numpy(dtype=bool)]
    found = pairs(held, settings=context.overlay)
    polygons = np.asarray(held.geometry.array)
    lesser = np.minimum(shapely.area(polygons[found["left"]]), shapely.area(polygons[found["right"]]))
    large = found["overlap_m2"] >= settings.overlap_area_m2
    common = shapely.intersection(polygons[found["left"][large]], polygons[found["right"][large]])
    large[large] = 2 * shapely.area(common) / shapely.length(common) >= settings.overlap_width_m
    wide = large | (found["overlap_m2"] >= settings.overlap_share * lesser)
    village = context.homes.parcel_village
    real, fringe = found[wide], found[~wide]
    first = _at_home(held.iloc[real["left"]], village)
    second = held["parcel_code"].to_numpy(dtype=object)[real["right"]]
    messages = [
        f"地块 {a} 与 {b} 重叠 {area:.2f} m²（一地多证）；覆盖面积只计一次"
        for a, b, area in zip(first["parcel_code"], second, real["overlap_m2"], strict=True)
    ]
    codes = [f"{a};{b}" for a, b in zip(first["parcel_code"], second, strict=True)]
    listed = findings("parcel_overlap", messages, layer="parcels", rows=first, row_code=codes)
    home = village.loc[held.index[fringe["left"]]].to_numpy()
    sums = fringe.groupby(home)["overlap_m2"].agg(["size", "sum"])
    messages = [
        f"另有 {size} 处相邻地块的边缘重叠，共 {total:.2f} m²；覆盖面积只计一次"
        for size, total in zip(sums["size"], sums["sum"], strict=True)
    ]
    fringes = findings(
        "parcel_fringe_overlap",
        messages,
        layer="parcels",
        row_code=list(sums.index),
        village_code=list(sums.index),
    )
    return joined([listed, fringes])


@rule
def baseline_class_unknown(context: Context) -> pd.DataFrame:
    """Classes of the baseline are those of either survey."""
    baseline = context.sources.baseline
    if baseline is None:
        return findings("baseline_class_unknown", [], layer="baseline")
    known = set(code_list("DLBM")) | set(code_list("DLBM2"))
    counts = baseline[~baseline["land_class"].isin(known)].groupby("land_class", dropna=False).size()
    messages = [
        f"基期图层有 {count} 个图斑的地类编码“{code}”不在代码表中，按非耕地处理"
        for code, count in counts.items()
    ]
    return findings(
        "baseline_class_unknown", messages, layer="baseline", row_code=[str(code) for code in counts.index]
    )
