"""Features as a Mapbox Vector Tile: laid into the tile, simplified, clipped, rounded, in commands.

What is shown where: below zoom `ALL_FROM` a polygon smaller than a quarter of a
screen pixel is left out; from there on nothing is. A polygon too thin for whole
units of the tile is drawn a unit wider on each side, so that a strip stays a strip
and a tiny one a dot. Outlines are simplified by half a pixel at most, from
`ALL_FROM` by a quarter, from `FINE_FROM` by a sixteenth; always before they are
cut, so that they meet across the borders of tiles.

Source: Mapbox Vector Tile Specification 2.1.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry

from geo.errors import GeometryTypeError, InputError
from geo.tiles import wire
from geo.tiles.features import TileLayer, feature_ids, shapes
from geo.tiles.scheme import BUFFER, EXTENT, Tile, to_world

Objects = npt.NDArray[np.object_]
Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

ALL_FROM: Final = 14  # zoom from which no polygon is left out
FINE_FROM: Final = 16
TINY: Final = 64.0  # square units: a quarter of a pixel of 16 x 16

_COARSE: Final = 8.0  # units an outline may move, by zoom
_MIDDLE: Final = 4.0
_FINE: Final = 1.0
_THICKEN: Final = 1.0  # units on each side of what is too thin for whole ones
_MOVE: Final = 9  # begin a ring
_LINE: Final = 2
_CLOSE: Final = 15
_RING: Final = 3  # corners at least
_POINTS: Final = (0, 4)  # shapely's numbers of kinds: points
_POLYGONS: Final = (3, 6)  # and polygons


def encode(layers: Sequence[TileLayer], tile: Tile | tuple[int, int, int]) -> bytes:
    """One vector tile.

    Parameters
    ----------
    layers : sequence of TileLayer
        Rows that may touch the tile (`Tile.within` says where to look): polygons
        and points in any CRS. Missing and empty shapes have no feature.
    tile : Tile, or z, x, y
        Which.

    Returns
    -------
    bytes
        Not compressed; empty if nothing lies in the tile. Extent 4096, with 80
        units beyond each edge. The same features give the same bytes in
        whatever order they come.

    Raises
    ------
    InputError
        If there is no such tile, a shape's bytes are damaged, or a layer's
        columns, numbers and shapes differ in length.
    GeometryTypeError
        If a shape is a line.
    MissingDatumError
        If a layer has no CRS, or one tied to no ellipsoid.
    """
    wanted = Tile(*tile)
    if not wanted.valid:
        raise InputError(f"没有这样的瓦片：{wanted.z}/{wanted.x}/{wanted.y}")
    return b"".join(_layer(layer, wanted) for layer in layers)


def _layer(layer: TileLayer, tile: Tile) -> bytes:
    held, ids = checked(layer)
    return part(layer, held, ids, ordered(layer, held, ids), tile)


def part(layer: TileLayer, held: Objects, ids: Whole, rows: Whole, tile: Tile) -> bytes:
    """One layer of a tile, from some of its rows in the order of `ordered`; none if they are not in the tile."""
    if not len(rows):
        return b""
    factor = float(EXTENT * 2**tile.z)  # a power of two, so that zooms agree to the last bit
    world = shapely.transform(held[rows], lambda at: to_world(at, layer.crs) * factor)
    there, kinds, commands = placed(simplified(world, tile.z), tile)
    if not len(there):
        return b""
    chosen = rows[there]
    picked = chosen.tolist()
    columns = {name: [values[row] for row in picked] for name, values in layer.columns.items()}
    return wire.layer(
        layer.name, extent=EXTENT, ids=ids[chosen], kinds=kinds, commands=commands, columns=columns
    )


def checked(layer: TileLayer) -> tuple[Objects, Whole]:
    """Shapes and numbers of a layer.

    Raises
    ------
    InputError
        If a shape's bytes are damaged, or columns, numbers and shapes differ in length.
    GeometryTypeError
        If a shape is a line.
    """
    held = shapes(layer.geometry)
    codes = next(iter(layer.columns.values()), ())
    ids = feature_ids(codes) if layer.ids is None else np.asarray(layer.ids, dtype=np.int64)
    if {len(ids), *map(len, layer.columns.values())} - {len(held)}:
        raise InputError(f"图层 {layer.name} 的图形、编号和属性行数不一致")
    kinds = shapely.get_type_id(held)
    if (~np.isin(kinds, (-1, *_POINTS, *_POLYGONS))).any():
        raise GeometryTypeError(f"图层 {layer.name} 中有线状图形，瓦片只收面和点")
    return held, ids


def ordered(layer: TileLayer, held: Objects, ids: Whole) -> Whole:
    """Rows by number; rows of one number by all they hold."""
    order = np.argsort(ids, kind="stable")
    twice = np.flatnonzero(ids[order][1:] == ids[order][:-1])
    if not len(twice):
        return order
    among = np.isin(ids, ids[order][twice])
    shape = dict(zip(np.flatnonzero(among).tolist(), shapely.to_wkb(held[among]), strict=True))

    def key(row: int) -> tuple[int, bytes, str]:
        told = repr([values[row] for values in layer.columns.values()])
        return int(ids[row]), shape.get(row) or b"", told if row in shape else ""

    return np.array(sorted(range(len(ids)), key=key), dtype=np.int64)


def simplified(world: Objects, z: int) -> Objects:
    """Shapes in units of the world at a zoom, as that zoom shows them; None for what it leaves out."""
    kept = world.copy()
    kept[~np.isfinite(shapely.bounds(world)).all(axis=1)] = None  # the system of the map has no place for it
    areal = np.flatnonzero(_is_areal(kept))
    held = kept[areal]
    flawed = np.flatnonzero(np.logical_not(shapely.is_valid(held)))
    held[flawed] = [_mended(shape) for shape in held[flawed]]
    area = shapely.area(held)
    if z < ALL_FROM:
        kept[areal[area < TINY]] = None
        areal, held, area = areal[area >= TINY], held[area >= TINY], area[area >= TINY]
    tolerance = _COARSE if z < ALL_FROM else _MIDDLE if z < FINE_FROM else _FINE
    simple = shapely.simplify(held, tolerance, preserve_topology=False)
    # Where a neck closes, GEOS keeps one side of it only: such a shape stays as it was.
    broken = shapely.is_empty(simple) | (abs(shapely.area(simple) - area) > tolerance * shapely.length(held))
    kept[areal] = np.where(broken, held, simple)
    return kept


def placed(world: Objects, tile: Tile) -> tuple[Whole, list[int], list[bytes]]:
    """Which of the shapes lie in a tile, their kinds, and their commands; ``world`` in units at its zoom."""
    low = np.array([tile.x, tile.y], dtype=np.float64) * EXTENT
    bounds = shapely.bounds(world) - np.tile(low, 2)
    with np.errstate(invalid="ignore"):
        rows = np.flatnonzero(
            np.isfinite(bounds).all(axis=1)
            & (bounds[:, :2] <= EXTENT + BUFFER).all(axis=1)
            & (bounds[:, 2:] >= -BUFFER).all(axis=1)
        )
    local = shapely.transform(world[rows], lambda at: at - low)
    bounds = bounds[rows]
    inside = np.logical_and(
        (bounds[:, :2] >= -BUFFER).all(axis=1), (bounds[:, 2:] <= EXTENT + BUFFER).all(axis=1)
    )
    areal = _is_areal(local)
    commands: list[bytes] = [b""] * len(rows)
    _put(commands, np.flatnonzero(areal), _polygons(local[areal], inside[areal]))
    _put(commands, np.flatnonzero(~areal), _points(local[~areal]))
    there = np.array([bool(command) for command in commands], dtype=bool)
    kinds = np.where(areal, wire.POLYGON, wire.POINT)[there].tolist()
    return rows[there], kinds, [command for command in commands if command]


def _is_areal(shapes: Objects) -> npt.NDArray[np.bool_]:
    return np.asarray(np.isin(shapely.get_type_id(shapes), _POLYGONS), dtype=bool)


def _put(commands: list[bytes], rows: Whole, found: list[bytes]) -> None:
    for row, command in zip(rows.tolist(), found, strict=True):
        commands[row] = command


def _points(local: Objects) -> list[bytes]:
    """Commands of points; those beyond the tile and its border are left out."""
    if not len(local):
        return []
    at, owner = shapely.get_coordinates(local, return_index=True)
    units = np.rint(at).astype(np.int64)
    there = ((units >= -BUFFER) & (units <= EXTENT + BUFFER)).all(axis=1)
    units, owner = units[there], owner[there]
    counts = np.bincount(owner, minlength=len(local))
    steps = _steps(units, owner)
    stream = np.empty(2 * len(units) + len(local), dtype=np.uint64)
    starts = 2 * (np.cumsum(counts) - counts) + np.arange(len(local))  # one command before each one's points
    stream[starts] = (counts << 3 | 1).astype(np.uint64)
    places = 2 * np.arange(len(units)) + owner + 1
    stream[places], stream[places + 1] = steps[:, 0], steps[:, 1]
    told = wire.varints(stream, 2 * counts + 1)
    return [command if count else b"" for command, count in zip(told, counts.tolist(), strict=True)]


def _steps(units: Whole, owner: Whole) -> npt.NDArray[np.uint64]:
    """From each point to the next of its feature; the first from the tile's corner."""
    steps = np.diff(units, axis=0, prepend=np.zeros((1, 2), dtype=np.int64))
    first = np.flatnonzero(np.diff(owner, prepend=-1))
    steps[first] = units[first]
    return wire.zigzag(steps)


def _polygons(local: Objects, inside: npt.NDArray[np.bool_]) -> list[bytes]:
    """Commands of polygons in units of their tile; empty bytes for those that do not reach it."""
    cut = local.copy()
    if not inside.all():
        cut[~inside] = clipped(local[~inside])
    there = np.flatnonzero(~shapely.is_empty(cut))
    shown = cut[there]
    # A hole or a part that vanishes is told apart from a flaw only by mending: few are either.
    broken = ~shapely.is_valid(shapely.transform(shown, np.rint))
    shown[broken] = [shapely.set_precision(_mended(shape), 1.0) for shape in shown[broken]]
    commands = _commands(shown)
    lost = [at for at, command in enumerate(commands) if not command]
    if lost:
        wide = np.empty(len(lost), dtype=object)
        wide[:] = [_thickened(cut[there[at]]) for at in lost]
        for at, command in zip(lost, _commands(wide), strict=True):
            commands[at] = command
    found = [b""] * len(local)
    _put(found, there, commands)
    return found


def clipped(local: Objects) -> Objects:
    """Polygons cut to a tile and its border."""
    low, high = -BUFFER, EXTENT + BUFFER
    try:
        return np.asarray(shapely.clip_by_rect(local, low, low, high, high), dtype=object)
    except shapely.errors.GEOSException:
        mended = shapely.make_valid(local)
        cut = shapely.intersection(mended, shapely.box(low, low, high, high))
        return np.array([None if shape is None else _areal(shape) for shape in cut], dtype=object)


def _mended(shape: BaseGeometry) -> BaseGeometry:
    """A valid shape; one without any area stays as it is."""
    if shape.is_valid:
        return shape
    sound = _areal(shapely.make_valid(shape))
    return shape if sound.is_empty else sound


def _thickened(shape: BaseGeometry) -> BaseGeometry:
    """What is thinner than a unit, wider by one on each side; at least a dot."""
    wide = shapely.buffer(
        shape.boundary, _THICKEN, quad_segs=1, cap_style="square", join_style="mitre", mitre_limit=1.5
    )
    whole = shapely.set_precision(_areal(wide), 1.0)
    if not whole.is_empty:
        return whole
    x, y = np.rint(shapely.get_coordinates(shape)[0])
    dot: BaseGeometry = shapely.box(x - 1, y - 1, x + 1, y + 1)
    return dot


def _areal(shape: BaseGeometry) -> BaseGeometry:
    """The polygons of a collection."""
    if shapely.get_type_id(shape) in _POLYGONS:
        return shape
    parts = shapely.get_parts(shapely.get_parts(shape))
    areal: BaseGeometry = shapely.multipolygons(parts[shapely.get_type_id(parts) == _POLYGONS[0]])
    return areal


def _commands(shown: Objects) -> list[bytes]:
    """Commands of polygons rounded to whole units; none for one without area left."""
    parts, feature_of_part = shapely.get_parts(shown, return_index=True)
    areal = shapely.get_type_id(parts) == _POLYGONS[0]
    parts, feature_of_part = parts[areal], feature_of_part[areal]
    rings, part_of_ring = shapely.get_rings(parts, return_index=True)
    corners, ring_of = shapely.get_coordinates(rings, return_index=True)
    if not len(corners):
        return [b""] * len(shown)
    units = np.rint(corners).astype(np.int64)
    last = np.diff(ring_of, append=-1) != 0  # repeats the ring's first corner
    same = np.zeros(len(units), dtype=bool)
    same[:-1] = (units[1:] == units[:-1]).all(axis=1)
    kept = ~(last | same)
    units, ring_of = units[kept], ring_of[kept]
    counts = np.bincount(ring_of, minlength=len(rings))
    twice_area = _twice_area(units, counts)
    alive = (counts >= _RING) & (twice_area != 0)
    is_shell = np.diff(part_of_ring, prepend=-1) != 0
    shell_alive = np.zeros(len(parts), dtype=bool)  # an empty part has no shell
    shell_alive[part_of_ring[is_shell]] = alive[is_shell]
    alive &= shell_alive[part_of_ring]
    backward = (twice_area > 0) != is_shell
    return _stream(units, counts, alive, backward, feature_of_part[part_of_ring], len(shown))


def _twice_area(units: Whole, counts: Whole) -> Whole:
    """Twice the area of each ring, above 0 if it runs clockwise on the screen."""
    owner = np.repeat(np.arange(len(counts)), counts)
    ends = np.cumsum(counts)
    following = np.arange(1, len(units) + 1)
    whole = counts > 0
    following[ends[whole] - 1] = (ends - counts)[whole]
    cross = units[:, 0] * units[following, 1] - units[following, 0] * units[:, 1]
    # Whole numbers far under 2^53: sums of floats are exact.
    return np.bincount(owner, weights=cross.astype(np.float64), minlength=len(counts)).astype(np.int64)


def _stream(  # noqa: PLR0913, PLR0917 - rings as arrays
    units: Whole,
    counts: Whole,
    alive: npt.NDArray[np.bool_],
    backward: npt.NDArray[np.bool_],
    feature_of: Whole,
    features: int,
) -> list[bytes]:
    """Commands of rings, in bytes a feature."""
    starts = (np.cumsum(counts) - counts)[alive]
    counts, backward, feature_of = counts[alive], backward[alive], feature_of[alive]
    ring_of = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(len(ring_of)) - np.repeat(np.cumsum(counts) - counts, counts)
    turned = np.where(backward[ring_of], (counts[ring_of] - place) % counts[ring_of], place)
    steps = _steps(units[starts[ring_of] + turned], feature_of[ring_of])
    lengths = 2 * counts + 3
    heads = np.cumsum(lengths) - lengths
    stream = np.empty(int(lengths.sum()), dtype=np.uint64)
    stream[heads] = _MOVE
    stream[heads + 3] = ((counts - 1) << 3 | _LINE).astype(np.uint64)
    stream[heads + lengths - 1] = _CLOSE
    at = heads[ring_of] + 2 + 2 * place - (place == 0)
    stream[at], stream[at + 1] = steps[:, 0], steps[:, 1]
    per_feature = np.bincount(feature_of, weights=lengths, minlength=features).astype(np.int64)
    return wire.varints(stream, per_feature)
