"""Tiles of a web map from the county's own orthophotos: any rasters, in any system, one or a folder of them.

A tile is warped from the overview that is just fine enough, so a county shows as
fast as a field. Where several rasters overlap the first by path is on top, as on
the sheets.
"""

import io
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np
import numpy.typing as npt
from affine import Affine
from PIL import Image
from pyproj import CRS
from rasterio.enums import ColorInterp, Resampling
from rasterio.vrt import WarpedVRT

from geo.errors import InputError
from geo.raster import (
    UNREADABLE,
    Bounds,
    Bytes,
    Raster,
    as_wkt,
    eight_bits,
    growth,
    meets,
    moved,
    opened,
    rasters,
    shown_bands,
)
from geo.tiles.scheme import MAX_ZOOM, WORLD_M, Tile

Format = Literal["webp", "png", "jpeg"]

SIZES: Final = (256, 512)
MEDIA_TYPES: Final = {"webp": "image/webp", "png": "image/png", "jpeg": "image/jpeg"}

_MERCATOR: Final = "EPSG:3857"
_LONLAT: Final = "EPSG:4326"
_IDLE: Final = 24  # rasters kept open while nobody reads from them
_MOST_PX: Final = 2**25  # pixels of one raster that a tile may cost: a second
_NEAR: Final = 1.2  # an overview serves if its pixels are so much coarser than the tile's
_QUALITY: Final = 80
_COLOURS: Final = 3


class Orthophoto:
    """The orthophotos of a county, kept open; threads may share it.

    Parameters
    ----------
    source : path, or several
        A raster, a folder of them, or a list of both (`geo.raster.rasters`).
    assume : CRS, optional
        Of rasters that name none.

    Raises
    ------
    InputError
        If a path does not exist, there is no raster, or none can be read.
    MissingDatumError
        If no raster says where it lies.
    """

    def __init__(self, source: str | Path | Sequence[str | Path], *, assume: str | CRS | None = None) -> None:
        self._rasters: Final = rasters(source, assume=assume)
        self._lock: Final = threading.Lock()
        self._idle: Final[OrderedDict[int, tuple[tuple[Path, int], Any]]] = OrderedDict()
        self._closed = False
        self._mercator: Final = as_wkt(_MERCATOR)

    @property
    def problems(self) -> tuple[str, ...]:
        """Files that cannot be used, and why, in Chinese."""
        return self._rasters.problems

    @property
    def bounds(self) -> Bounds:
        """Of all rasters, in degrees."""
        boxes = np.array([self._degrees(raster) for raster in self._rasters.rasters])
        west, south = boxes[:, :2].min(axis=0).tolist()
        east, north = boxes[:, 2:].max(axis=0).tolist()
        return west, south, east, north

    @property
    def zooms(self) -> tuple[int, int]:
        """First zoom that costs little, and the one that shows the finest pixels."""
        first, last = MAX_ZOOM, 0
        for raster in self._rasters.rasters:
            where = moved(raster.crs, self._mercator, raster.bounds)
            if where is None:
                continue
            unit = growth(raster, self._mercator, where)
            finest, coarsest = raster.pixels[0] * unit, raster.pixels[-1] * unit
            least = 0
            while least < MAX_ZOOM and self._cost(where, Tile(least, 0, 0), coarsest) > _MOST_PX:
                least += 1
            first = min(first, least)
            full = np.ceil(np.log2(2 * WORLD_M / SIZES[0] / finest) - 1e-6)
            last = max(last, int(np.clip(full, 0, MAX_ZOOM)))
        return min(first, last), last

    def tile(self, z: int, x: int, y: int, *, size: int = 256, format: Format = "webp") -> bytes | None:  # noqa: A002 - the word for it
        """One tile of Web Mercator.

        Parameters
        ----------
        z, x, y : int
            Which.
        size : 256 or 512
            Pixels a side; 512 for screens of fine pixels.
        format : "webp", "png" or "jpeg"
            Where no raster has data a JPEG is white and the others are clear.

        Returns
        -------
        bytes, or None
            None if no raster has data there, or so small a picture of a raster
            without overviews would cost more than a second (`zooms`). Colours as
            on the sheets: bands named red, green and blue, else the first three;
            a palette; one band as grey; more than 8 bits stretched between
            percentiles of all rasters.

        Raises
        ------
        InputError
            If there is no such tile, size or format, all rasters there are
            damaged, or this was closed.
        """
        wanted = Tile(z, x, y)
        if not wanted.valid:
            raise InputError(f"没有这样的瓦片：{z}/{x}/{y}")
        if size not in SIZES or format not in MEDIA_TYPES:
            raise InputError(f"影像瓦片只有 {'、'.join(map(str, SIZES))} 像素，格式 {'、'.join(MEDIA_TYPES)}")
        colours = np.full((_COLOURS, size, size), 255, dtype=np.uint8)
        valid = np.zeros((size, size), dtype=bool)
        failed = []
        coloured = False
        for raster in self._rasters.rasters:
            where = meets(raster, self._mercator, wanted.bounds)
            if where is None:
                continue
            try:
                coloured |= self._paint(raster, where, wanted, colours, valid)
            except UNREADABLE as error:
                failed.append(f"影像 {raster.path.name} 读取失败（{error}），请检查文件是否完整")
            if valid.all():
                break
        if valid.any():
            return _encoded(colours, valid, format, coloured=coloured)
        if failed:
            raise InputError("；".join(failed))
        return None

    def tilejson(self, *, url: str, name: str = "正射影像", attribution: str = "") -> dict[str, Any]:
        """TileJSON 3.0 of these tiles: ``url`` is a template with ``{z}``, ``{x}`` and ``{y}``."""
        west, south, east, north = (round(side, 7) for side in self.bounds)
        first, last = self.zooms
        told = {
            "tilejson": "3.0.0",
            "name": name,
            "scheme": "xyz",
            "tiles": [url],
            "minzoom": first,
            "maxzoom": last,
            "bounds": [west, south, east, north],
            "center": [(west + east) / 2, (south + north) / 2, last],
        }
        return told | ({"attribution": attribution} if attribution else {})

    def close(self) -> None:
        """Let go of all files; those that are being read from are let go of when that is done."""
        with self._lock:
            self._closed = True
            idle = [data for _, data in self._idle.values()]
            self._idle.clear()
        for data in idle:
            data.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of all files."""
        self.close()

    def _paint(
        self, raster: Raster, where: Bounds, tile: Tile, colours: Bytes, valid: npt.NDArray[np.bool_]
    ) -> bool:
        """Put a raster's pixels where there are none yet; whether it has colours."""
        size = len(valid)
        west, _, east, north = tile.bounds
        pixel = (east - west) / size
        unit = growth(raster, self._mercator, tile.bounds)
        own = [raster_pixel * unit for raster_pixel in raster.pixels]
        overview = max((at for at, step in enumerate(own) if step <= pixel * _NEAR), default=0)
        if self._cost(where, tile, own[overview]) > _MOST_PX:
            return False
        with self._borrowed(raster, overview) as data:
            bands, palette = shown_bands(data)
            has_alpha = ColorInterp.alpha in data.colorinterp
            alpha = data.colorinterp.index(ColorInterp.alpha) + 1 if has_alpha else data.count + 1
            with WarpedVRT(
                data,
                src_crs=raster.crs,
                crs=self._mercator,
                transform=Affine(pixel, 0, west, 0, -pixel, north),
                width=size,
                height=size,
                resampling=Resampling.nearest if palette is not None else Resampling.bilinear,
                add_alpha=not has_alpha,
            ) as warped:
                read = warped.read([*bands, alpha])
        found, shown = read[:-1], read[-1] > 0
        if found.dtype.kind == "f":  # a raster of floats seldom says that what is no number is no data
            shown &= np.isfinite(found).all(axis=0)
        new = shown & ~valid
        if new.any():
            colours[:, new] = eight_bits(found, palette, self._rasters.stretch)[:, new]
            valid |= new
        return len(bands) > 1 or palette is not None

    @staticmethod
    def _cost(where: Bounds, tile: Tile, pixel: float) -> float:
        """Pixels of a raster under a tile at its widest."""
        side = 2 * WORLD_M / 2**tile.z
        wide, high = (min(side, end - start) for start, end in zip(where[:2], where[2:], strict=True))
        return float(wide * high / pixel**2)

    @staticmethod
    def _degrees(raster: Raster) -> Bounds:
        where = moved(raster.crs, _LONLAT, raster.bounds)
        return (-180.0, -85.0, 180.0, 85.0) if where is None else where

    @contextmanager
    def _borrowed(self, raster: Raster, overview: int) -> Iterator[Any]:
        """A dataset that nobody else uses meanwhile: neither GDAL's datasets nor a file's position may be shared."""
        key = (raster.path, overview)
        with self._lock:
            if self._closed:
                raise InputError("影像已关闭")
            at = next((number for number, (held, _) in reversed(self._idle.items()) if held == key), None)
            data = None if at is None else self._idle.pop(at)[1]
        if data is None:
            data = opened(raster, overview=overview)
        try:
            yield data
        except BaseException:
            data.close()  # it may be the dataset that is at fault
            raise
        dropped = data
        with self._lock:
            if not self._closed:
                self._idle[id(data)] = (key, data)
                dropped = self._idle.popitem(last=False)[1][1] if len(self._idle) > _IDLE else None
        if dropped is not None:
            dropped.close()


def _encoded(colours: Bytes, valid: npt.NDArray[np.bool_], format: Format, *, coloured: bool) -> bytes:  # noqa: A002
    """The picture as a file, grey where there are no colours, with an alpha band only where it is needed."""
    image = Image.fromarray(np.ascontiguousarray(np.moveaxis(colours, 0, -1)) if coloured else colours[0])
    if not valid.all() and format != "jpeg":
        if not coloured and format == "webp":
            image = image.convert("RGB")
        image.putalpha(Image.fromarray(valid.view(np.uint8) * np.uint8(255)))
    file = io.BytesIO()
    if format == "webp":
        image.save(file, "WEBP", quality=_QUALITY, method=2)
    elif format == "png":
        image.save(file, "PNG", compress_level=6)
    else:
        image.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
