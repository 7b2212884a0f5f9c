"""Flaws that are planted on purpose, each named in a table.

They are few, and drawn from a stream of random numbers of their own, so that a
messy county is the clean one of the same seed with known things wrong.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

if TYPE_CHECKING:
    from geo.sample.county import County

XIAN80_SHIFT_M: Final = (95.0, 20.0)  # east and north: what an unconverted 西安80 layer is off by here
_SMALL_M2: Final = 900.0
_FIELDS_A_DOSE: Final = 3000
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
        register.add(
            "shifted_village",
            "parcels",
            code,
            f"全村地块东偏 {0.8 * settings.shift_m:g} 米、北偏 {0.6 * settings.shift_m:g} 米",
        )
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
        register.add(
            "ratio_at_slope_1", "survey", survey["patch_code"].iloc[row], "坡度级别为 1，扣除系数却是 0.0680"
        )
    taken = set(level)
    others = [n for n in np.flatnonzero(farmland) if n not in taken]
    for row in rng.permutation(others)[: 2 * dose]:
        right = survey["patch_area_m2"].iloc[row]
        wrong = round(right * 1.04 + 3, 2)
        ridge = round(wrong * survey["ridge_ratio"].iloc[row], 2)
        survey.loc[survey.index[row], ["patch_area_m2", "ridge_area_m2", "class_area_m2"]] = [
            wrong,
            ridge,
            round(wrong - ridge, 2),
        ]
        register.add(
            "wrong_area",
            "survey",
            survey["patch_code"].iloc[row],
            f"TBMJ 写成 {wrong:.2f}，图形椭球面积是 {right:.2f}",
        )
    grass = np.flatnonzero(survey["land_class"] == "0404")
    for row in rng.permutation(grass)[:dose]:
        survey.loc[survey.index[row], "land_class"] = "0499"
        register.add(
            "unknown_class",
            "survey",
            survey["patch_code"].iloc[row],
            "地类编码 0499 不在国家标准代码表内（应为 0404）",
        )
    return replace(made, survey=survey)


class _Books:
    """Parcels, their truth and their rights while flaws are planted, row by row."""

    def __init__(self, made: "County") -> None:
        self.rng = np.random.default_rng([made.settings.seed, 29])
        self.parcels, self.truth = made.parcels.copy(), made.truth_parcels.copy()
        self.rights = made.rights.copy()
        held = np.flatnonzero(self.parcels["parcel_class"] == "10")
        # Ordinary small fields only: a lost geometry must not open a hole that counts.
        held = held[self.parcels.geometry.area.to_numpy()[held] < _SMALL_M2]
        self.dose = max(1, len(held) // _FIELDS_A_DOSE)
        self._pool = iter(self.rng.permutation(held).tolist())
        self._serial = 80_000
        self._right = pd.Series(self.rights.index, index=self.rights["parcel_code"])

    def draw(self) -> int:
        """Row of a parcel that has no flaw yet."""
        return int(next(self._pool))

    def code(self, row: int) -> str:
        return str(self.parcels["parcel_code"].iloc[row])

    def recode(self, row: int, code: str, issuer: str | None = None) -> str:
        """Give a parcel, and its right, another code; returns the old one."""
        old = self.code(row)
        at, right = self.parcels.index[row], self._right[old]
        self.parcels.loc[at, "parcel_code"] = code
        self.truth.loc[self.truth.index[row], "parcel_code"] = code
        self.rights.loc[right, "parcel_code"] = code
        if issuer is not None:
            home = f"{issuer}{self.parcels.loc[at, 'contractor_code'][14:]}"
            self.parcels.loc[at, ["issuer_code", "contractor_code"]] = [issuer, home]
            self.rights.loc[right, ["issuer_code", "contractor_code"]] = [issuer, home]
        return old

    def fresh(self, issuer: str) -> str:
        """A code that no parcel has."""
        self._serial += 1
        return f"{issuer}{self._serial}"

    def redraw(self, row: int, shape: shapely.Geometry | None) -> None:
        shapes = self.parcels.geometry.to_numpy().copy()
        shapes[row] = shape
        self.parcels = self.parcels.set_geometry(shapes, crs=self.parcels.crs)


def _parcel_flaws(made: "County", register: _Register) -> "County":
    books = _Books(made)
    _wrong_codes(books, list(made.villages["village_code"]), register)
    for _ in range(2 * books.dose):
        row = books.draw()
        books.redraw(row, _crossed(books.parcels.geometry.iloc[row]))
        register.add("self_crossing", "parcels", books.code(row), "边界自相交")
    for _ in range(books.dose):
        for kind, shape in (("null_geometry", None), ("empty_geometry", shapely.Polygon())):
            row = books.draw()
            books.redraw(row, shape)
            register.add(kind, "parcels", books.code(row), "有属性、有确权登记，没有图形")
    pieces = _unregistered(made, books, register)
    _ghost_rights(books, register)
    _overlaps(books, register)
    return replace(
        made,
        parcels=books.parcels,
        truth_parcels=books.truth,
        rights=books.rights.reset_index(drop=True),
        truth_pieces=pieces,
    )


def _wrong_codes(books: _Books, villages: list[str], register: _Register) -> None:
    for _ in range(2 * books.dose if len(villages) > 1 else 0):
        row = books.draw()
        here = str(books.parcels["survey_village"].iloc[row])
        other = villages[(villages.index(here) + 1) % len(villages)]
        old = books.recode(row, books.fresh(f"{other}01"), f"{other}01")
        note = f"地块在 {here} 村内，编码却是 {other} 村的（原为 {old}）"
        register.add("wrong_village", "parcels", books.code(row), note)
    for _ in range(books.dose):
        row = books.draw()
        group = f"{books.parcels['survey_village'].iloc[row]}99"
        old = books.recode(row, books.fresh(group), group)
        register.add("unknown_group", "parcels", books.code(row), f"组代码 {group} 不存在（原为 {old}）")
    for _ in range(books.dose):
        row, twin = books.draw(), books.draw()
        old = books.recode(row, books.code(twin))
        note = f"两块地同一编码（其中一块原为 {old}）"
        register.add("duplicate_code", "parcels", books.code(row), note)


def _unregistered(made: "County", books: _Books, register: _Register) -> gpd.GeoDataFrame:
    """Take the rights of some parcels away; to the law they were never confirmed, so truth gains pieces."""
    rows = [books.draw() for _ in range(books.dose)]
    codes = [books.code(row) for row in rows]
    for code in codes:
        register.add("parcel_without_rights", "parcels", code, "有图形，没有承包地块信息（CBDKXX）")
    books.rights = books.rights[~books.rights["parcel_code"].isin(codes)]
    at = books.parcels.index[rows]
    books.parcels.loc[at, ["contractor_code", "acquisition_kind"]] = ""
    books.parcels.loc[at, ["contract_area_m2", "former_contract_area_m2"]] = np.nan
    books.parcels.loc[at, "has_rights"] = False
    return _reopened(made, books.truth.iloc[rows])


def _ghost_rights(books: _Books, register: _Register) -> None:
    ghosts = []
    for number in range(2 * books.dose):
        source = books.rights.iloc[int(books.rng.integers(len(books.rights)))]
        code = f"{source['issuer_code']}{70_001 + number}"
        ghosts.append({**source.to_dict(), "parcel_code": code, "share_based": False})
        register.add("rights_without_parcel", "rights", code, "承包地块信息（CBDKXX）有此编码，图上没有")
    books.rights = _more_rights(books.rights, pd.DataFrame(ghosts))


def _overlaps(books: _Books, register: _Register) -> None:
    """Second certificates for land that has one: a parcel upon a parcel."""
    twins, truths, rights = [], [], []
    for number in range(2 * books.dose):
        below = books.parcels.iloc[books.draw()]
        code, home = f"{below['issuer_code']}{60_001 + number}", f"{below['issuer_code']}0001"
        parts = shapely.get_parts(shapely.buffer(below.geometry, -1.0, join_style="mitre"))
        own = max(parts, key=lambda part: float(part.area), default=below.geometry)
        area = round(float(own.area), 2)
        changed: dict[Any, Any] = {
            "parcel_code": code,
            "contractor_code": home,
            "contract_area_m2": area,
        }
        measured = {"surveyed_area_m2": area, "surveyed_area_mu": round(area * 0.0015, 2)}
        twins.append({**below.to_dict(), **changed, **measured, "geometry": own})
        truths.append({"parcel_code": code, "geometry": own})
        right = books.rights[books.rights["parcel_code"] == below["parcel_code"]].iloc[0].to_dict()
        rights.append({**right, **changed, "contract_code": f"{home}J", "certificate_code": f"{home}J"})
        note = f"一地多证：压在 {below['parcel_code']} 上，{area:.2f} 平方米"
        register.add("overlap", "parcels", code, note)
    books.parcels = _with(books.parcels, twins)
    books.parcels["source_row"] = pd.array(range(len(books.parcels)), dtype="Int64")
    books.truth = _with(books.truth, truths)
    books.rights = _more_rights(books.rights, pd.DataFrame(rights))


def _more_rights(rights: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([rights, rows.astype(rights.dtypes.to_dict())], ignore_index=True)


def _with(layer: gpd.GeoDataFrame, rows: Sequence[dict[Any, Any]]) -> gpd.GeoDataFrame:
    kinds = layer.drop(columns="geometry").dtypes.to_dict()
    more = gpd.GeoDataFrame(rows, geometry="geometry", crs=layer.crs).astype(kinds)
    return gpd.GeoDataFrame(pd.concat([layer, more], ignore_index=True), geometry="geometry", crs=layer.crs)


def _crossed(shape: shapely.Geometry) -> shapely.Geometry:
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
    rows: list[dict[Any, Any]] = []
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
            register.add(
                "xian80_village",
                "parcels",
                code,
                "1980 西安坐标系，未转换：东偏 95 米、北偏 20 米；单独一个文件 DK…-2",
            )
    return replace(made, parcels=parcels)
