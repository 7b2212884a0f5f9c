"""Full sheets, each of 300 parcels and 40 pieces, by the command itself: ``python -m benchmarks.sheet_scene``.

The land is laid out sheet by sheet: every 1:2000 national sheet of a block has
20 x 17 fields, of which 40 are pieces and 300 contract parcels, over a
JPEG-compressed mosaic. ``taotu sheets`` then draws the block, one process, as A1
national sheets and as A3 tiles of the groups (one to each four sheets). The
whole command is timed from its start to its end.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from pyproj import Transformer

from benchmarks.orthophoto import write_orthophoto
from geo import workspace
from geo.sheets.index import sheet_bounds, sheet_code

CRS: Final = "EPSG:4526"
LON: Final = 113.3021  # within the first sheet of the block
LAT: Final = 38.0035
COLUMNS: Final = 20  # fields of a sheet
ROWS: Final = 17
PIECES: Final = 40  # of them; 300 are parcels
CORNERS: Final = 16  # of a field
WOBBLE: Final = 0.03  # of a field's side, that its edges leave a straight line by
VILLAGE: Final = "140725100201"


def block(sheets: int) -> dict[str, pd.DataFrame]:
    """Layers of a workspace with ``sheets`` by ``sheets`` full national sheets."""
    chance = np.random.default_rng(4)
    places = [(row, column) for row in range(sheets) for column in range(sheets)]
    lon = [LON + column * 37.5 / 3600 for _, column in places]
    lat = [LAT + row * 25 / 3600 for row, _ in places]
    bounds = sheet_bounds(sheet_code(lon, lat).tolist())
    pieces: list[dict[str, Any]] = []
    parcels: list[dict[str, Any]] = []
    patches: list[dict[str, Any]] = []
    serial: dict[str, int] = {}
    for (row, column), corners in zip(places, bounds, strict=True):
        group = f"{VILLAGE}{row // 2 * ((sheets + 1) // 2) + column // 2 + 1:02d}"
        for at, shape in enumerate(_fields(corners, chance)):
            serial[group] = serial.get(group, 0) + 1
            area = round(shape.area, 2)
            if at % (COLUMNS * ROWS // PIECES) == 0 and at // (COLUMNS * ROWS // PIECES) < PIECES:
                code = f"{group}-W-{serial[group]:04d}"
                pieces.append(
                    {
                        "piece_key": code, "piece_code": code, "piece_class": "UNCONFIRMED", "piece_shape": "BLOCK",
                        "group_code": group, "village_code": VILLAGE, "area_m2": area, "geometry": shape,
                    }
                )  # fmt: skip
            else:
                code = f"{group}{serial[group]:05d}"
                parcels.append({"parcel_code": code, "issuer_code": group, "geometry": shape})
        patches += [{"village_code": VILLAGE, "geometry": shape} for shape in _fields(corners, chance, 5, 4)]
    groups = sorted(serial)
    names = pd.DataFrame(
        {
            "level": ["county", "village", *["group"] * len(groups)],
            "code": [VILLAGE[:6], VILLAGE, *groups],
            "name": ["某县", "样村", *(f"样村第{int(code[-2:])}村民小组" for code in groups)],
        }
    )
    layers = {"pieces": pieces, "parcels": parcels, "patches": patches}
    return {name: gpd.GeoDataFrame(rows, crs=CRS) for name, rows in layers.items()} | {"balance": names}


def _fields(
    corners: npt.NDArray[np.float64], chance: np.random.Generator, columns: int = COLUMNS, rows: int = ROWS
) -> Iterator[Any]:
    """Fields of one sheet, row by row, with edges that are not straight."""
    west, south, east, north = corners
    turn = np.linspace(0, 1, CORNERS // 4, endpoint=False)
    edge, none = np.full(len(turn), 1.0), np.zeros(len(turn))
    ring = np.column_stack(
        [np.concatenate([turn, edge, 1 - turn, none]), np.concatenate([none, turn, edge, 1 - turn])]
    )
    to_map = Transformer.from_crs("EPSG:4490", CRS, always_xy=True)
    for row in range(rows):
        for column in range(columns):
            shape = 0.06 + 0.88 * ring + chance.uniform(-WOBBLE, WOBBLE, ring.shape)
            x = west + (column + shape[:, 0]) / columns * (east - west)
            y = south + (row + shape[:, 1]) / rows * (north - south)
            yield shapely.make_valid(shapely.Polygon(np.column_stack(to_map.transform(x, y))))


def prepare(folder: Path, sheets: int, pixel_m: float) -> None:
    """Workspace and mosaic, made once."""
    if not (folder / "scene.gpkg").exists():
        tables = block(sheets)
        write_orthophoto(gpd.GeoDataFrame(tables["patches"]), folder / "scene.tif", pixel_m=pixel_m)
        workspace.write(folder / "scene.gpkg", tables, crs=CRS)


def drawn(folder: Path, by: str) -> dict[str, float]:
    """One run of the command: pages, wall and CPU seconds, most memory, size of the set."""
    with tempfile.TemporaryDirectory() as out:
        words = [sys.executable, "-m", "geo.cli", "sheets", str(folder / "scene.gpkg"), "--out", out]
        words += ["--by", by, "--photo", str(folder / "scene.tif"), "--jobs", "1"]
        start = time.perf_counter()
        with (Path(out) / "words.txt").open("w", encoding="utf-8") as log:
            process = subprocess.Popen(words, stdout=log, stderr=log)  # noqa: S603 - our own command
            _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        if status:
            sys.exit((Path(out) / "words.txt").read_text(encoding="utf-8"))
        sheets = len(workspace.open(folder / "scene.gpkg").read("sheets"))
        size = sum(path.stat().st_size for path in Path(out).rglob("*.pdf"))
    return {
        "sheets": sheets,
        "wall_s": wall,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / 1024,
        "mb": size / 2**20,
    }


def main() -> None:
    """Make the scene, draw it both ways, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sheet_scene", description=__doc__)
    parser.add_argument("--sheets", type=int, default=6, help="national sheets each way")
    parser.add_argument("--pixel", type=float, default=0.2, help="metres a pixel of the mosaic")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder for county and mosaic, used again if it is there")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        # In a process of its own: what the system tells of a child's memory has its parent's in it.
        maker = multiprocessing.get_context("spawn").Process(
            target=prepare, args=(folder, asked.sheets, asked.pixel)
        )
        maker.start()
        maker.join()
        print("| set | sheets | wall s | CPU s | sheets/s (wall) | (CPU) | peak MB | PDF MB | load |")
        print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
        for by, title in (("sheet", "A1 national sheets"), ("group", "A3 tiles of groups, and overviews")):
            for _ in range(asked.rounds):
                load = os.getloadavg()[0]
                run = drawn(folder, by)
                rate = (run["sheets"] / run["wall_s"], run["sheets"] / run["cpu_s"])
                print(
                    f"| {title} | {run['sheets']} | {run['wall_s']:.1f} | {run['cpu_s']:.1f} | {rate[0]:.1f} "
                    f"| {rate[1]:.1f} | {run['peak_mb']:.0f} | {run['mb']:.0f} | {load:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
