"""The orthophoto under one sheet, as a JPEG image and where on the ground its corners lie.

Reading and encoding it is most of what a sheet costs. So only what meets the
frame is read, from overviews where there are any, never finer than the raster
itself; and what is north-up in the map's own system is read, not warped.
"""

import io
import math
import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from PIL import Image
from pyproj import CRS
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds
from rasterio.windows import Window

from geo.errors import InputError, MissingDatumError

Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]
Bounds = tuple[float, float, float, float]  # west, south, east, north

SUFFIXES: Final = (".tif", ".tiff", ".img", ".jp2", ".vrt", ".png", ".jpg")
STRETCH: Final = (2.0, 98.0)  # percentiles that become black and white where a band has more than 8 bits

_CACHE_BYTES: Final = 32 * 2**20  # decoded blocks kept by GDAL in each worker: those of one A1 sheet
_OPEN: Final = 24  # rasters a worker keeps open
_SAMPLES: Final = 16  # rasters of a folder that the stretch is taken from
_SAMPLE_PX: Final = 256  # and how large a picture of each
_SMALL_PX: Final = 2**24  # a raster of so many pixels is read whole
_WINDOWS: Final = 4  # each way, where it is not
_EIGHT_BITS: Final = "uint8"
_MM_PER_INCH: Final = 25.4
_GRID: Final = (np.arange(64) + 0.5) / 64  # where a frame is looked at to say how much of it is covered
_NEAR: Final = 1.3  # a raster's own pixels serve if they are so much finer or coarser than was asked for
_FULL: Final = 0.999  # covered but for what a pixel at the edge makes
_KEPT: Final = threading.local()


@dataclass(frozen=True, slots=True, kw_only=True)
class Raster:
    """One file: where it lies, in its own system."""

    path: Path
    crs: str  # WKT
    bounds: Bounds  # in its own CRS
    pixels: tuple[float, ...]  # size of its pixels, then of its overviews', in units of its CRS
    north_up: bool  # with square pixels
    by_points: bool  # placed by control points, not by a transform


@dataclass(frozen=True, slots=True, kw_only=True)
class Rasters:
    """The rasters under a county, looked through once; a value that goes to other processes."""

    rasters: tuple[Raster, ...]  # by path; of two that overlap the first is on top
    stretch: tuple[
        tuple[float, float], ...
    ]  # black and white of each colour, where there are more than 8 bits
    problems: tuple[str, ...]  # files that cannot be used, and why, in Chinese


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Photograph:
    """The image under one frame, or why there is none."""

    jpeg: bytes | None
    corners: Floats  # 3 x 2, map CRS: upper left, upper right, lower left corner of the image
    width_px: int
    height_px: int
    covered_share: float  # of the frame, 0..1
    reason: str  # in Chinese, for a finding: what is missing; empty where the frame is covered


def rasters(source: str | Path | Sequence[str | Path], *, assume: str | CRS | None = None) -> Rasters:
    """Look through the rasters under a county.

    Parameters
    ----------
    source : path, or several
        A raster (GeoTIFF, COG, VRT, IMG, JPEG 2000 …), a folder of them (with its subfolders), or a list of both.
    assume : CRS, optional
        Of rasters that name none.

    Returns
    -------
    Rasters
        Files that cannot be read, or are placed nowhere, are among its problems.

    Raises
    ------
    InputError
        If a path does not exist, there is no raster, or none can be read.
    MissingDatumError
        If no raster that can be read says where it lies.
    """
    paths = [Path(source)] if isinstance(source, str | Path) else [Path(path) for path in source]
    files = sorted({file for path in paths for file in _files(path)})
    if not files:
        raise InputError(f"{'、'.join(map(str, paths))} 中没有影像；可用格式：{' '.join(SUFFIXES)}")
    found: list[Raster] = []
    problems: list[str] = []
    placeless = False
    for file in files:
        try:
            with _opened(file) as data:
                found.append(_described(file, data, assume))
        except RasterioError as error:
            problems.append(f"影像 {file.name} 无法读取：{error}；请检查文件是否完整")
        except MissingDatumError as error:
            placeless = True
            problems.append(str(error))
    if not found:
        raise (MissingDatumError if placeless else InputError)("；".join(problems[:3]))
    return Rasters(rasters=tuple(found), stretch=_stretch(found), problems=tuple(problems))


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
    system = _wkt(CRS(crs).to_wkt())
    frame = (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
    near = [(raster, where) for raster in known.rasters if (where := _meets(raster, system, frame))]
    if not near:
        return _none("影像不覆盖本幅")
    canvas = _Canvas.over(frame, system, near[0][0], scale / 1_000 / dpi * _MM_PER_INCH)
    failed = []
    coloured = False
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES):
        for raster, where in near:
            try:
                coloured |= canvas.paint(raster, where, known.stretch)
            except RasterioError:
                failed.append(raster.path.name)
            if canvas.valid.all():
                break
    share = canvas.share(corners)
    reasons = [f"影像 {name} 读取失败，请检查文件是否完整" for name in failed]
    if share == 0:
        return _none("；".join([*reasons, "影像不覆盖本幅"]))
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

    pixels: Bytes  # 3 x height x width
    valid: npt.NDArray[np.bool_]
    transform: Affine
    crs: str  # WKT

    @classmethod
    def over(cls, frame: Bounds, crs: str, raster: Raster, pixel: float) -> "_Canvas":
        """White, with pixels no finer than the raster's; on its own pixels if it needs no warping."""
        west, south, east, north = frame
        own = [raster_pixel * _growth(raster, crs, frame) for raster_pixel in raster.pixels]
        kept = [size for size in own if pixel / _NEAR <= size <= pixel * _NEAR or size == own[0] >= pixel]
        if kept:  # resampling by a few per cent would cost more than the reading
            pixel = kept[-1]
            if raster.north_up and _same(raster, crs):
                west = raster.bounds[0] + np.floor((west - raster.bounds[0]) / pixel + 1e-6) * pixel
                north = raster.bounds[3] - np.floor((raster.bounds[3] - north) / pixel + 1e-6) * pixel
        width, height = (max(1, int(np.ceil(side / pixel - 1e-6))) for side in (east - west, north - south))
        return cls(
            pixels=np.full((3, height, width), 255, dtype=np.uint8),
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
        data = _dataset(raster)
        bands, palette = _bands(data)
        way = Resampling.nearest if palette is not None else Resampling.bilinear
        if raster.north_up and _same(raster, self.crs):
            colours, shown = self._read(data, bands, part, way)
        else:
            colours, shown = self._warp(data, raster, bands, part, way)
        image = _eight_bits(colours, palette, stretch)
        rows, columns = part
        new = shown & ~self.valid[rows, columns]
        np.copyto(self.pixels[:, rows, columns], image, where=new)
        self.valid[rows, columns] |= new
        return len(image) > 1

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
        left, right = max(0.0, left), min(float(data.width), right)
        top, bottom = max(0.0, top), min(float(data.height), bottom)
        window = Window(left, top, right - left, bottom - top)
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        colours = data.read(bands, window=window, out_shape=(len(bands), *shape), resampling=way)
        if _all_valid(data, bands):
            return colours, np.ones(shape, dtype=bool)
        return colours, data.dataset_mask(window=window, out_shape=shape) > 0

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
        if _all_valid(data, bands) and self._within(raster, grid):
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
        there = _moved(self.crs, raster.crs, bounds)
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
        bands = [Image.fromarray(band) for band in self.pixels]
        image = Image.merge("RGB", bands) if coloured else bands[0]
        image.save(file, "JPEG", quality=quality)
        return file.getvalue()


def _all_valid(data: Any, bands: list[int]) -> bool:  # noqa: ANN401
    return all(MaskFlags.all_valid in data.mask_flag_enums[band - 1] for band in bands)


def _none(reason: str) -> Photograph:
    empty = np.full((3, 2), np.nan)
    return Photograph(jpeg=None, corners=empty, width_px=0, height_px=0, covered_share=0.0, reason=reason)


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    elif path.exists():
        yield path
    else:
        raise InputError(f"找不到影像 {path}；请检查路径")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # said in Chinese where it matters
        with rasterio.open(path) as data:
            yield data


def _described(path: Path, data: Any, assume: str | CRS | None) -> Raster:  # noqa: ANN401
    points, points_crs = data.gcps
    by_points = bool(points) and data.transform == Affine.identity()
    crs = (points_crs if by_points else data.crs) or (CRS(assume).to_wkt() if assume else None)
    if crs is None:
        raise MissingDatumError(f"影像 {path.name} 没有坐标系；请补充 .prj 或坐标信息后重试")
    if not by_points and data.transform == Affine.identity():
        raise MissingDatumError(f"影像 {path.name} 没有坐标（既无仿射参数也无控制点）；请先配准或补充 .tfw")
    wkt = _wkt(crs if isinstance(crs, str) else crs.to_wkt())
    if by_points:
        with _placed(data, wkt) as warped:
            return _outlined(path, warped, wkt, by_points=True)
    return _outlined(path, data, wkt, by_points=False)


def _outlined(path: Path, data: Any, wkt: str, *, by_points: bool) -> Raster:  # noqa: ANN401
    turn = data.transform
    outline = [turn @ at for at in ((0, 0), (data.width, 0), (data.width, data.height), (0, data.height))]
    (west, south), (east, north) = np.min(outline, axis=0).tolist(), np.max(outline, axis=0).tolist()
    pixel = float(min(np.hypot(turn.a, turn.d), np.hypot(turn.b, turn.e)))
    return Raster(
        path=path,
        crs=wkt,
        bounds=(west, south, east, north),
        pixels=tuple(pixel * factor for factor in (1, *data.overviews(1))),
        north_up=turn.b == 0 and turn.d == 0 and turn.a > 0 > turn.e and bool(np.isclose(turn.a, -turn.e)),
        by_points=by_points,
    )


def _placed(data: Any, wkt: str) -> Any:  # noqa: ANN401
    """A raster with control points as one that is north-up: warped once more, it would lose them."""
    return WarpedVRT(data, src_crs=wkt, crs=wkt, add_alpha=ColorInterp.alpha not in data.colorinterp)


def _stretch(found: Sequence[Raster]) -> tuple[tuple[float, float], ...]:
    """Black and white of each colour, from small pictures of some rasters of more than 8 bits."""
    samples: list[list[npt.NDArray[Any]]] = []
    step = max(1, len(found) // _SAMPLES)
    for raster in found[::step]:
        with _opened(raster.path) as data:
            bands, palette = _bands(data)
            if palette is not None or data.dtypes[bands[0] - 1] == _EIGHT_BITS:
                continue
            for at, band in enumerate(bands):
                values = np.concatenate([part.compressed() for part in _samples(data, band)])
                samples += [[] for _ in range(at + 1 - len(samples))]
                samples[at].append(values[np.isfinite(values)])
    whole = [np.concatenate(parts) for parts in samples]
    return tuple(
        (float(np.percentile(values, STRETCH[0])), float(np.percentile(values, STRETCH[1])))
        if len(values)
        else (0.0, 1.0)
        for values in whole
    )


def _samples(data: Any, band: int) -> Iterator[Any]:  # noqa: ANN401
    """A band in small; of a large one without overviews, which would be read whole, some windows."""
    if data.overviews(band) or data.width * data.height <= _SMALL_PX:
        yield data.read(
            band, out_shape=(min(_SAMPLE_PX, data.height), min(_SAMPLE_PX, data.width)), masked=True
        )
        return
    side = _SAMPLE_PX // _WINDOWS
    for row in range(_WINDOWS):
        for column in range(_WINDOWS):
            left, top = (
                (2 * column + 1) * data.width // (2 * _WINDOWS),
                (2 * row + 1) * data.height // (2 * _WINDOWS),
            )
            width, height = min(side, data.width - left), min(side, data.height - top)
            yield data.read(band, window=Window(left, top, width, height), masked=True)


def _bands(data: Any) -> tuple[list[int], Bytes | None]:  # noqa: ANN401
    """Which bands are shown, one or three, and the colours of a palette."""
    named = list(data.colorinterp)
    if ColorInterp.palette in named:
        band = named.index(ColorInterp.palette) + 1
        table = data.colormap(band)
        palette = np.zeros((max(256, max(table) + 1), 3), dtype=np.uint8)
        for value, colour in table.items():
            palette[value] = colour[:3]
        return [band], palette
    wanted = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    if all(colour in named for colour in wanted):
        return [named.index(colour) + 1 for colour in wanted], None
    seen = [band for band, colour in enumerate(named, start=1) if colour != ColorInterp.alpha]
    return (seen[:3] if len(seen) >= 3 else seen[:1] or [1]), None  # noqa: PLR2004 - red, green, blue


def _eight_bits(
    colours: npt.NDArray[Any], palette: Bytes | None, stretch: tuple[tuple[float, float], ...]
) -> Bytes:
    """Bands x rows x columns, one band or three."""
    if palette is not None:
        image = palette[np.clip(colours[0], 0, len(palette) - 1).astype(np.intp)]
        return np.moveaxis(image, -1, 0)
    if colours.dtype != np.uint8:
        scaled = np.empty(colours.shape, dtype=np.uint8)
        for at, band in enumerate(colours):
            black, white = stretch[at] if at < len(stretch) else (0.0, 1.0)
            value = (np.nan_to_num(band.astype(np.float32), nan=white) - black) * (
                255 / max(white - black, 1e-9)
            )
            scaled[at] = np.clip(value + 0.5, 0, 255)
        colours = scaled
    return colours


@cache
def _wkt(crs: str) -> str:
    """One spelling, and one string, of a system: thousands of rasters ask for it at each sheet."""
    return str(rasterio.CRS.from_user_input(crs).to_wkt())


def _same(raster: Raster, crs: str) -> bool:
    return _equal(raster.crs, crs)


@cache
def _equal(one: str, other: str) -> bool:
    """Whether two systems give one point the same coordinates, whatever they are called."""
    systems = [rasterio.CRS.from_wkt(wkt) for wkt in (one, other)]
    terms = [system.to_dict() for system in systems]
    return bool(systems[0] == systems[1]) or terms[0] == terms[1] != {}


def _meets(raster: Raster, crs: str, frame: Bounds) -> Bounds | None:
    """Bounds of a raster in the map's CRS, if they share land with the frame."""
    where = raster.bounds if _same(raster, crs) else _moved(raster.crs, crs, raster.bounds)
    if where is None:
        return None
    apart = where[0] >= frame[2] or where[2] <= frame[0] or where[1] >= frame[3] or where[3] <= frame[1]
    return None if apart else where


@lru_cache(maxsize=65_536)
def _moved(one: str, other: str, bounds: Bounds) -> Bounds | None:
    """Bounds in another system; None where that system has no place for them."""
    try:
        west, south, east, north = transform_bounds(one, other, *bounds)
    except (RasterioError, ValueError):
        return None
    return (west, south, east, north) if np.isfinite([west, south, east, north]).all() else None


def _growth(raster: Raster, crs: str, frame: Bounds) -> float:
    """Metres of the map to a unit of the raster's CRS, about the frame."""
    there = None if _same(raster, crs) else _moved(crs, raster.crs, frame)
    return 1.0 if there is None else math.dist(frame[:2], frame[2:]) / math.dist(there[:2], there[2:])


def _dataset(raster: Raster) -> Any:  # noqa: ANN401
    """A raster kept open for the next sheet: opening costs as much as reading a small window.

    Each thread and process has its own: neither GDAL's datasets nor a file's position may be shared.
    """
    if getattr(_KEPT, "process", None) != os.getpid():
        _KEPT.process, _KEPT.open = os.getpid(), OrderedDict()
    kept: OrderedDict[Path, Any] = _KEPT.open
    path = raster.path
    if path not in kept:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # control points place it
            data = rasterio.open(path)
        kept[path] = _placed(data, raster.crs) if raster.by_points else data
        if len(kept) > _OPEN:
            kept.popitem(last=False)[1].close()
    kept.move_to_end(path)
    return kept[path]


def close() -> None:
    """Close the rasters that this thread has kept open, before their files are moved or written anew."""
    for data in getattr(_KEPT, "open", {}).values():
        data.close()
    _KEPT.process = None
