"""What a vector tile costs by zoom, and an archive of them, beside others: ``python -m benchmarks.tiles``.

One tile: rows by the spatial index of a GeoPackage, then our encoder or
mapbox-vector-tile, on the same rows. All tiles: our archive beside GDAL's driver.
CPU milliseconds; the ratios hold on a busy machine.
"""

import argparse
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final

import geopandas as gpd
import mapbox_vector_tile
import numpy as np
import pyogrio
import shapely
from pyproj import Transformer

from benchmarks.measure import measured, table
from benchmarks.overlay import VILLAGES, make
from geo.tiles import Tile, TileLayer, encode, shapes, write_pmtiles
from geo.tiles.scheme import TILE_COLUMNS, to_world

COLUMNS: Final = (
    "parcel_code",
    "parcel_class",
    "ownership_kind",
    "surveyed_area_m2",
    "surveyed_area_mu",
    "has_rights",
)
PEER: Final = "mapbox-vector-tile"
OURS: Final = "taotu"
ZOOMS: Final = (13, 14, 15, 16, 17, 18)
BATCH: Final = 0.3  # seconds a tile is made again and again
SEED: Final = 1


def dressed(parcels: gpd.GeoDataFrame, copies: int) -> gpd.GeoDataFrame:
    """Parcels with the columns of their tiles; ``copies`` counties side by side."""
    west, _, east, _ = parcels.total_bounds
    parts = [
        parcels.assign(
            geometry=parcels.translate(number * (east - west)),
            parcel_code=parcels["parcel_code"].str[:-2] + f"{number:02d}" + parcels["parcel_code"].str[-2:],
        )
        for number in range(copies)
    ]
    whole = gpd.GeoDataFrame(gpd.pd.concat(parts, ignore_index=True), crs=parcels.crs)
    area = whole.area.round(2)
    return whole.assign(
        parcel_class="10",
        ownership_kind="30",
        surveyed_area_m2=area,
        surveyed_area_mu=(area * 0.0015).round(2),
        has_rights=True,
    )[[*COLUMNS, "geometry"]]


def rows(held: sqlite3.Connection, bounds: Sequence[float]) -> tuple[list[bytes], dict[str, list[Any]]]:
    """Shapes and columns of the parcels whose bounds touch some."""
    found = held.execute(
        f"SELECT geom, {', '.join(COLUMNS)} FROM parcels WHERE fid IN "  # noqa: S608 - names of this file
        "(SELECT id FROM rtree_parcels_geom WHERE maxx >= ? AND minx <= ? AND maxy >= ? AND miny <= ?)",
        (bounds[0], bounds[2], bounds[1], bounds[3]),
    ).fetchall()
    geometry, *columns = zip(*found, strict=True) if found else ((), *((),) * len(COLUMNS))
    return list(geometry), dict(zip(COLUMNS, map(list, columns), strict=True))


def ours(held: sqlite3.Connection, tile: Tile, crs: str) -> bytes:
    """A tile from the file by our encoder."""
    bounds = tile.within(crs)
    if bounds is None:
        return b""
    geometry, columns = rows(held, bounds)
    return encode(
        [TileLayer(name="parcels", geometry=np.array(geometry, object), columns=columns, crs=crs)], tile
    )


def peer(held: sqlite3.Connection, tile: Tile, crs: str, *, transformer: Transformer) -> bytes:
    """A tile from the file by mapbox-vector-tile: the same rows, shapely for everything before it."""
    bounds = tile.within(crs)
    if bounds is None:
        return b""
    geometry, columns = rows(held, bounds)
    moved = shapely.transform(shapes(np.array(geometry, object)), transformer.transform, interleaved=False)
    cut = shapely.clip_by_rect(moved, *tile.buffered(80))
    told = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    features = [
        {"geometry": shape, "properties": properties}
        for shape, properties in zip(cut, told, strict=True)
        if not shape.is_empty
    ]
    options = {"quantize_bounds": tile.bounds, "extents": 4096}
    return bytes(
        mapbox_vector_tile.encode([{"name": "parcels", "features": features}], default_options=options)
    )


def cpu_ms(work: Callable[[], Any]) -> float:
    """CPU milliseconds of one go, the best of as many as fit into `BATCH`, two at least."""
    spent: list[float] = []
    while len(spent) < 2 or sum(spent) < BATCH:
        begun = time.process_time()
        work()
        spent.append(time.process_time() - begun)
    return min(spent) * 1000


def tile_table(path: Path, crs: str, at: Sequence[tuple[float, float]]) -> list[str]:
    """Median cost of the tiles round some places, by zoom."""
    lines = [
        f"| zoom | parcels a tile | taotu ms | of it reading | {PEER} ms | times as fast | taotu KB | {PEER} KB |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    transformer = Transformer.from_crs(crs, 3857, always_xy=True)
    with closing(sqlite3.connect(path)) as held:
        for z in ZOOMS:
            told = []
            for place in at[: 2 if z < 15 else len(at)]:
                tile = Tile(z, *np.floor(to_world(np.array([place]), crs)[0] * 2**z).astype(int).tolist())
                bounds = tile.within(crs)
                told.append(
                    (
                        len(rows(held, bounds or (0, 0, 0, 0))[0]),
                        cpu_ms(partial(ours, held, tile, crs)),
                        cpu_ms(lambda: shapes(np.array(rows(held, bounds)[0], object))),  # noqa: B023 - called at once
                        cpu_ms(partial(peer, held, tile, crs, transformer=transformer)),
                        len(ours(held, tile, crs)) / 1024,
                        len(peer(held, tile, crs, transformer=transformer)) / 1024,
                    )
                )
            count, own, reading, theirs, own_kb, their_kb = map(statistics.median, zip(*told, strict=True))
            lines.append(
                f"| {z} | {count:.0f} | {own:.1f} | {reading:.1f} | {theirs:.1f} | {theirs / own:.1f} "
                f"| {own_kb:.0f} | {their_kb:.0f} |"
            )
    return lines


def archive(parcels: gpd.GeoDataFrame, *, min_zoom: int) -> dict[str, Any]:
    """All tiles by ours."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.pmtiles"
        write_pmtiles(path, {"parcels": parcels}, min_zoom=min_zoom)
        return {"mb": path.stat().st_size / 1e6}


def gdal(parcels: gpd.GeoDataFrame, *, min_zoom: int) -> dict[str, Any]:
    """All tiles by GDAL's driver, not allowed to drop features."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.pmtiles"
        pyogrio.write_dataframe(
            parcels.set_crs(4490, allow_override=True) if parcels.crs.is_geographic else parcels,
            path,
            driver="PMTiles",
            dataset_options={"MINZOOM": min_zoom, "MAXZOOM": 15, "MAX_SIZE": 2**30, "MAX_FEATURES": 2**30},
        )
        return {"mb": path.stat().st_size / 1e6}


def main() -> None:
    """Make the county, time tiles by zoom, then the archives."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tiles", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="10: a whole county of 170 villages")
    parser.add_argument(
        "--copies", type=int, default=1, help="counties side by side: 11 have 600,000 parcels"
    )
    parser.add_argument("--min-zoom", type=int, default=12, help="of the archives; 16 for none")
    parser.add_argument("--keep", type=Path, help="folder to keep the land in, used again if it is there")
    asked = parser.parse_args()
    assert set(COLUMNS) <= set(TILE_COLUMNS["parcels"])  # noqa: S101 - a benchmark of what is served
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.keep or Path(scratch)
        make(folder, max(1, round(VILLAGES * asked.scale)))
        parcels = dressed(gpd.read_parquet(folder / "parcels.parquet"), asked.copies)
        path = Path(scratch) / "parcels.gpkg"
        pyogrio.write_dataframe(parcels, path, layer="parcels")
        crs = f"EPSG:{parcels.crs.to_epsg()}"
        middle = parcels.geometry.iloc[np.random.default_rng(SEED).integers(0, len(parcels), 7)].centroid
        print(f"{len(parcels)} parcels, {parcels.count_coordinates().mean():.0f} corners each, {crs}\n")
        print("\n".join(tile_table(path, crs, list(zip(middle.x, middle.y, strict=True)))))
        if asked.min_zoom > 15:
            return
        given = partial(gpd.read_parquet, Path(scratch) / "dressed.parquet")
        parcels.to_parquet(Path(scratch) / "dressed.parquet")
        theirs = "GDAL's PMTiles driver"
        runs = [
            measured(OURS, given, partial(archive, min_zoom=asked.min_zoom)),
            measured(theirs, given, partial(gdal, min_zoom=asked.min_zoom)),
        ]
        print(f"\nAll tiles of zooms {asked.min_zoom}-15:\n\n{table(runs, theirs)}")
        print("; ".join(f"{run.name} {run.result['mb']:.1f} MB" for run in runs))


if __name__ == "__main__":
    main()
