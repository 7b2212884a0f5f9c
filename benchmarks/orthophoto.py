"""A made-up orthophoto of a county: fields in bands of green and brown, as a tiled, JPEG-compressed GeoTIFF."""

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window

BLOCK = 512
_SEED = 7


def write_orthophoto(
    land: gpd.GeoDataFrame,
    path: Path,
    *,
    pixel_m: float = 0.5,
    margin_m: float = 300.0,
    overviews: bool = True,
) -> None:
    """Write a mosaic over the bounds of ``land``, block by block, so that its size does not matter."""
    west, south, east, north = land.total_bounds
    west, north = west - margin_m, north + margin_m
    columns = int((east + margin_m - west) / pixel_m) + 1
    rows = int((north - (south - margin_m)) / pixel_m) + 1
    profile: dict[str, Any] = {
        "driver": "GTiff", "width": columns, "height": rows, "count": 3, "dtype": "uint8", "crs": land.crs,
        "transform": Affine(pixel_m, 0, west, 0, -pixel_m, north), "tiled": True, "blockxsize": BLOCK,
        "blockysize": BLOCK, "compress": "jpeg", "photometric": "ycbcr", "jpeg_quality": 80, "bigtiff": "if_safer",
    }  # fmt: skip
    noise = np.random.default_rng(_SEED).normal(0, 7, (BLOCK, BLOCK)).astype("float32")
    with rasterio.open(path, "w", **profile) as file:
        for row in range(0, rows, BLOCK):
            for column in range(0, columns, BLOCK):
                height, width = min(BLOCK, rows - row), min(BLOCK, columns - column)
                y, x = np.mgrid[row : row + height, column : column + width].astype("float32") * pixel_m
                tone = (
                    np.sin(x / 37 + np.sin(y / 90)) * 18
                    + np.sin(y / 23 + x / 160) * 14
                    + noise[:height, :width]
                )
                bands = np.stack([112 + tone, 128 + 0.8 * tone, 88 + 0.5 * tone]).clip(0, 255).astype("uint8")
                file.write(bands, window=Window(column, row, width, height))
        if overviews:
            file.build_overviews([2, 4, 8, 16], rasterio.enums.Resampling.average)
