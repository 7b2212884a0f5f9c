"""Rules of the contract parcels: codes, rights, where they lie and what they lie on.

Source: NY/T 2539-2016 and GB/T 35958-2018.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geo.codes import is_digits
from geo.findings import findings, joined
from geo.reconcile.classify import is_farmland
from geo.reconcile.common_area import common_area
from geo.reconcile.overlay import pairs
from geo.reconcile.rules import Context, at_home, parcel_rows, rule
from geo.standards import code_list


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
            parcel_rows(context, "parcel_code_form", bad, "地块代码“{parcel_code}”不是 19 位数字"),
            parcel_rows(
                context,
                "parcel_code_form",
                differs,
                "地块 {parcel_code} 的前 14 位与发包方编码 {issuer_code} 不同",
            ),
            parcel_rows(
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
    return parcel_rows(
        context,
        "parcel_not_laid",
        geometry.isna() | geometry.is_empty,
        "地块 {parcel_code}（承包方 {contractor_code}）没有图形，未参与套合",
    )


@rule
def parcel_class_unknown(context: Context) -> pd.DataFrame:
    """Parcel classes are those of NY/T 2539-2016 table C.7."""
    bad = ~context.sources.parcels["parcel_class"].isin(code_list("DKLB"))
    return parcel_rows(
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
            parcel_rows(
                context,
                "parcel_without_rights",
                contract & ~parcels["has_rights"],
                "承包地块 {parcel_code} 没有承包地块信息（CBDKXX）记录，不计入已确权",
            ),
            parcel_rows(
                context,
                "parcel_rights_on_other_class",
                ~contract & parcels["has_rights"],
                "地块 {parcel_code} 类别为 {parcel_class}，却有承包地块信息记录；不计入已确权",
            ),
        ]
    )


@rule
def group_code_form(context: Context) -> pd.DataFrame:
    """Group boundaries carry the 14 digits of an issuer; others cannot be used."""
    groups = context.sources.groups
    if groups is None:
        return findings("group_code_form", [], layer="groups")
    bad = groups[~is_digits(groups["group_code"].fillna(""), 14)]
    messages = [
        f"组级区域“{name or ''}”的代码“{code or ''}”不是 14 位数字"
        for name, code in zip(bad["group_name"].fillna(""), bad["group_code"].fillna(""), strict=True)
    ]
    return findings(
        "group_code_form", messages, layer="groups", rows=bad, row_code=bad["group_code"].fillna("")
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
    outside = lies.eq("") & ~context.sources.parcels.geometry.isna()
    return joined(
        [
            parcel_rows(
                context,
                "parcel_wrong_village",
                wrong,
                "地块 {parcel_code} 属于村 {village_code}，却落在村 {location}",
            ),
            parcel_rows(context, "parcel_outside", outside, "地块 {parcel_code} 不在任何村的范围内"),
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
            parcel_rows(
                context,
                "parcel_off_farmland",
                pd.Series(off, index=index, dtype="bool"),
                "承包地块 {parcel_code} 过半不在三调耕地上",
            ),
            parcel_rows(
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
    common = common_area(polygons, row, patches, other)
    area = np.maximum(shapely.area(polygons), 1e-9)
    return np.bincount(row, common, len(polygons)) / area


@rule
def parcel_area(context: Context) -> pd.DataFrame:
    """The surveyed area of a parcel agrees with its geometry."""
    parcels = context.sources.parcels
    drawn = pd.Series(shapely.area(np.asarray(parcels.geometry.array)), index=parcels.index)
    said = parcels["surveyed_area_m2"]
    bad = (said - drawn).abs() > context.settings.parcel_area_share * drawn
    return parcel_rows(
        context,
        "parcel_area_differs",
        bad.fillna(value=False),
        "地块 {parcel_code} 的实测面积 {surveyed_area_m2} m² 与图形面积相差过大",
    )


@rule
def parcel_overlap(context: Context) -> pd.DataFrame:
    """Land with two rights is listed with both codes; the fringes of digitising are summed up by village."""
    parcels, settings = context.sources.parcels, context.settings
    held = parcels[(parcels["parcel_class"].eq("10") & ~parcels.geometry.isna()).to_numpy(dtype=bool)]
    found = pairs(held, min_area_m2=1.0, min_frame_m2=settings.overlap_frame_m2, settings=context.overlay)
    polygons = np.asarray(held.geometry.array)
    lesser = np.minimum(shapely.area(polygons[found["left"]]), shapely.area(polygons[found["right"]]))
    large = found["overlap_m2"] >= settings.overlap_area_m2
    common = shapely.intersection(polygons[found["left"][large]], polygons[found["right"][large]])
    large[large] = 2 * shapely.area(common) / shapely.length(common) >= settings.overlap_width_m
    wide = large | (found["overlap_m2"] >= settings.overlap_share * lesser)
    village = context.homes.parcel_village
    real, fringe = found[wide], found[~wide]
    first = at_home(held.iloc[real["left"]], village)
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
        f"另有 {size} 处相邻地块的边缘重叠（各 1 m² 以上），共 {total:.2f} m²；覆盖面积只计一次"
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
