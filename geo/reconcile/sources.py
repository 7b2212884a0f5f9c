"""The layers that one reconciliation is made from, in one value."""

from dataclasses import dataclass, field, replace
from typing import Final

import pandas as pd
from geopandas import GeoDataFrame
from pyproj import CRS

from geo.errors import MismatchError, MissingColumnError, MissingDatumError
from geo.schema import conform

_LAYERS: Final = ("survey", "parcels", "villages", "groups", "baseline", "extent")
_ORDER: Final = {
    "survey": ("patch_code", "source_file", "source_row"),
    "parcels": ("parcel_code", "source_file", "source_row"),
    "villages": ("village_code", "source_file", "source_row"),
    "groups": ("group_code",),
    "baseline": ("location_unit_code", "patch_number", "source_file", "source_row"),
}
_NEEDED: Final = {
    "survey": ("land_class",),
    "parcels": ("parcel_code", "parcel_class"),
    "baseline": ("land_class",),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sources:
    """Layers as read, all in the CRS of the survey, columns as in the layers of these names."""

    survey: GeoDataFrame
    parcels: GeoDataFrame
    rights: pd.DataFrame = field(default_factory=lambda: conform(pd.DataFrame(), "rights"))
    issuers: pd.DataFrame = field(default_factory=lambda: conform(pd.DataFrame(), "issuers"))
    villages: GeoDataFrame | None = None
    groups: GeoDataFrame | None = None
    baseline: GeoDataFrame | None = None
    extent: GeoDataFrame | None = None  # where the confirmation survey worked


def prepared(sources: Sources) -> Sources:
    """The same layers with every promised column, in one order of rows and one CRS.

    Raises
    ------
    MissingDatumError
        If the survey has no CRS, or one in degrees.
    MissingColumnError
        If a column is missing that the work cannot do without.
    MismatchError
        If a layer is in another CRS than the survey.
    """
    crs = sources.survey.crs
    if crs is None:
        raise MissingDatumError("三调图层没有坐标系；请在读取时给出（如 EPSG:4526）")
    if crs.is_geographic:
        raise MissingDatumError("三调图层为经纬度坐标；请先投影到 3 度带高斯-克吕格平面（如 EPSG:4526）")
    layers: dict[str, GeoDataFrame] = {}
    for name in _LAYERS:
        if (layer := getattr(sources, name)) is not None:
            placed = _placed(name, layer, crs)
            layers[name] = placed if name == "extent" else _in_order(conform(placed, name), _ORDER[name])
    survey, parcels = layers["survey"], layers["parcels"]
    nameless = survey["patch_code"].isna() | survey["patch_code"].eq("")
    number = pd.Series([f"{row + 1:06d}" for row in range(len(survey))], index=survey.index)
    survey["patch_code"] = survey["patch_code"].where(~nameless, number)
    parcels["issuer_code"] = parcels["issuer_code"].fillna(parcels["parcel_code"].str[:14])
    parcels["parcel_class"] = parcels["parcel_class"].str.strip().str.removesuffix(".0")
    rights = conform(sources.rights, "rights")
    rights["issuer_code"] = rights["issuer_code"].fillna(rights["parcel_code"].str[:14])
    if "has_rights" not in sources.parcels:
        parcels["has_rights"] = parcels["parcel_code"].isin(set(rights["parcel_code"]))
    return replace(
        sources,
        **layers,
        rights=rights,
        issuers=conform(sources.issuers, "issuers"),
    )


def _in_order(layer: GeoDataFrame, codes: tuple[str, ...]) -> GeoDataFrame:
    """Rows by code, then by place: whatever the order they came in, the rest of the work sees them in one."""
    bounds = layer.geometry.bounds
    keys = [layer[code] for code in codes] + [bounds["minx"], -bounds["maxy"], layer.geometry.area]
    table = pd.concat(keys, axis=1, ignore_index=True)
    order = table.sort_values(list(table.columns), kind="stable").index.to_numpy()
    return layer.iloc[order].reset_index(drop=True)


def _placed(name: str, layer: GeoDataFrame, crs: CRS) -> GeoDataFrame:
    missing = [column for column in _NEEDED.get(name, ()) if column not in layer]
    if missing:
        present = ", ".join(map(str, layer.columns))
        raise MissingColumnError(f"图层 {name} 缺少列 {', '.join(missing)}；现有列：{present}")
    if layer.crs is None:
        return layer.set_crs(crs).reset_index(drop=True)
    if layer.crs != crs:
        raise MismatchError(
            f"图层 {name} 的坐标系是 {layer.crs.name}，三调是 {crs.name}；请先转换到同一坐标系"
        )
    return layer.reset_index(drop=True)
