"""Flaws that are planted on purpose, each named in a table.

They are few, and drawn from a stream of random numbers of their own, so that a
messy county is the clean one of the same seed with known things wrong.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

if TYPE_CHECKING:
    from geo.sample.county import County

XIAN80_SHIFT_M: Final = (95.0, 20.0)  # east and north: what an unconverted 西安80 layer is off by here
_FARMLAND: Final = ("0101", "0102", "0103")


class _Register:
    """The list of what was planted."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str, str]] = []

    def add(self, kind: str, layer: str, code: str, note: str) -> None:
        self.rows.append((kind, layer, code, note))

    def table(self) -> pd.DataFrame:
        return pd.DataFrame(self.rows, columns=["kind", "layer", "code", "note"], dtype="str")


def planted(made: "County", shifted_village: int) -> "County":
    """The county with its flaws, and ``truth_flaws`` that lists them.

    Parameters
    ----------
    made : County
        Without flaws; left as it is.
    shifted_village : int
        Number of the village that ``shift_m`` has moved.
    """
    register = _Register()
    settings = made.settings
    if settings.shift_m:
        code = made.villages["village_code"].iloc[shifted_village]
        register.add("shifted_village", "parcels", code, f"全村地块东偏 {0.8 * settings.shift_m:g} 米、北偏 {0.6 * settings.shift_m:g} 米")
    if settings.messy:
        made = _survey_flaws(made, register)
        made = _parcel_flaws(made, register)
        made = _file_flaws(made, register)
    return replace(made, truth_flaws=register.table())


def _survey_flaws(made: "County", register: _Register) -> "County":
    rng = np.random.default_rng([made.settings.seed, 23])
    survey = made.survey.copy()
    dose = max(1, len(survey) // 2500)
    farmland = survey["land_class"].isin(_FARMLAND)
    level = np.flatnonzero(farmland & (survey["slope_class"] == "1"))
    for row in rng.permutation(level)[:dose]:
        ridge = round(survey["patch_area_m2"].iloc[row] * 0.068, 2)
        survey.loc[survey.index[row], ["ridge_ratio", "ridge_area_m2"]] = [0.068, ridge]
        survey.loc[survey.index[row], "class_area_m2"] = round(survey["patch_area_m2"].iloc[row] - ridge, 2)
        register.add("ratio_at_slope_1", "survey", survey["patch_code"].iloc[row], "坡度级别为 1，扣除系数却是 0.0680")
    taken = set(level)
    others = [n for n in np.flatnonzero(farmland) if n not in taken]
    for row in rng.permutation(others)[: 2 * dose]:
        right = survey["patch_area_m2"].iloc[row]
        wrong = round(right * 1.04 + 3, 2)
        ridge = round(wrong * survey["ridge_ratio"].iloc[row], 2)
        survey.loc[survey.index[row], ["patch_area_m2", "ridge_area_m2", "class_area_m2"]] = [wrong, ridge, round(wrong - ridge, 2)]
        register.add("wrong_area", "survey", survey["patch_code"].iloc[row], f"TBMJ 写成 {wrong:.2f}，图形椭球面积是 {right:.2f}")
    grass = np.flatnonzero(survey["land_class"] == "0404")
    for row in rng.permutation(grass)[:dose]:
        survey.loc[survey.index[row], "land_class"] = "0499"
        register.add("unknown_class", "survey", survey["patch_code"].iloc[row], "地类编码 0499 不在国家标准代码表内（应为 0404）")
    return replace(made, survey=survey)


def _parcel_flaws(made: "County", register: _Register) -> "County":
    rng = np.random.default_rng([made.settings.seed, 29])
    parcels, rights, truth = made.parcels.copy(), made.rights.copy(), made.truth_parcels.copy()
    held = np.flatnonzero(parcels["parcel_class"] == "10")
    # Ordinary small fields only: a lost geometry must not open a hole that counts.
    held = held[parcels.geometry.area.to_numpy()[held] < 900]
    dose = max(1, len(held) // 3000)
    pool = iter(rng.permutation(held))
    codes = parcels["parcel_code"].to_numpy(dtype=object).copy()
    issuers = parcels["issuer_code"].to_numpy(dtype=object).copy()
    homes = parcels["contractor_code"].to_numpy(dtype=object).copy()
    row_of = pd.Series(np.arange(len(rights)), index=rights["parcel_code"])
    right_codes = rights["parcel_code"].to_numpy(dtype=object).copy()
    right_issuers = rights["issuer_code"].to_numpy(dtype=object).copy()
    right_homes = rights["contractor_code"].to_numpy(dtype=object).copy()
    shapes = parcels.geometry.to_numpy().copy()
    serial = 80_000

    def recode(row: int, issuer: str) -> str:
        nonlocal serial
        serial += 1
        old, at = codes[row], row_of[codes[row]]
        codes[row] = right_codes[at] = f"{issuer}{serial}"
        issuers[row] = right_issuers[at] = issuer
        homes[row] = right_homes[at] = f"{issuer}{homes[row][14:]}"
        return str(old)

    villages = list(made.villages["village_code"])
    for _ in range(2 * dose if len(villages) > 1 else 0):
        row = next(pool)
        here = codes[row][:12]
        other = villages[(villages.index(here) + 1) % len(villages)] if here in villages else villages[0]
        old = recode(row, f"{other}01")
        register.add("wrong_village", "parcels", codes[row], f"地块在 {here} 村内，编码却是 {other} 村的（原为 {old}）")
    for _ in range(dose):
        row = next(pool)
        group = f"{codes[row][:12]}99"
        old = recode(row, group)
        register.add("unknown_group", "parcels", codes[row], f"组代码 {group} 不存在（原为 {old}）")
    for _ in range(dose):
        row, twin = next(pool), next(pool)
        old, at = codes[row], row_of[codes[row]]
        codes[row] = right_codes[at] = codes[twin]
        register.add("duplicate_code", "parcels", codes[row], f"两块地同一编码（其中一块原为 {old}）")
    for _ in range(2 * dose):
        row = next(pool)
        shapes[row] = _crossed(shapes[row])
        register.add("self_crossing", "parcels", codes[row], "边界自相交")
    for number in range(2 * dose):
        row = next(pool)
        shapes[row] = None if number % 2 == 0 else shapely.Polygon()
        register.add("null_geometry" if number % 2 == 0 else "empty_geometry", "parcels", codes[row], "有属性、有确权登记，没有图形")
    dropped = []
    for _ in range(dose):
        row = next(pool)
        dropped.append(row)
        register.add("parcel_without_rights", "parcels", codes[row], "有图形，没有承包地块信息（CBDKXX）")
    parcels["parcel_code"], parcels["issuer_code"], parcels["contractor_code"] = codes, issuers, homes
    truth["parcel_code"] = codes
    rights["parcel_code"], rights["issuer_code"], rights["contractor_code"] = right_codes, right_issuers, right_homes
    parcels = parcels.set_geometry(shapes, crs=parcels.crs)
    rights = rights[~rights["parcel_code"].isin(codes[dropped])]
    index = parcels.index[dropped]
    parcels.loc[index, ["contractor_code", "acquisition_kind"]] = ""
    parcels.loc[index, ["contract_area_m2", "former_contract_area_m2"]] = np.nan
    parcels.loc[index, "has_rights"] = False
    pieces = _reopened(made, truth.iloc[dropped])
    ghosts = []
    for number in range(2 * dose):
        source = rights.iloc[int(rng.integers(len(rights)))]
        code = f"{source['issuer_code']}{70_001 + number}"
        ghosts.append({**source.to_dict(), "parcel_code": code, "share_based": False})
        register.add("rights_without_parcel", "rights", code, "承包地块信息（CBDKXX）有此编码，图上没有")
    twins, twin_truth = [], []
    for number in range(2 * dose):
        row = next(pool)
        below = parcels.iloc[row]
        code = f"{below['issuer_code']}{60_001 + number}"
        own = shapely.buffer(below.geometry, -1.0, join_style="mitre")
        own = max(shapely.get_parts(own), key=lambda p: p.area) if not own.is_empty else below.geometry
        area = round(own.area, 2)
        home = f"{below['issuer_code']}0001"
        twins.append({**below.to_dict(), "parcel_code": code, "contractor_code": home, "surveyed_area_m2": area,
                      "surveyed_area_mu": round(area * 0.0015, 2), "contract_area_m2": area, "geometry": own})  # fmt: skip
        twin_truth.append({"parcel_code": code, "geometry": own})
        right = rights[rights["parcel_code"] == below["parcel_code"]].iloc[0].to_dict()
        ghosts.append({**right, "parcel_code": code, "contractor_code": home, "contract_area_m2": area,
                       "contract_code": f"{home}J", "certificate_code": f"{home}J"})  # fmt: skip
        register.add("overlap", "parcels", code, f"一地多证：压在 {below['parcel_code']} 上，{area:.2f} 平方米")
    return replace(
        made,
        parcels=_with(parcels, twins, source_row=True),
        truth_parcels=_with(truth, twin_truth),
        rights=pd.concat([rights, pd.DataFrame(ghosts)], ignore_index=True).astype(made.rights.dtypes.to_dict()),
        truth_pieces=pieces,
    )


def _with(layer: gpd.GeoDataFrame, rows: list[dict[str, object]], *, source_row: bool = False) -> gpd.GeoDataFrame:
    more = gpd.GeoDataFrame(rows, geometry="geometry", crs=layer.crs).astype(
        {name: kind for name, kind in layer.dtypes.items() if name != "geometry"}
    )
    out = gpd.GeoDataFrame(pd.concat([layer, more], ignore_index=True), geometry="geometry", crs=layer.crs)
    if source_row:
        out["source_row"] = pd.array(range(len(out)), dtype="Int64")
    return out


def _crossed(shape: shapely.Polygon) -> shapely.Polygon:
    """The polygon with two of its points swapped, so that its ring crosses itself."""
    points = shapely.get_coordinates(shape)[:-1]
    for first in range(len(points)):
        swapped = points.copy()
        second = (first + 2) % len(points)
        swapped[[first, second]] = swapped[[second, first]]
        made = shapely.Polygon(swapped)
        if not made.is_valid:
            return made
    return shape


def _reopened(made: "County", parcels: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Pieces of truth with those parcels that nobody registered: to the law they were never confirmed."""
    farmland = made.survey[made.survey["land_class"].isin(_FARMLAND)]
    spots = parcels.geometry.representative_point()
    spot, patch = farmland.sindex.query(spots, predicate="intersects")
    rows = []
    for number, at in zip(spot, patch, strict=True):
        land = farmland.iloc[at]
        code = parcels["parcel_code"].iloc[number]
        rows.append(
            {
                "truth_id": f"T9{len(rows) + 1:05d}",
                "piece_class": "UNCONFIRMED",
                "group_code": code[:14],
                "village_code": code[:12],
                "patch_code": land["patch_code"],
                "area_m2": round(parcels.geometry.iloc[number].area, 2),
                "geometry": parcels.geometry.iloc[number],
            }
        )
    return _with(made.truth_pieces, rows)


def _file_flaws(made: "County", register: _Register) -> "County":
    """Flaws of whole files: they show in what `geo.sample.deliver` writes."""
    parcels = made.parcels
    townships = sorted(set(parcels["survey_village"].str[:9]))
    for township in townships[1:]:
        register.add("no_zone_prefix", "parcels", township, "东坐标不带 38 带号（其他乡镇带），都对")
    register.add("missing_prj", "parcels", townships[-1], "DK 图层没有 .prj")
    register.add("three_d", "parcels", townships[0], "DK 图层带 Z 值（全为 0）")
    register.add("missing_cpg", "survey", "DLTB", "属性为 GBK 编码，没有 .cpg，表头也不说明编码")
    register.add("old_field_names", "baseline", "DLTB", "二调旧字段名 TKXS、TKMJ、GDPDJ、XZQDM，三调没有")
    villages = list(made.villages["village_code"])
    if len(villages) > 4:
        code = villages[4]
        mine = (parcels["survey_village"] == code).to_numpy()
        if mine.any():
            shapes = parcels.geometry.to_numpy().copy()
            shapes[mine] = gpd.GeoSeries(shapes[mine]).translate(*XIAN80_SHIFT_M).to_numpy()
            parcels = parcels.set_geometry(shapes, crs=parcels.crs)
            register.add("xian80_village", "parcels", code, "1980 西安坐标系，未转换：东偏 95 米、北偏 20 米；单独一个文件 DK…-2")
    return replace(made, parcels=parcels)
