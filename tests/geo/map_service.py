"""A small service under the map: canned vector tiles of two villages, a strict policy, nothing else."""

import json
import struct
import threading
import time
from contextlib import contextmanager

import shapely
import uvicorn
from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from geo.assets import STATIC, static_files
from geo.servedmap import map_html, served_map

NONCE = "bm9uY2Utb2YtYS10ZXN0"
POLICY = (
    f"default-src 'self'; script-src 'self' 'nonce-{NONCE}'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; object-src 'none'; frame-ancestors 'none'; base-uri 'none'"
)
HALF = 20037508.342789244  # of the square of Web Mercator, metres
EXTENT = 4096


def _number(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _part(field, content):
    return _number(field << 3 | 2) + _number(len(content)) + content


def _value(raw):
    if isinstance(raw, str):
        return _part(1, raw.encode())
    return _number(3 << 3 | 1) + struct.pack("<d", float(raw))


def _rings(polygon, west, north, size):
    """Commands of the tile format: move, line, close; steps zigzagged."""
    out, x0, y0 = b"", 0, 0
    for ring in (polygon.exterior, *polygon.interiors):
        points = [
            (round((x - west) / size * EXTENT), round((north - y) / size * EXTENT)) for x, y in ring.coords[:-1]
        ]
        for number, (x, y) in enumerate(points):
            if number < 2:
                out += _number(1 << 3 | 1 if number == 0 else len(points) - 1 << 3 | 2)
            out += b"".join(_number(step << 1 ^ step >> 63) for step in (x - x0, y - y0))
            x0, y0 = x, y
        out += _number(1 << 3 | 7)
    return out


def tile(name, rows, z, x, y):
    """One tile of polygons in Web Mercator; empty bytes if nothing lies there."""
    size = 2 * HALF / 2**z
    west, north = -HALF + x * size, HALF - y * size
    window = shapely.box(west, north - size, west + size, north).buffer(size / 32)
    keys, values, features = [], [], b""
    for row in rows.to_dict("records"):
        parts = shapely.get_parts(row.pop("geometry").intersection(window))
        polygons = [part for part in parts if part.geom_type == "Polygon" and not part.is_empty]
        rings = b"".join(_rings(part, west, north, size) for part in polygons)
        if not rings:
            continue
        tags = b""
        for key, raw in row.items():
            if isinstance(raw, str | float) and raw == raw:  # noqa: PLR0124 - missing values are not themselves
                tags += _number(len(keys)) + _number(len(values))
                keys.append(key)
                values.append(raw)
        features += _part(2, _part(2, tags) + _number(3 << 3) + _number(3) + _part(4, rings))
    if not features:
        return b""
    layer = _number(15 << 3) + _number(2) + _part(1, name.encode()) + features
    layer += b"".join(_part(3, key.encode()) for key in keys)
    layer += b"".join(_part(4, _value(raw)) for raw in values)
    return _part(3, layer + _number(5 << 3) + _number(EXTENT))


def service(spec, tables, figures):
    """An app with one page, the map of ``spec``; ``figures`` are columns of villages by code."""
    app = FastAPI()
    app.mount(STATIC, StaticFiles(directory=static_files()))
    mercator = {
        name: table.to_crs(3857) for name, table in tables.items() if name in {"pieces", "patches", "parcels"}
    }
    villages = tables["villages"].to_crs(4490)
    villages = villages.merge(figures, on="village_code")[[*figures.columns, "village_name", "geometry"]]
    whole = json.loads(villages.to_json())
    pages = [whole["features"][:1], whole["features"][1:]]

    @app.get("/map", response_class=HTMLResponse)
    def page():
        return HTMLResponse(map_html(served_map(spec), nonce=NONCE), headers={"Content-Security-Policy": POLICY})

    @app.get("/tiles/{layer}/{z}/{x}/{y}.mvt")
    def vector(layer: str, z: int, x: int, y: int):
        if layer == "broken":
            return Response(status_code=503)
        content = tile(layer, mercator[layer], z, x, y)
        media = "application/vnd.mapbox-vector-tile"
        return Response(content, media_type=media) if content else Response(status_code=204)

    @app.get("/basemap/{name}/{z}/{x}/{y}")
    def picture(name: str, z: int, x: int, y: int):  # noqa: ARG001 - one grey tile wherever
        grey = '<svg xmlns="http://www.w3.org/2000/svg" width="256" height="256"><rect width="256" height="256" fill="#7a8a5a"/></svg>'
        return Response(grey, media_type="image/svg+xml")

    @app.get("/overview")
    def overview(page: int = 0):
        links = [{"rel": "next", "href": "/overview?page=1"}] if page == 0 else []
        return {"type": "FeatureCollection", "features": pages[page], "links": links}

    @app.get("/favicon.ico")
    def icon():
        return Response(status_code=204)

    return app


@contextmanager
def served(app):
    """The app on a port of its own; gives its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    (listening,) = server.servers[0].sockets
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=10)
