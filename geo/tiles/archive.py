"""Tiles of a county kept in one file, PMTiles: written by the encoder of live tiles, so both are the same bytes.

Nothing is dropped to make a tile small, and the same layers give the same file.

Source: PMTiles specification, version 3.
"""

import gzip
import itertools
import json
import os
import shutil
import struct
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Self

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely

from geo.atomic import whole_file
from geo.errors import InputError
from geo.tiles import mvt, wire
from geo.tiles.features import TileLayer, tile_layer
from geo.tiles.scheme import BUFFER, EXTENT, MAX_ZOOM, Tile, degrees, tilejson, to_world

Whole = npt.NDArray[np.int64]
Objects = npt.NDArray[np.object_]
Floats = npt.NDArray[np.float64]
Tell = Callable[[int, int, str], None]  # how many tiles of a zoom are done, of how many, and which zoom
Directory = tuple[Whole, Whole, Whole, Whole]  # first tile, tiles in a row, bytes, offset; 0 in a row: a leaf

_SOME: Final = 50_000  # shapes at a time
_MAGIC: Final = b"PMTiles\x03"
_HEADER: Final = struct.Struct("<8s11Q6B4iB2i")
_ROOT_BYTES: Final = 16_384  # of header and root together
_LEAF: Final = 4_096  # entries
_LEAVES_KEPT: Final = 64
_DEEPEST: Final = 4
_NONE: Final = 1
_GZIP: Final = 2
_MVT: Final = 1
_LEVEL: Final = 6  # of compression
_TO_E7: Final = 10_000_000


def write_pmtiles(  # noqa: PLR0913 - what, where and how deep
    path: str | os.PathLike[str],
    layers: Mapping[str, gpd.GeoDataFrame],
    *,
    min_zoom: int,
    max_zoom: int = 15,
    edition: str = "",
    tell: Tell | None = None,
) -> None:
    """Write the tiles of layers to one file.

    Parameters
    ----------
    path : path
        A ``.pmtiles`` file; what stands there is replaced once the new one is whole.
    layers : mapping of name to GeoDataFrame
        In any CRS; columns of `TILE_COLUMNS` are kept. Lowest first.
    min_zoom, max_zoom : int
        First and last zoom, 0..22.
    edition : str
        Of what the tiles show, kept in the file: whoever opens it can tell whether it is of today.
    tell : callable, optional
        Called with how many of a zoom's tiles are done, how many there are, and ``"z12"``.

    Raises
    ------
    InputError
        If a layer has no tiles, or there is no such zoom.
    MissingColumnError
        If a layer lacks the column that names its features.
    GeometryTypeError, MissingDatumError
        If a shape is a line; if a layer has no CRS, or one tied to no ellipsoid.
    OutputError
        If the file cannot be written.
    """
    if not 0 <= min_zoom <= max_zoom <= MAX_ZOOM:
        raise InputError(f"瓦片级别 {min_zoom}–{max_zoom} 不对：应在 0–{MAX_ZOOM} 之间，且由小到大")
    held = [_Held.of(tile_layer(name, table)) for name, table in layers.items()]
    metadata = _metadata(held, min_zoom, max_zoom, edition)
    with whole_file(path) as scratch:
        entries: list[tuple[int, int]] = []  # tile and bytes
        data = scratch.with_name("data")
        with data.open("wb") as file:
            for tile, content in _pyramid(held, min_zoom, max_zoom, tell):
                packed = gzip.compress(content, _LEVEL, mtime=0)
                entries.append((tile_id(tile), len(packed)))
                file.write(packed)
        with scratch.open("wb") as file, data.open("rb") as tiles:
            file.write(_front(entries, metadata, _bounds(held), (min_zoom, max_zoom)))
            shutil.copyfileobj(tiles, file, 2**20)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Held:
    """A layer with its features in the order of their numbers, and where each lies."""

    layer: TileLayer
    shapes: Objects
    ids: Whole
    order: Whole
    bounds: Floats  # of the rows in that order, as shares of the world's square

    @classmethod
    def of(cls, layer: TileLayer) -> "_Held":
        shapes, ids = mvt.checked(layer)
        order = mvt.ordered(layer, shapes, ids)
        # Some at a time: a county's shapes in another system would take as much memory again.
        parts = [
            shapely.bounds(shapely.transform(shapes[some], lambda at: to_world(at, layer.crs)))
            for some in np.array_split(order, range(_SOME, len(order), _SOME))
        ]
        return cls(layer=layer, shapes=shapes, ids=ids, order=order, bounds=np.concatenate(parts))


def _pyramid(
    held: list[_Held], min_zoom: int, max_zoom: int, tell: Tell | None
) -> Iterator[tuple[Tile, bytes]]:
    """Tiles that hold something, in the order of the file."""
    for z in range(min_zoom, max_zoom + 1):
        rows_of: dict[Tile, dict[int, Whole]] = {}
        for at, one in enumerate(held):
            for tile, rows in _touched(one.bounds, z):
                rows_of.setdefault(tile, {})[at] = one.order[rows]
        for done, tile in enumerate(sorted(rows_of, key=tile_id), start=1):
            parts = [
                mvt.part(held[at].layer, held[at].shapes, held[at].ids, rows, tile)
                for at, rows in rows_of[tile].items()
            ]
            if content := b"".join(parts):
                yield tile, content
            if tell is not None:
                tell(done, len(rows_of), f"z{z}")


def _touched(shares: Floats, z: int) -> Iterator[tuple[Tile, Whole]]:
    """Tiles that shapes of such bounds may lie in, each with their rows in order."""
    bounds = shares * float(EXTENT * 2**z)
    rows = np.flatnonzero(np.isfinite(bounds).all(axis=1))
    bounds = bounds[rows]
    last = 2**z - 1
    # A shape that ends on a border belongs to both sides of it.
    first = np.clip(np.ceil((bounds[:, :2] - BUFFER) / EXTENT) - 1, 0, last).astype(np.int64)
    final = np.clip(np.floor((bounds[:, 2:] + BUFFER) / EXTENT), 0, last).astype(np.int64)
    wide, high = (final - first + 1).T
    counts = wide * high
    owner = np.repeat(np.arange(len(rows)), counts)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    x, y = first[owner, 0] + place % wide[owner], first[owner, 1] + place // wide[owner]
    key = (y << z) + x
    order = np.argsort(key, kind="stable")
    cuts = np.flatnonzero(np.diff(key[order])) + 1
    for part in np.split(order, cuts) if len(order) else []:
        yield Tile(z, int(x[part[0]]), int(y[part[0]])), rows[owner[part]]


def _bounds(held: list[_Held]) -> tuple[float, float, float, float]:
    """In degrees, of all layers; the whole world where there is nothing."""
    boxes = np.concatenate([one.bounds for one in held] or [np.empty((0, 4))])
    boxes = boxes[np.isfinite(boxes).all(axis=1)]
    if not len(boxes):
        return -180.0, -85.0, 180.0, 85.0
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    lon, lat = degrees(np.array([low[0], high[0]]), np.array([high[1], low[1]]))
    return float(lon[0]), float(lat[0]), float(lon[1]), float(lat[1])


def _metadata(held: list[_Held], min_zoom: int, max_zoom: int, edition: str) -> bytes:
    told = [
        tilejson(
            one.layer.name, url="", min_zoom=min_zoom, max_zoom=max_zoom, columns=list(one.layer.columns)
        )
        for one in held
    ]
    return json.dumps(
        {
            "name": "、".join(document["name"] for document in told),
            "type": "overlay",
            "edition": edition,
            "vector_layers": [layer for document in told for layer in document["vector_layers"]],
        },
        ensure_ascii=False,
        sort_keys=True,
    ).encode()


def _front(
    entries: list[tuple[int, int]],
    metadata: bytes,
    bounds: tuple[float, float, float, float],
    zooms: tuple[int, int],
) -> bytes:
    """Everything before the tiles: header, root, metadata, leaves."""
    ids, lengths = np.array(entries, dtype=np.int64).reshape(-1, 2).T
    offsets = np.cumsum(lengths) - lengths
    root, leaves = _directories((ids, np.ones_like(ids), lengths, offsets))
    packed = gzip.compress(metadata, _LEVEL, mtime=0)
    at = itertools.accumulate((_HEADER.size, len(root), len(packed), len(leaves)))
    root_at, metadata_at, leaves_at, data_at = at
    west, south, east, north = (round(side * _TO_E7) for side in bounds)
    header = _HEADER.pack(
        _MAGIC,
        *(root_at, len(root), metadata_at, len(packed), leaves_at, len(leaves), data_at, int(lengths.sum())),
        *(len(ids), len(ids), len(ids)),
        *(1, _GZIP, _GZIP, _MVT, *zooms),  # in the order of their numbers
        *(west, south, east, north),
        *(zooms[0], (west + east) // 2, (south + north) // 2),
    )
    return header + root + packed + leaves


def _directories(entries: Directory) -> tuple[bytes, bytes]:
    """The root, and leaves where all entries do not fit into it."""
    root = _packed(entries)
    size = _LEAF
    leaves = b""
    while len(root) > _ROOT_BYTES - _HEADER.size:
        starts = np.arange(0, len(entries[0]), size)
        parts = [_packed(tuple(values[at : at + size] for values in entries)) for at in starts]  # type: ignore[arg-type] # four of them
        lengths = np.array([len(part) for part in parts], dtype=np.int64)
        root = _packed((entries[0][starts], np.zeros_like(lengths), lengths, np.cumsum(lengths) - lengths))
        leaves = b"".join(parts)
        size *= 2
    return root, leaves


def _packed(entries: Directory) -> bytes:
    ids, runs, lengths, offsets = entries
    follows = np.zeros(len(ids), dtype=bool)
    follows[1:] = offsets[1:] == offsets[:-1] + lengths[:-1]
    numbers = np.concatenate(
        [[len(ids)], np.diff(ids, prepend=0), runs, lengths, np.where(follows, 0, offsets + 1)]
    )
    (body,) = wire.varints(numbers.astype(np.uint64), np.array([len(numbers)]))
    return gzip.compress(body, _LEVEL, mtime=0)


def tile_id(tile: Tile) -> int:
    """A tile's number in an archive: tiles before its zoom, then its place on Hilbert's curve."""
    z, x, y = tile
    number = ((1 << 2 * z) - 1) // 3
    for level in range(z - 1, -1, -1):
        side = 1 << level
        right, down = int(bool(x & side)), int(bool(y & side))
        number += side * side * ((3 * right) ^ down)
        if not down:
            if right:
                x, y = side - 1 - x, side - 1 - y
            x, y = y, x
        x, y = x & (side - 1), y & (side - 1)
    return number


class Archive:
    """A PMTiles file that is read from; threads may share it.

    Parameters
    ----------
    path : path
        The file. It stays open until `close`, and may be replaced meanwhile on
        systems that let go of names: what was opened is read on.

    Raises
    ------
    InputError
        If it is not there, or no archive of vector tiles.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Final = Path(path)
        self._lock: Final = threading.Lock()
        self._leaves: Final[OrderedDict[int, Directory]] = OrderedDict()
        try:
            self._file: IO[bytes] = self.path.open("rb")
        except OSError as error:
            raise InputError(f"瓦片文件 {self.path} 打不开：{error.strerror or error}") from error
        try:
            self._begin()
        except BaseException:
            self._file.close()
            raise

    def _begin(self) -> None:
        head = self._file.read(_HEADER.size)
        if len(head) < _HEADER.size or not head.startswith(_MAGIC):
            raise InputError(f"{self.path} 不是 PMTiles 第 3 版瓦片文件；请重新生成瓦片")
        told = _HEADER.unpack(head)[1:]
        places, kinds, corners = told[:8], told[12:17], told[17:21]
        self.addressed = told[8]
        root_at, root_bytes, metadata_at, metadata_bytes, self._leaves_at, _, self._data_at, _ = places
        self._inner, self._outer, kind, self.min_zoom, self.max_zoom = kinds
        if kind != _MVT or {self._inner, self._outer} - {_NONE, _GZIP}:
            raise InputError(f"{self.path} 的瓦片不是 gzip 压缩的矢量瓦片；请重新生成瓦片")
        west, south, east, north = (side / _TO_E7 for side in corners[:4])
        self.bounds = (west, south, east, north)
        self._root = self._directory(root_at, root_bytes)
        self.metadata: dict[str, Any] = json.loads(
            self._part(metadata_at, metadata_bytes, self._inner) or b"{}"
        )

    def tile(self, z: int, x: int, y: int, *, compressed: bool = False) -> bytes | None:
        """One tile, None if there is nothing in it.

        Parameters
        ----------
        z, x, y : int
            Which.
        compressed : bool
            As gzip, to be sent as it is.

        Raises
        ------
        InputError
            If the file is damaged or was closed.
        """
        wanted = Tile(z, x, y)
        if not (wanted.valid and self.min_zoom <= z <= self.max_zoom):
            return None
        number = tile_id(wanted)
        directory = self._root
        for _ in range(_DEEPEST):
            ids, runs, lengths, offsets = directory
            at = int(np.searchsorted(ids, number, side="right")) - 1
            if at < 0:
                return None
            run, length, offset = int(runs[at]), int(lengths[at]), int(offsets[at])
            if run:
                if number >= ids[at] + run:
                    return None
                found = self._part(self._data_at + offset, length, _NONE if compressed else self._outer)
                return gzip.compress(found, _LEVEL, mtime=0) if compressed and self._outer == _NONE else found
            directory = self._leaf(offset, length)
        raise InputError(f"瓦片文件 {self.path} 的目录损坏；请重新生成瓦片")

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._file.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the file."""
        self.close()

    def _leaf(self, offset: int, length: int) -> Directory:
        with self._lock:
            if offset in self._leaves:
                self._leaves.move_to_end(offset)
                return self._leaves[offset]
        directory = self._directory(self._leaves_at + offset, length)
        with self._lock:
            self._leaves[offset] = directory
            if len(self._leaves) > _LEAVES_KEPT:
                self._leaves.popitem(last=False)
        return directory

    def _directory(self, at: int, length: int) -> Directory:
        body = np.frombuffer(self._part(at, length, self._inner), dtype=np.uint8)
        numbers = _numbers(body)
        count = int(numbers[0]) if len(numbers) else 0
        if len(numbers) != 1 + 4 * count:
            raise InputError(f"瓦片文件 {self.path} 的目录损坏；请重新生成瓦片")
        steps, runs, lengths, told = numbers[1:].reshape(4, count)
        offsets = told - 1
        for entry in np.flatnonzero(told[1:] == 0).tolist():  # it follows the one before
            offsets[entry + 1] = offsets[entry] + lengths[entry]
        return np.cumsum(steps), runs, lengths, offsets

    def _part(self, at: int, length: int, compression: int) -> bytes:
        try:
            with self._lock:
                self._file.seek(at)
                found = self._file.read(length)
            if len(found) != length:
                raise InputError(f"瓦片文件 {self.path} 不完整；请重新生成瓦片")
            return gzip.decompress(found) if compression == _GZIP else found
        except (OSError, EOFError, ValueError) as error:
            raise InputError(f"瓦片文件 {self.path} 读取失败：{error}；请重新生成瓦片") from error


def _numbers(body: npt.NDArray[np.uint8]) -> Whole:
    """Varints that fill some bytes."""
    ends = np.flatnonzero(body < 128)  # noqa: PLR2004 - the bit that says more follow
    starts = np.concatenate([[0], ends[:-1] + 1])
    if not len(ends):
        return np.empty(0, dtype=np.int64)
    whole = body[: ends[-1] + 1]
    place = np.arange(len(whole)) - np.repeat(starts, ends - starts + 1)
    return np.add.reduceat((whole & 127).astype(np.int64) << (7 * place), starts)
