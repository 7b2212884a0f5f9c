"""A small service under the map: canned vector tiles of two villages, a strict policy, nothing else."""

import json
import threading
import time
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from geo.assets import STATIC, static_files
from geo.servedmap import map_html, served_map
from geo.tiles import encode, tile_layer

NONCE = "bm9uY2Utb2YtYS10ZXN0"
POLICY = (
    f"default-src 'self'; script-src 'self' 'nonce-{NONCE}'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; object-src 'none'; frame-ancestors 'none'; base-uri 'none'"
)


def service(spec, tables, figures):
    """An app with one page, the map of ``spec``; ``figures`` are columns of villages by code."""
    app = FastAPI()
    app.mount(STATIC, StaticFiles(directory=static_files()))
    drawn = {name: tile_layer(name, tables[name]) for name in ("pieces", "patches", "parcels", "findings")}
    villages = tables["villages"].to_crs(4490)
    villages = villages.merge(figures, on="village_code")[[*figures.columns, "village_name", "geometry"]]
    whole = json.loads(villages.to_json())
    pages = [whole["features"][:1], whole["features"][1:]]

    @app.get("/map", response_class=HTMLResponse)
    def page():
        return HTMLResponse(
            map_html(served_map(spec), nonce=NONCE), headers={"Content-Security-Policy": POLICY}
        )

    @app.get("/tiles/{layer}/{z}/{x}/{y}.mvt")
    def vector(layer: str, z: int, x: int, y: int):
        if layer == "broken":
            return Response(status_code=503)
        content = encode([drawn[layer]], (z, x, y))
        media = "application/vnd.mapbox-vector-tile"
        return Response(content, media_type=media) if content else Response(status_code=204)

    @app.get("/basemap/{name}/{z}/{x}/{y}")
    def picture(name: str, z: int, x: int, y: int):  # noqa: ARG001 - one grey tile wherever
        grey = (
            '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"><rect width="1" height="1"/></svg>'
        )
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
