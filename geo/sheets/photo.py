"""The orthophoto under one sheet, as a JPEG image and where on the ground its corners lie.

Reading and encoding it is most of what a sheet costs. So only what meets the
frame is read, from overviews where there are any, never finer than the raster
itself; and what is north-up in the map's own system is read, not warped.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from PIL import Image
from pyproj import CRS
from rasterio.enums import ColorInterp, Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geo.raster import (
    UNREADABLE,
    Bounds,
    Bytes,
    Raster,
    Rasters,
    all_valid,
    as_wkt,
    close,
    dataset,
    eight_bits,
    growth,
    meets,
    moved,
    rasters,
    same_system,
    shown_bands,
)

__all__ = ["Photograph", "Raster", "Rasters", "close", "photo", "rasters"]

Floats = npt.NDArray[np.float64]

_CACHE_BYTES: Final = 12 * 2**20  # decoded blocks GDAL keeps; with a third of it A1 sheets cost a tenth more
_STRIP_PX: Final = 2**19  # pixels read at a time
_WARPED_PX: Final = 2**22  # of those that are warped: what lies under an edge is read twice
_SEAM_PX: Final = 2  # rows read beyond a strip
_MM_PER_INCH: Final = 25.4
_GRID: Final = (np.arange(64) + 0.5) / 64  # where a frame is looked at to say how much of it is covered
_NEAR: Final = 1.3  # a raster's own pixels serve if they are so much finer or coarser than was asked for
_FULL: Final = 0.999  # covered but for what a pixel at the edge makes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Photograph:
    """The image under one frame, or why there is none."""

    jpeg: bytes | None
    corners: Floats  # 3 x 2, map CRS: upper left, upper right, lower left corner of the image
    width_px: int
    height_px: int
    covered_share: float  # of the frame, 0..1
    reason: str  # in Chinese, for a finding: what is missing; empty where the frame is covered


def photo(  # noqa: PLR0913 - what, where, and how fine
    source: Rasters | str | Path | Sequence[str | Path],
    corners: Floats,
    crs: str | CRS,
    *,
    scale: int = 2_000,
    dpi: float = 150.0,
    quality: int = 75,
) -> Photograph:
    """The image under a frame.

    Parameters
    ----------
    source : Rasters, or paths
        What `rasters` gave; paths are looked through anew each time.
    corners : ndarray, 4 x 2
        Of the frame, in ``crs``; the image covers the upright rectangle round
        them, so a frame that is turned has to clip it.
    crs : CRS
        Of the map, projected, metres.
    scale : int
        Denominator of the map.
    dpi : float
        Pixels an inch of paper. A raster coarser than that keeps its own
        pixels, and so do one and its overviews that differ by less than a third.
    quality : int
        Of the JPEG, 1..95.

    Returns
    -------
    Photograph
        White where no raster has data. ``jpeg`` is None where the whole frame is
        white; ``reason`` then says why. Colours: bands named red, green and
        blue, else the first three; a palette; one band as grey. Bands of more
        than 8 bits are stretched between percentiles `STRETCH` of all rasters.

    Raises
    ------
    InputError
        If a path does not exist, or there is no raster that can be read.
    MissingDatumError
        If no raster says where it lies.
    """
    known = source if isinstance(source, Rasters) else rasters(source)
    if np.isnan(corners).any():
        return _none("本幅没有位置，未加影像")
    system = as_wkt(CRS(crs).to_wkt())
    frame = (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
    near = [(raster, where) for raster in known.rasters if (where := meets(raster, system, frame))]
    if not near:
        return _none("影像不覆盖本幅")
    canvas = _Canvas.over(frame, system, near[0][0], scale / 1_000 / dpi * _MM_PER_INCH)
    failed = []
    coloured = False
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES):
        for raster, where in near:
            try:
                coloured |= canvas.paint(raster, where, known.stretch)
            except UNREADABLE:
                failed.append(raster.path.name)
            if canvas.valid.all():
                break
    share = canvas.share(corners)
    reasons = [f"影像 {name} 读取失败，请检查文件是否完整" for name in failed]
    if share == 0:
        return _none("；".join(reasons or ["影像不覆盖本幅"]))
    if share < _FULL:
        reasons.append(f"影像只覆盖本幅的 {share:.0%}，其余留白")
    return Photograph(
        jpeg=canvas.jpeg(quality, coloured=coloured),
        corners=canvas.corners(),
        width_px=canvas.valid.shape[1],
        height_px=canvas.valid.shape[0],
        covered_share=share,
        reason="；".join(reasons),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Canvas:
    """The image in the making: pixels, which of them have data, and where they lie."""

    image: Image.Image  # RGB
    valid: npt.NDArray[np.bool_]
    transform: Affine
    crs: str  # WKT

    @classmethod
    def over(cls, frame: Bounds, crs: str, raster: Raster, pixel: float) -> "_Canvas":
        """White, with pixels no finer than the raster's; on its own pixels if it needs no warping."""
        west, south, east, north = frame
        own = [raster_pixel * growth(raster, crs, frame) for raster_pixel in raster.pixels]
        kept = [size for size in own if pixel / _NEAR <= size <= pixel * _NEAR or size == own[0] >= pixel]
        if kept:  # resampling by a few per cent would cost more than the reading
            pixel = kept[-1]
            if raster.north_up and same_system(raster, crs):
                west = raster.bounds[0] + np.floor((west - raster.bounds[0]) / pixel + 1e-6) * pixel
                north = raster.bounds[3] - np.floor((raster.bounds[3] - north) / pixel + 1e-6) * pixel
        width, height = (max(1, int(np.ceil(side / pixel - 1e-6))) for side in (east - west, north - south))
        return cls(
            image=Image.new("RGB", (width, height), "white"),
            valid=np.zeros((height, width), dtype=bool),
            transform=Affine(pixel, 0, west, 0, -pixel, north),
            crs=crs,
        )

    def paint(self, raster: Raster, where: Bounds, stretch: tuple[tuple[float, float], ...]) -> bool:
        """Put a raster's pixels where there are none yet; ``where`` bounds it in the canvas' CRS.

        Whether it has colours.
        """
        part = self._part(where)
        if part is None:
            return False
        data = dataset(raster)
        bands, palette = shown_bands(data)
        way = Resampling.nearest if palette is not None else Resampling.bilinear
        upright = raster.north_up and same_system(raster, self.crs)
        rows, columns = part
        most = _STRIP_PX if upright else _WARPED_PX
        high = max(1, most // (columns.stop - columns.start))
        for top in range(rows.start, rows.stop, high):  # a sheet at once would take three times its memory
            strip = (slice(top, min(rows.stop, top + high)), columns)
            if upright:
                colours, shown = self._read(data, bands, strip, way)
            else:
                colours, shown = self._warp(data, raster, bands, strip, way)
            if colours.dtype.kind == "f":  # a raster of floats seldom says that what is no number is no data
                shown = shown & np.isfinite(colours).all(axis=0)
            self._lay(eight_bits(colours, palette, stretch), strip, shown)
        return len(bands) > 1 or palette is not None

    def _lay(self, colours: Bytes, part: tuple[slice, slice], shown: npt.NDArray[np.bool_]) -> None:
        """Put pixels that are shown where there are none yet."""
        new = shown & ~self.valid[part]
        drawn = [Image.fromarray(band) for band in colours]
        mask = None if new.all() else Image.fromarray(new.view(np.uint8) * np.uint8(255))
        place = (part[1].start, part[0].start)
        self.image.paste(Image.merge("RGB", drawn if len(drawn) > 1 else drawn * 3), place, mask)
        self.valid[part] |= new

    def _part(self, where: Bounds) -> tuple[slice, slice] | None:
        """Pixels whose middles lie within bounds."""
        left, top = ~self.transform @ (where[0], where[3])
        right, bottom = ~self.transform @ (where[2], where[1])
        height, width = self.valid.shape
        columns = slice(
            max(0, int(np.ceil(left - 0.5 - 1e-6))), min(width, int(np.floor(right + 0.5 + 1e-6)))
        )
        rows = slice(max(0, int(np.ceil(top - 0.5 - 1e-6))), min(height, int(np.floor(bottom + 0.5 + 1e-6))))
        return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None

    def _read(
        self,
        data: Any,  # noqa: ANN401
        bands: list[int],
        part: tuple[slice, slice],
        way: Resampling,
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        rows, columns = part
        to_source = ~data.transform @ self.transform
        left, top = to_source @ (columns.start, rows.start)
        right, bottom = to_source @ (columns.stop, rows.stop)
        # Gathering pixels looks past a strip's edges, where GDAL sees nothing but the window: it gets some more rows.
        more = _SEAM_PX * (bottom - top) / (rows.stop - rows.start)
        above, below = top - more >= 0, bottom + more <= data.height
        top, bottom = top - more * above, bottom + more * below
        left, right = max(0.0, left), min(float(data.width), right)
        top, bottom = max(0.0, top), min(float(data.height), bottom)
        window = Window(left, top, right - left, bottom - top)
        shape = (
            rows.stop - rows.start + _SEAM_PX * (int(above) + int(below)),
            columns.stop - columns.start,
        )
        kept = slice(_SEAM_PX * above, shape[0] - _SEAM_PX * below)
        colours = data.read(bands, window=window, out_shape=(len(bands), *shape), resampling=way)[:, kept]
        if all_valid(data, bands):
            return colours, np.ones(colours.shape[1:], dtype=bool)
        return colours, data.dataset_mask(window=window, out_shape=shape)[kept] > 0

    def _warp(
        self,
        data: Any,  # noqa: ANN401
        raster: Raster,
        bands: list[int],
        part: tuple[slice, slice],
        way: Resampling,
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        rows, columns = part
        grid = {
            "src_crs": raster.crs,
            "crs": self.crs,
            "transform": self.transform @ Affine.translation(columns.start, rows.start),
            "width": columns.stop - columns.start,
            "height": rows.stop - rows.start,
        }
        with WarpedVRT(data, resampling=way, **grid) as warped:
            colours = warped.read(bands)
        if all_valid(data, bands) and self._within(raster, grid):
            return colours, np.ones(colours.shape[1:], dtype=bool)
        # Warped beside the colours, the mask would cost more than they do.
        has_alpha = ColorInterp.alpha in data.colorinterp
        alpha = data.colorinterp.index(ColorInterp.alpha) + 1 if has_alpha else data.count + 1
        with WarpedVRT(data, resampling=Resampling.nearest, add_alpha=not has_alpha, **grid) as warped:
            return colours, warped.read(alpha) > 0

    def _within(self, raster: Raster, grid: dict[str, Any]) -> bool:
        """Whether the pixels asked for all lie in the raster."""
        left, top = grid["transform"] @ (0, 0)
        right, bottom = grid["transform"] @ (grid["width"], grid["height"])
        bounds = (left, bottom, right, top)
        there = moved(self.crs, raster.crs, bounds)
        west, south, east, north = raster.bounds
        return there is not None and (
            west <= there[0] and south <= there[1] and there[2] <= east and there[3] <= north
        )

    def share(self, corners: Floats) -> float:
        """How much of a quadrilateral has data, by looking at 64 x 64 places in it."""
        south_west, north_west, north_east, south_east = corners[:, None, None, :]
        u, v = _GRID[:, None, None], _GRID[None, :, None]
        there = (south_west * (1 - u) + south_east * u) * (1 - v) + (
            north_west * (1 - u) + north_east * u
        ) * v
        column, row = ~self.transform @ (there[..., 0], there[..., 1])
        height, width = self.valid.shape
        seen = self.valid[np.clip(row.astype(int), 0, height - 1), np.clip(column.astype(int), 0, width - 1)]
        return float(seen.mean())

    def corners(self) -> Floats:
        """Upper left, upper right and lower left."""
        height, width = self.valid.shape
        return np.array([self.transform @ at for at in ((0, 0), (width, 0), (0, height))], dtype=np.float64)

    def jpeg(self, quality: int, *, coloured: bool) -> bytes:
        """Encoded, with one band where there are no colours."""
        file = io.BytesIO()
        image = self.image if coloured else self.image.getchannel(0)
        image.save(file, "JPEG", quality=quality)
        return file.getvalue()


def _none(reason: str) -> Photograph:
    empty = np.full((3, 2), np.nan)
    return Photograph(jpeg=None, corners=empty, width_px=0, height_px=0, covered_share=0.0, reason=reason)
