"""Documents of OGC API - Features: what the service is, which collections it has and how each may be asked.

Source: OGC 17-069r4, Part 1: Core; OGC 18-058r1, Part 2; OGC 19-079r2, Part 3.
"""

from collections.abc import Sequence
from typing import Any, Final

from api.asking import id_column, kinds
from api.systems import CRS84, Bounds, lonlat, storage_uri, systems
from geo import schema
from geo.exchange.handout import FORMS
from geo.standards import code_list
from geo.store import Scope, Store
from geo.workspace import GEOMETRIES

JSON: Final = "application/json"
GEOJSON: Final = "application/geo+json"
SCHEMA: Final = "application/schema+json"
OPENAPI: Final = "application/vnd.oai.openapi+json;version=3.1"

# Only what tests/api prove.
CONFORMANCE: Final = (
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
    "http://www.opengis.net/spec/ogcapi-features-2/1.0/conf/crs",
    "http://www.opengis.net/spec/ogcapi-features-3/1.0/conf/queryables",
    "http://www.opengis.net/spec/ogcapi-features-3/1.0/conf/queryables-query-parameters",
    "http://www.opengis.net/spec/ogcapi-features-3/1.0/conf/filter",
    "http://www.opengis.net/spec/ogcapi-features-3/1.0/conf/features-filter",
    "http://www.opengis.net/spec/cql2/1.0/conf/cql2-text",
    "http://www.opengis.net/spec/cql2/1.0/conf/basic-cql2",
)
# Lists of codes that a column's values are of.
LISTS: Final = {
    "state": "state", "piece_class": "piece_class", "piece_shape": "piece_shape", "patch_kind": "patch_kind",
    "grid_kind": "grid_kind", "identified_as": "identified_as", "measured_how": "measured_how",
    "owner_kind": "owner_kind", "reject_reason": "reject_reason",
}  # fmt: skip
_TYPES: Final = {"str": "string", "float": "number", "Int64": "integer", "bool": "boolean"}


def link(base: str, path: str, rel: str, kind: str, title: str = "") -> dict[str, str]:
    """One link; ``base`` is the service's address, without a slash at its end."""
    found = {"href": f"{base}{path}", "rel": rel, "type": kind}
    return found | {"title": title} if title else found


def landing(base: str, title: str) -> dict[str, Any]:
    """What a program meets first."""
    return {
        "title": title,
        "description": "剩余耕地图块的图层、核查与面积平衡",
        "links": [
            link(base, "/", "self", JSON, "本文档"),
            link(base, "/api", "service-desc", OPENAPI, "接口说明"),
            link(base, "/conformance", "conformance", JSON, "符合的标准"),
            link(base, "/collections", "data", JSON, "图层"),
            link(base, "/processes", "http://www.opengis.net/def/rel/ogc/1.0/processes", JSON, "处理"),
        ],
    }


def collection(store: Store, layer: str, base: str, where: Bounds | None) -> dict[str, Any]:
    """What a collection is: its extent, its systems, its links."""
    home = store.workspace.crs
    path = f"/collections/{layer}"
    title = schema.LAYER_TITLES[layer]
    spatial = layer in GEOMETRIES
    found: dict[str, Any] = {
        "id": layer,
        "title": title,
        "itemType": "feature",
        "crs": list(systems(home)),
        "links": [
            link(base, path, "self", JSON, title),
            link(base, f"{path}/items", "items", GEOJSON, title),
            link(
                base, f"{path}/queryables", "http://www.opengis.net/def/rel/ogc/1.0/queryables", SCHEMA, "可查询的列"
            ),
            *(
                link(base, f"{path}/download?f={name}", "enclosure", form.media_type, f"下载 {form.title}")
                for name, form in FORMS.items()
                if spatial or not form.spatial
            ),
        ],
    }  # fmt: skip
    if (uri := storage_uri(home)) is not None and spatial:
        found["storageCrs"] = uri
    if where is not None and spatial:
        bounds = [round(side, 6) for side in lonlat(where, systems(home)[CRS84])]
        found["extent"] = {"spatial": {"bbox": [bounds], "crs": CRS84}}
    return found


def collections(store: Store, layers: Sequence[str], base: str, where: Bounds | None) -> dict[str, Any]:
    """Every collection the caller may ask."""
    return {
        "links": [link(base, "/collections", "self", JSON, "图层")],
        "crs": list(systems(store.workspace.crs)),
        "collections": [collection(store, layer, base, where) for layer in layers],
    }


def queryables(layer: str, base: str, scope: Scope) -> dict[str, Any]:
    """Columns that may be asked about, as a JSON Schema with Chinese titles and lists of codes."""
    titles, dtypes = schema.titles(layer), kinds(layer, scope)
    notes = {column.name: column.note for column in schema.columns(layer)}
    properties: dict[str, Any] = {}
    for name, dtype in dtypes.items():
        told: dict[str, Any] = {"title": titles[name], "type": _TYPES[dtype]}
        if notes[name]:
            told["description"] = notes[name]
        if name in LISTS:
            told["enum"] = list(code_list(LISTS[name]))
            told["x-names"] = code_list(LISTS[name])
        if name == id_column(layer):
            told["x-ogc-role"] = "id"
        properties[name] = told
    if layer in GEOMETRIES:
        form = {"MultiPolygon": "geometry-multipolygon", "Point": "geometry-point"}[GEOMETRIES[layer]]
        properties["geometry"] = {"title": "图形", "x-ogc-role": "primary-geometry", "format": form}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{base}/collections/{layer}/queryables",
        "type": "object",
        "title": schema.LAYER_TITLES[layer],
        "properties": properties,
        "additionalProperties": False,
    }
