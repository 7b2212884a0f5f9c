"""What must be settled before contracts are extended (延包): one report from the land that is already laid.

Six subjects, each in the county's own villages: contract parcels without
farmland, parcels over each other, parcels in another village, contracts that
are far from what was surveyed, the share of reserve land, and the land of each
household. A household is its contractor code; no names are read.

Source: 农村土地承包法 (2018 amendment) 第六十七条 on reserve land. The wording was checked against a
printed 第六十三条 of 2002; the number of the amended article was not, and the report says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geo import schema
from geo.area import ellipsoidal_area, from_cents, mu, to_cents
from geo.codes import lookup
from geo.errors import InputError
from geo.reconcile.common_area import common_area
from geo.reconcile.overlay import pairs
from geo.reconcile.rules import CheckSettings
from geo.topology import repair
from geo.workspace import Workspace

LAW: Final = (
    "农村土地承包法第六十七条（2018 年修正；2002 年版为第六十三条）：已经预留机动地的，"
    "面积不得超过本集体经济组织耕地总面积的百分之五。条号引用前请核对现行文本。"
)
SUBJECTS: Final = {
    "bare": "无耕地地块",
    "overlaps": "重叠地块",
    "crossing": "跨村地块",
    "differing": "面积差异",
    "reserve": "机动地",
    "land": "户均承包地",
}
HOUSEHOLD: Final = "110"  # acquired as a household; 120 to 129 by bid, auction, agreement

_CONTRACT: Final = "10"
_RESERVE: Final = "22"
_COLLECTIVE: Final = ("COLLECTIVE", "SHARE_BASED")
_POLYGONAL: Final = (3, 6)  # shapely's type numbers
_FINE: Final = 1_000_000  # a share is compared in whole millionths, so that 5 % itself is not over 5 %
_SPREAD: Final = {"p10": 0.1, "median": 0.5, "p90": 0.9}
_READ: Final = {
    "parcels": (
        "parcel_code", "parcel_class", "issuer_code", "contractor_code", "acquisition_kind", "contract_area_m2",
        "surveyed_area_m2", "share_based", "source_file", "source_row",
    ),
    "patches": ("patch_code", "village_code", "village_name", "patch_kind", "patch_area_m2"),
    "villages": ("village_code", "village_name"),
    "shifts": tuple(schema.column_names("shifts")),
    "runs": ("run_id",),
    "meta": ("key", "value"),
}  # fmt: skip
_SPATIAL: Final = ("parcels", "patches", "villages")

Geometries = npt.NDArray[np.object_]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtensionSettings:
    """From where on something is worth an officer's look."""

    farmland_share: float = 0.05  # a parcel with no more of its land on farmland has none: borders err
    area_share: float = 0.05  # |contract - surveyed| over this share of the contract's area
    reserve_share: float = 0.05  # of the collective's farmland; 农村土地承包法 第六十七条
    check: CheckSettings = field(default_factory=CheckSettings)  # what is an overlap, as in the findings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Extension:
    """The report: tables sorted by their codes, areas in m² with two decimals, mu for display."""

    title: str
    run_id: str
    settings: ExtensionSettings
    shifts: pd.DataFrame
    villages: pd.DataFrame  # one row a village: a count and an area of each subject
    bare: pd.DataFrame
    overlaps: pd.DataFrame
    crossing: pd.DataFrame
    differing: pd.DataFrame
    reserve: pd.DataFrame
    land: pd.DataFrame  # one row a village and one a group: households, their land and its spread
    aside: dict[str, int]  # parcels that a subject could not look at, by why


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _County:
    parcels: gpd.GeoDataFrame  # sorted; with ``village_code`` of the issuer and ``cents`` surveyed
    patches: gpd.GeoDataFrame
    villages: gpd.GeoDataFrame
    home: dict[str, str]  # first 12 digits of an issuer to the survey's village
    names: dict[str, str]
    settings: ExtensionSettings


def extension(
    source: Workspace | Mapping[str, pd.DataFrame], settings: ExtensionSettings | None = None
) -> Extension:
    """All six subjects of a workspace.

    Parameters
    ----------
    source : Workspace, or mapping of layer name to DataFrame
        What `geo.workspace.open` gives, or the tables of a run.
    settings : ExtensionSettings, optional

    Returns
    -------
    Extension
        The same for any order of rows. Areas of parcels and patches are those
        stored; parts of parcels are measured on the ellipsoid. Parcels in
        shares (确权确股) are in no subject but counted by village.

    Raises
    ------
    InputError
        If a share of the settings lies outside 0..1, or a layer cannot be read.
    """
    settings = settings or ExtensionSettings()
    for name in ("farmland_share", "area_share", "reserve_share"):
        if not 0 <= getattr(settings, name) <= 1:
            raise InputError(f"设置 {name} 应在 0 与 1 之间")
    tables = _tables(source)
    county = _county(tables, settings)
    parcels = county.parcels
    contract = (parcels["parcel_class"].eq(_CONTRACT) & ~parcels["share_based"]).to_numpy(dtype=bool)
    drawn = ~(parcels.geometry.isna() | parcels.geometry.is_empty).to_numpy(dtype=bool)
    held = parcels[contract]
    laid = parcels[contract & drawn].reset_index(drop=True)
    differing, uncompared = _differing(county, held)
    land, other, no_code = _land(county, held)
    found = {
        "bare": _bare(county, laid),
        "overlaps": _overlaps(county, laid),
        "crossing": _crossing(county, laid),
        "differing": differing,
        "reserve": _reserve(county),
        "land": land,
    }
    meta = dict(zip(tables["meta"]["key"], tables["meta"]["value"], strict=True))
    runs = tables["runs"]["run_id"]
    return Extension(
        title=str(meta.get("title") or "套图成果"),
        run_id=str(runs.iloc[-1]) if len(runs) else "",
        settings=settings,
        shifts=tables["shifts"].sort_values("shift_key", kind="stable", ignore_index=True),
        villages=_summary(county, held, found),
        aside={
            "确权确股，不入各项": int(parcels["share_based"].sum()),
            "没有图形，未查耕地、重叠、跨村": int((contract & ~drawn).sum()),
            "缺合同面积或实测面积，未比较": uncompared,
            "以其他方式承包（非家庭承包），未计入户均": other,
            "没有承包方编码，未计入户均": no_code,
        },
        **found,
    )


def _tables(source: Workspace | Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """The columns the report needs, and no others."""
    out: dict[str, Any] = {}
    for layer, columns in _READ.items():
        if isinstance(source, Workspace):
            out[layer] = source.read(layer, columns=list(columns), geometry=layer in _SPATIAL)
            continue
        empty = gpd.GeoDataFrame({"geometry": []}, geometry="geometry")
        table = (
            pd.DataFrame(source[layer])
            if layer not in _SPATIAL and layer in source
            else source.get(layer, empty)
        )
        names = [*columns, "geometry"] if layer in _SPATIAL else list(columns)
        out[layer] = schema.conform(table, layer)[names]
    return out


def _county(tables: Mapping[str, Any], settings: ExtensionSettings) -> _County:
    patches, villages = tables["patches"], tables["villages"]
    keys = ["parcel_code", "contractor_code", "source_file", "source_row"]
    parcels = tables["parcels"].sort_values(keys, kind="stable", ignore_index=True)
    for name in ("issuer_code", "contractor_code", "acquisition_kind", "parcel_class"):
        parcels[name] = parcels[name].fillna("")
    parcels["share_based"] = parcels["share_based"].fillna(value=False).astype(bool)
    issuer = parcels["issuer_code"].where(parcels["issuer_code"].ne(""), parcels["parcel_code"].fillna(""))
    parcels["issuer_code"] = issuer.str[:14]
    named = pd.concat(
        [part[["village_code", "village_name"]] for part in (villages, patches)], ignore_index=True
    )
    named = named.fillna("").drop_duplicates()
    named = named.assign(bare=named["village_name"].eq("")).sort_values(
        ["village_code", "bare", "village_name"], kind="stable"
    )
    named = named.drop_duplicates("village_code")
    names = dict(zip(named["village_code"], named["village_name"], strict=True))
    home = _homes(parcels, villages, set(names))
    parcels["village_code"] = lookup(parcels["issuer_code"].str[:12], home)
    parcels["cents"] = _stored_cents(parcels)
    return _County(
        parcels=parcels,
        patches=patches.sort_values("patch_code", kind="stable", ignore_index=True),
        # A border that crosses itself is the deliverer's flaw and no reason to stop.
        villages=villages.sort_values("village_code", kind="stable", ignore_index=True).assign(
            geometry=lambda rows: repair(rows.geometry.to_numpy()).fixed
        ),
        home=home,
        names=names,
        settings=settings,
    )


def _homes(parcels: gpd.GeoDataFrame, villages: gpd.GeoDataFrame, known: set[str]) -> dict[str, str]:
    """Survey village of each issuer's; codes of another year by where most of their parcels lie."""
    issuer = parcels["issuer_code"].str[:12]
    out = {str(code): str(code) for code in issuer.unique()}
    strange = parcels[~issuer.isin(known)]
    if strange.empty or villages.empty:
        return out
    points = shapely.point_on_surface(strange.geometry.to_numpy())
    village, row = shapely.STRtree(points).query(villages.geometry.to_numpy(), predicate="intersects")
    hits = pd.DataFrame(
        {
            "issuer": issuer[strange.index].to_numpy()[row],
            "lies_in": villages["village_code"].to_numpy()[village],
        }
    )
    counts = hits.groupby(["issuer", "lies_in"], as_index=False).size()
    best = counts.sort_values(["issuer", "size", "lies_in"], ascending=[True, False, True])
    best = best.drop_duplicates("issuer")
    return out | dict(zip(best["issuer"], best["lies_in"], strict=True))


def _stored_cents(parcels: gpd.GeoDataFrame) -> npt.NDArray[np.int64]:
    """Surveyed area of each parcel; where it is missing the contract's, then the drawing's."""
    area = parcels["surveyed_area_m2"].where(parcels["surveyed_area_m2"] > 0, parcels["contract_area_m2"])
    lacking = ~(area > 0).to_numpy(dtype=bool)
    if lacking.any() and parcels.crs is not None:
        area = area.mask(lacking, ellipsoidal_area(parcels[lacking]).reindex(area.index))
    return np.asarray(to_cents(area.fillna(0.0)), dtype=np.int64)


def _bare(county: _County, laid: gpd.GeoDataFrame) -> pd.DataFrame:
    """Contract parcels with no farmland of the survey under them, above the tolerance."""
    polygons = laid.geometry.to_numpy()
    patches = county.patches.geometry.to_numpy()
    # Most parcels lie in one patch: a patch that asks is prepared once for all of them.
    doubtful = np.ones(len(laid), dtype=bool)
    doubtful[shapely.STRtree(polygons).query(patches, predicate="covers")[1]] = False
    rows = np.flatnonzero(doubtful)
    at, patch = shapely.STRtree(patches).query(polygons[rows], predicate="intersects")
    order = np.lexsort((patch, at))
    at, patch = at[order], patch[order]
    upon = np.bincount(at, common_area(polygons[rows], at, patches, patch), len(rows))
    share = upon / np.maximum(shapely.area(polygons[rows]), 1e-9)
    bare = share <= county.settings.farmland_share
    out = laid.iloc[rows[bare]]
    share = share[bare]
    drawn = ellipsoidal_area(out).to_numpy() if len(out) else np.zeros(0)
    table = _rows(out, county)
    table["farmland_m2"] = from_cents(to_cents(share * drawn))
    table["farmland_mu"] = mu(table["farmland_m2"])
    table["share"] = np.round(share, 4)
    table["reason"] = [
        "地块下没有三调耕地" if area == 0 else f"地块下三调耕地只有 {area:.2f} 平方米，占 {part:.1%}"
        for area, part in zip(table["farmland_m2"], share, strict=True)
    ]
    return table


def _overlaps(county: _County, laid: gpd.GeoDataFrame) -> pd.DataFrame:
    """Pairs of contract parcels on one land, by the measure of finding ``parcel_overlap``."""
    check = county.settings.check
    found = pairs(laid, min_area_m2=1.0, min_frame_m2=check.overlap_frame_m2)
    polygons = laid.geometry.to_numpy()
    left, right = found["left"].to_numpy(), found["right"].to_numpy()
    lesser = np.minimum(shapely.area(polygons[left]), shapely.area(polygons[right]))
    large = (found["overlap_m2"] >= check.overlap_area_m2).to_numpy(dtype=bool)
    much = (found["overlap_m2"] >= check.overlap_share * lesser).to_numpy(dtype=bool)
    some = large | much
    left, right, large, much = left[some], right[some], large[some], much[some]
    common = shapely.intersection(polygons[left], polygons[right])
    wide = _width(common) >= check.overlap_width_m
    real = much | (large & wide)
    left, right, common = left[real], right[real], common[real]
    table = _rows(laid.iloc[left], county)
    other = laid.iloc[right]
    table["other_parcel_code"] = other["parcel_code"].to_numpy()
    table["other_contractor_code"] = other["contractor_code"].to_numpy()
    table["part_m2"] = _ellipsoidal(common, laid)
    table["part_mu"] = mu(table["part_m2"])
    same = table["contractor_code"].eq(table["other_contractor_code"]) & table["contractor_code"].ne("")
    who = np.where(same, "同一承包方两个地块", "两个承包方")
    table["reason"] = [
        f"与地块 {code} 重叠 {area:.2f} 平方米（{text}）"
        for code, area, text in zip(table["other_parcel_code"], table["part_m2"], who, strict=True)
    ]
    return table.sort_values(["parcel_code", "other_parcel_code"], kind="stable", ignore_index=True)


def _crossing(county: _County, laid: gpd.GeoDataFrame) -> pd.DataFrame:
    """Parts of contract parcels in a village that is not their issuer's, wider than borders err."""
    check = county.settings.check
    polygons, villages = laid.geometry.to_numpy(), county.villages.geometry.to_numpy()
    codes = county.villages["village_code"].fillna("").to_numpy(dtype=object)
    own = laid["village_code"].to_numpy(dtype=object)
    tree = shapely.STRtree(polygons)
    village, row = tree.query(villages, predicate="covers")
    at_home = np.zeros(len(laid), dtype=bool)
    at_home[row[codes[village] == own[row]]] = True
    rows = np.flatnonzero(~at_home)
    at, village = shapely.STRtree(villages).query(polygons[rows], predicate="intersects")
    row = rows[at]
    foreign = codes[village] != own[row]
    row, village = row[foreign], village[foreign]
    order = np.lexsort((village, row))
    row, village = row[order], village[order]
    part = shapely.intersection(polygons[row], villages[village])
    area = shapely.area(part)
    whole = np.maximum(shapely.area(polygons[row]), 1e-9)
    real = (area >= check.overlap_share * whole) | (
        (area >= check.overlap_area_m2) & (_width(part) >= check.overlap_width_m)
    )
    real &= area > 0
    real[real] = ~_on_own_enclave(county, part[real], own[row[real]])
    row, village, part, share = row[real], village[real], part[real], (area / whole)[real]
    table = _rows(laid.iloc[row], county)
    table["other_village_code"] = codes[village]
    table["other_village_name"] = [county.names.get(code, "") for code in codes[village]]
    table["part_m2"] = _ellipsoidal(part, laid)
    table["part_mu"] = mu(table["part_m2"])
    table["share"] = np.round(share, 4)
    table["reason"] = [
        f"{'全部' if part > 1 - check.overlap_share else f'有 {part:.1%} '}在 {name or code}"
        for part, name, code in zip(
            share, table["other_village_name"], table["other_village_code"], strict=True
        )
    ]
    return table.sort_values(["parcel_code", "other_village_code"], kind="stable", ignore_index=True)


def _on_own_enclave(county: _County, parts: Geometries, own: Geometries) -> Mask:
    """Whether each part lies on a patch that belongs to the parcel's own village."""
    patches = county.patches
    at, patch = shapely.STRtree(patches.geometry.to_numpy()).query(
        shapely.point_on_surface(parts), predicate="intersects"
    )
    out = np.zeros(len(parts), dtype=bool)
    out[at[patches["village_code"].to_numpy(dtype=object)[patch] == own[at]]] = True
    return out


def _differing(county: _County, held: gpd.GeoDataFrame) -> tuple[pd.DataFrame, int]:
    """Contract parcels whose two areas differ by more than the share, and how many lack one of them."""
    both = (held["contract_area_m2"].notna() & (held["surveyed_area_m2"] > 0)).to_numpy(dtype=bool)
    rows = held[both]
    contract, surveyed = to_cents(rows["contract_area_m2"]), to_cents(rows["surveyed_area_m2"])
    off = surveyed - contract
    over = np.abs(off) * _FINE > round(county.settings.area_share * _FINE) * contract
    table = _rows(rows[over], county)
    table["contract_m2"], table["surveyed_m2"] = from_cents(contract[over]), from_cents(surveyed[over])
    table["difference_m2"] = from_cents(off[over])
    for name in ("contract", "surveyed", "difference"):
        # `mu` rounds half up; the size is rounded, then signed, so that more and less are told alike
        table[f"{name}_mu"] = np.sign(table[f"{name}_m2"]) * mu(table[f"{name}_m2"].abs())
    base = contract[over]
    share = np.divide(off[over], base, out=np.full(len(base), np.nan), where=base != 0)
    table["share"] = np.round(share, 4)
    table["reason"] = [
        "合同面积为 0" if np.isnan(part) else f"实测比合同{'多' if part > 0 else '少'} {abs(part):.1%}"
        for part in share
    ]
    return table, int((~both).sum())


def _reserve(county: _County) -> pd.DataFrame:
    """Reserve land of each village against its farmland: a row each village that has either."""
    parcels, patches = county.parcels, county.patches
    kept = parcels[parcels["parcel_class"].eq(_RESERVE)]
    own = patches[patches["patch_kind"].isin(_COLLECTIVE)]
    farmland = pd.Series(to_cents(own["patch_area_m2"]), index=own["village_code"].fillna(""))
    table = pd.DataFrame(
        {
            "farmland": farmland.groupby(level=0).sum(),
            "parcels": kept.groupby("village_code").size(),
            "reserve": kept.groupby("village_code")["cents"].sum(),
        }
    )
    table = table.fillna(0).astype("int64").rename_axis("village_code").sort_index().reset_index()
    limit = round(county.settings.reserve_share * _FINE)
    table["over"] = table["reserve"] * _FINE > limit * table["farmland"]
    share = (table["reserve"] / table["farmland"].where(table["farmland"] > 0)).round(4)
    table.insert(1, "village_name", [county.names.get(code, "") for code in table["village_code"]])
    for name in ("farmland", "reserve"):
        table[f"{name}_m2"] = from_cents(table.pop(name))
        table[f"{name}_mu"] = mu(table[f"{name}_m2"])
    table["share"] = share
    told = f"{county.settings.reserve_share:.1%}"
    table["reason"] = np.select(
        [table["over"] & share.isna(), table["over"], table["reserve_m2"] > 0],
        ["有机动地而没有集体耕地图斑", f"机动地超过耕地的 {told}", f"不超过 {told}"],
        "没有机动地",
    )
    return table


def _land(county: _County, held: gpd.GeoDataFrame) -> tuple[pd.DataFrame, int, int]:
    """Land of the households of each village and group; parcels held otherwise; parcels without a holder."""
    otherwise = ~held["acquisition_kind"].isin(["", HOUSEHOLD])
    nobody = ~otherwise & held["contractor_code"].eq("")
    counted = held[~otherwise & ~nobody]
    homes = counted.groupby("contractor_code", sort=True).agg(
        group_code=("issuer_code", "min"), parcels=("cents", "size"), cents=("cents", "sum")
    )
    homes["village_code"] = lookup(homes["group_code"].str[:12], county.home)
    parts = []
    for level, column in (("village", "village_code"), ("group", "group_code")):
        keys = list(dict.fromkeys(["village_code", column]))
        by = homes.groupby(keys, sort=True)
        part = by.agg(
            households=("cents", "size"),
            parcels=("parcels", "sum"),
            total=("cents", "sum"),
            least=("cents", "min"),
            most=("cents", "max"),
        )
        part["mean"] = part["total"] / part["households"]
        for name, at in _SPREAD.items():
            part[name] = by["cents"].quantile(at)
        part = part.reset_index().assign(level=level)
        part["group_code"] = part["group_code"] if level == "group" else ""
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    table["village_name"] = [county.names.get(code, "") for code in table["village_code"]]
    for name in ("total", "mean", "least", "p10", "median", "p90", "most"):
        table[f"{name}_m2"] = from_cents(np.rint(table.pop(name).astype("float64")).astype("int64"))
        table[f"{name}_mu"] = mu(table[f"{name}_m2"])
    tenth = table["p10_m2"].where(table["p10_m2"] > 0)
    table["spread"] = (table["p90_m2"] / tenth).round(2)
    table["reason"] = [
        f"一成户不足 {low:.2f} 亩，一成户超过 {high:.2f} 亩"
        for low, high in zip(table["p10_mu"], table["p90_mu"], strict=True)
    ]
    table = table.sort_values(["village_code", "group_code"], kind="stable", ignore_index=True)
    first = ["level", "village_code", "village_name", "group_code"]
    return table[[*first, *table.columns.drop(first)]], int(otherwise.sum()), int(nobody.sum())


def _summary(county: _County, held: gpd.GeoDataFrame, found: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a village with a count and an area of every subject."""
    shares = county.parcels[county.parcels["share_based"]]
    sums = {
        "contract": held.groupby("village_code")["cents"].agg(["size", "sum"]),
        "bare": _counted(found["bare"], "area_m2"),
        "overlaps": _counted(found["overlaps"], "part_m2"),
        "crossing": _counted(found["crossing"], "part_m2"),
        "differing": _counted(found["differing"], "difference_m2"),
        "share_based": shares.groupby("village_code")["cents"].agg(["size", "sum"]),
    }
    codes = sorted(set(found["reserve"]["village_code"]).union(*(part.index for part in sums.values())))
    table = pd.DataFrame({"village_code": codes, "village_name": [county.names.get(c, "") for c in codes]})
    for name, part in sums.items():
        part = part.reindex(codes).fillna(0).astype("int64")  # noqa: PLW2901 - the same, complete
        table[f"{name}_count"] = part["size"].to_numpy()
        table[f"{name}_m2"] = from_cents(part["sum"])
        table[f"{name}_mu"] = np.sign(table[f"{name}_m2"]) * mu(table[f"{name}_m2"].abs())
    kept = found["reserve"].set_index("village_code").reindex(codes)
    for name in ("farmland_m2", "farmland_mu", "reserve_m2", "reserve_mu"):
        table[name] = kept[name].fillna(0.0).to_numpy()
    table["reserve_share"] = kept["share"].to_numpy()
    table["reserve_over"] = kept["over"].eq(other=True).to_numpy(dtype=bool)
    homes = found["land"][found["land"]["level"].eq("village")].set_index("village_code").reindex(codes)
    table["households"] = homes["households"].fillna(0).astype("int64").to_numpy()
    for name in ("mean_m2", "mean_mu"):
        table[name] = homes[name].to_numpy()
    return table


def _counted(rows: pd.DataFrame, area: str) -> pd.DataFrame:
    cents = pd.Series(to_cents(rows[area]), index=rows["village_code"], dtype="int64")
    return cents.groupby(level=0).agg(["size", "sum"])


def _rows(parcels: gpd.GeoDataFrame, county: _County) -> pd.DataFrame:
    """What every row of a list of parcels begins with."""
    area = from_cents(parcels["cents"])
    return pd.DataFrame(
        {
            "parcel_code": parcels["parcel_code"].to_numpy(),
            "village_code": parcels["village_code"].to_numpy(),
            "village_name": [county.names.get(code, "") for code in parcels["village_code"]],
            "contractor_code": parcels["contractor_code"].to_numpy(),
            "area_m2": area,
            "area_mu": mu(area),
        }
    )


def _width(shapes: Geometries) -> npt.NDArray[np.float64]:
    """Mean width: twice the area over the perimeter."""
    width: npt.NDArray[np.float64] = 2 * shapely.area(shapes) / np.maximum(shapely.length(shapes), 1e-9)
    return width


def _ellipsoidal(shapes: Geometries, layer: gpd.GeoDataFrame) -> npt.NDArray[np.float64]:
    """Area of what two polygons have in common, lines and points left out, in m² of two decimals."""
    parts, row = shapely.get_parts(shapes, return_index=True)
    solid = np.isin(shapely.get_type_id(parts), _POLYGONAL)
    if not solid.any():
        return np.zeros(len(shapes))
    area = ellipsoidal_area(gpd.GeoDataFrame(geometry=parts[solid], crs=layer.crs)).to_numpy()
    return from_cents(to_cents(np.bincount(row[solid], area, len(shapes))))
