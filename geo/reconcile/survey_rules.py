"""Rules of the survey and its baseline: codes, values, areas and overlaps.

Source: TD/T 1057-2020, as standards note 1.4 to 1.8 reads it.
"""

from typing import Final

import numpy as np
import pandas as pd

from geo.area import net_area
from geo.codes import is_digits
from geo.findings import findings, joined
from geo.reconcile.classify import is_farmland
from geo.reconcile.overlay import pairs
from geo.reconcile.rules import Context, at_home, blank, is_area, rule, survey_rows
from geo.standards import code_list

ROUNDING_M2: Final = 0.015  # two figures of two decimals each may differ by a cent
CAUTION_CODES: Final = ("HDGD", "HQGD", "LQGD", "MQGD", "SHGD", "SMGD")


@rule
def survey_class_unknown(context: Context) -> pd.DataFrame:
    """Land classes are those of the working classification."""
    known = context.sources.survey["land_class"].isin(code_list("DLBM"))
    return survey_rows(
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
    return survey_rows(context, "survey_unit_code", bad, text)


@rule
def survey_village_unknown(context: Context) -> pd.DataFrame:
    """Every patch lies in a village of the village layer."""
    villages = context.sources.villages
    if villages is None:
        return findings("survey_village_unknown", [], layer="survey")
    known = context.homes.location_village.isin(set(villages["village_code"].fillna("").str[:12]))
    return survey_rows(
        context,
        "survey_village_unknown",
        ~known,
        "图斑 {patch_code} 的坐落单位 {location_unit_code} 不在村级调查区图层中",
    )


@rule
def survey_ownership_unknown(context: Context) -> pd.DataFrame:
    """Kinds of ownership are those of the code table."""
    bad = ~context.sources.survey["ownership_kind"].isin(code_list("QSXZ"))
    return survey_rows(
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
            survey_rows(
                context,
                "survey_planting",
                farmland & unknown,
                "耕地图斑 {patch_code} 的种植属性“{planting_code}”缺失或不在代码表中",
            ),
            survey_rows(
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
    bad_kind = (steep & ~survey["terrace_kind"].isin(["TT", "PD"])) | (flat & ~blank(survey["terrace_kind"]))
    return joined(
        [
            survey_rows(
                context,
                "survey_slope",
                bad_slope,
                "耕地图斑 {patch_code} 的坡度级别“{slope_class}”不在 1..5 中",
            ),
            survey_rows(
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
        (ratio != 0) | (survey["ridge_area_m2"].fillna(0) != 0) | ~blank(survey["slope_class"])
    )
    usable = farmland & ~wrong_range & is_area(survey["patch_area_m2"])
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
    return joined([survey_rows(context, "survey_ridge", bad, text) for text, bad in cases.items()])


@rule
def survey_area(context: Context) -> pd.DataFrame:
    """TBMJ is there, positive, and agrees with the ellipsoidal area of the geometry."""
    survey, settings = context.sources.survey, context.settings
    official = survey["patch_area_m2"]
    missing = ~is_area(official)
    gap = (official - context.geometry_area).abs()
    differs = (gap > settings.area_tolerance_m2) & (gap > settings.area_tolerance_share * official) & ~missing
    survey_area = context.geometry_area.round(2)
    text = "图斑 {patch_code} 的 TBMJ {patch_area_m2:.2f} m² 与图形椭球面积不符（相差 %s m²）；仍以 TBMJ 为准"
    rows = at_home(survey[differs.to_numpy(dtype=bool)], context.homes.patch_village)
    messages = [
        text.format(patch_code=code, patch_area_m2=value) % f"{value - real:+.2f}"
        for code, value, real in zip(
            rows["patch_code"], rows["patch_area_m2"], survey_area[differs], strict=True
        )
    ]
    return joined(
        [
            survey_rows(
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
        is_farmland(survey["land_class"]).to_numpy(dtype=bool) & ~survey.geometry.isna().to_numpy()
    ]
    found = pairs(farmland, min_area_m2=context.settings.survey_overlap_m2, settings=context.overlay)
    first = at_home(farmland.iloc[found["left"]], context.homes.patch_village)
    second = farmland["patch_code"].to_numpy(dtype=object)[found["right"]]
    messages = [
        f"图斑 {a} 与 {b} 重叠 {area:.2f} m²，该处面积计了两次"
        for a, b, area in zip(first["patch_code"], second, found["overlap_m2"], strict=True)
    ]
    return findings("survey_overlap", messages, layer="survey", rows=first, row_code=first["patch_code"])


@rule
def baseline_class_unknown(context: Context) -> pd.DataFrame:
    """Classes of the baseline are those of either survey."""
    baseline = context.sources.baseline
    if baseline is None:
        return findings("baseline_class_unknown", [], layer="baseline")
    known = set(code_list("DLBM")) | set(code_list("DLBM2"))
    counts = baseline[~baseline["land_class"].isin(known)].groupby("land_class", dropna=False).size()
    messages = [
        f"基期图层有 {count} 个图斑的地类编码“{code}”不在代码表中，不作分类依据"
        for code, count in counts.items()
    ]
    return findings(
        "baseline_class_unknown", messages, layer="baseline", row_code=[str(code) for code in counts.index]
    )
