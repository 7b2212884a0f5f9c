"""The orthophotos under a county: which rasters there are, where each lies, and how its bands become colours.

A folder is looked through once; what comes out is a value that goes to other
processes. A worker keeps the rasters it reads from open.
"""

import math
import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from pyproj import CRS
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds
from rasterio.windows import Window

from geo.errors import InputError, MissingDatumError

Bytes = npt.NDArray[np.uint8]
Bounds = tuple[float, float, float, float]  # west, south, east, north

SUFFIXES: Final = (".tif", ".tiff", ".img", ".jp2", ".vrt", ".png", ".jpg")
STRETCH: Final = (2.0, 98.0)  # percentiles that become black and white where a band has more than 8 bits

# What GDAL says of a damaged block goes through rasterio as it is, and is none of its own errors.
UNREADABLE: Final = (RasterioError, CPLE_BaseError)

_OPEN: Final = 24  # rasters a worker keeps open
_SAMPLES: Final = 16  # rasters of a folder that the stretch is taken from
_SAMPLE_PX: Final = 256  # and how large a picture of each
_SMALL_PX: Final = 2**24  # a raster of so many pixels is read whole
_WINDOWS: Final = 4  # each way, where it is not
_EIGHT_BITS: Final = "uint8"
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
                if any("complex" in dtype for dtype in data.dtypes):
                    problems.append(f"影像 {file.name} 的像元是复数，不能作底图；请换成正射影像")
                else:
                    found.append(_described(file, data, assume))
        except UNREADABLE as error:
            problems.append(f"影像 {file.name} 无法读取：{error}；请检查文件是否完整")
        except MissingDatumError as error:
            placeless = True
            problems.append(str(error))
    if not found:
        raise (MissingDatumError if placeless else InputError)("；".join(problems[:3]))
    return Rasters(rasters=tuple(found), stretch=_stretch(found), problems=tuple(problems))


@cache
def as_wkt(crs: str) -> str:
    """One spelling, and one string, of a system: thousands of rasters ask for it at each sheet."""
    return str(rasterio.CRS.from_user_input(crs).to_wkt())


def same_system(raster: Raster, crs: str) -> bool:
    """Whether a raster's coordinates are the map's."""
    return _equal(raster.crs, crs)


@cache
def _equal(one: str, other: str) -> bool:
    """Whether two systems give one point the same coordinates, whatever they are called."""
    systems = [rasterio.CRS.from_wkt(wkt) for wkt in (one, other)]
    terms = [system.to_dict() for system in systems]
    return bool(systems[0] == systems[1]) or terms[0] == terms[1] != {}


def meets(raster: Raster, crs: str, frame: Bounds) -> Bounds | None:
    """Bounds of a raster in the map's CRS, if they share land with the frame."""
    where = raster.bounds if same_system(raster, crs) else moved(raster.crs, crs, raster.bounds)
    if where is None:
        return None
    apart = where[0] >= frame[2] or where[2] <= frame[0] or where[1] >= frame[3] or where[3] <= frame[1]
    return None if apart else where


@lru_cache(maxsize=65_536)
def moved(one: str, other: str, bounds: Bounds) -> Bounds | None:
    """Bounds in another system; None where that system has no place for them."""
    try:
        west, south, east, north = transform_bounds(one, other, *bounds)
    except (*UNREADABLE, ValueError):
        return None
    return (west, south, east, north) if np.isfinite([west, south, east, north]).all() else None


def growth(raster: Raster, crs: str, frame: Bounds) -> float:
    """Metres of the map to a unit of the raster's CRS, about the frame."""
    there = None if same_system(raster, crs) else moved(crs, raster.crs, frame)
    return 1.0 if there is None else math.dist(frame[:2], frame[2:]) / math.dist(there[:2], there[2:])


def dataset(raster: Raster) -> Any:  # noqa: ANN401
    """A raster kept open for the next sheet: opening costs as much as reading a small window.

    Each thread and process has its own: neither GDAL's datasets nor a file's position may be shared.
    """
    if getattr(_KEPT, "process", None) != os.getpid():
        _KEPT.process, _KEPT.open = os.getpid(), OrderedDict()
    kept: OrderedDict[Path, Any] = _KEPT.open
    path = raster.path
    if path not in kept:
        kept[path] = opened(raster)
        if len(kept) > _OPEN:
            kept.popitem(last=False)[1].close()
    kept.move_to_end(path)
    return kept[path]


def opened(raster: Raster, *, overview: int = 0) -> Any:  # noqa: ANN401
    """A raster in its own CRS, to be closed by whoever asked; ``overview`` n is its n-th smaller picture alone."""
    level = {"overview_level": overview - 1} if overview else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # control points place it
        data = rasterio.open(raster.path, **level)
    return _placed(data, raster.crs) if raster.by_points else data


def close() -> None:
    """Close the rasters that this thread has kept open, before their files are moved or written anew."""
    for data in getattr(_KEPT, "open", {}).values():
        data.close()
    _KEPT.process = None


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
    wkt = as_wkt(crs if isinstance(crs, str) else crs.to_wkt())
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
        # A file that is damaged inside is told on the pages that need it.
        with suppress(*UNREADABLE), _opened(raster.path) as data:
            bands, palette = shown_bands(data)
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


def shown_bands(data: Any) -> tuple[list[int], Bytes | None]:  # noqa: ANN401
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


def all_valid(data: Any, bands: list[int]) -> bool:  # noqa: ANN401
    """Whether every pixel of the bands has data."""
    return all(MaskFlags.all_valid in data.mask_flag_enums[band - 1] for band in bands)


def eight_bits(
    colours: npt.NDArray[Any], palette: Bytes | None, stretch: tuple[tuple[float, float], ...]
) -> Bytes:
    """Colours to show, bands x rows x columns, one band or three: by the palette, or stretched from black to white."""
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
