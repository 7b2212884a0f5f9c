"""A plain synthetic county for timing: curved fields, contour strips, parcels digitised anew.

It has what costs an overlay time (many vertices, slivers along every border,
overlapping parcels), and a known truth; how land looks is `geo.sample`'s matter.
"""

from dataclasses import dataclass
from typing import Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely

CRS: Final = "EPSG:4547"  # CGCS2000, 3-degree zone, central meridian 114 E
_ORIGIN: Final = np.array([430_000.0, 4_196_000.0])
_SPACING_M: Final = 70.0  # between seeds of fields: about half a hectare each
_STRIP_WIDTH_M: Final = 8.0
_VERTEX_M: Final = 5.0
_LEFT_OUT: Final = 0.35  # of the land, and the chance that the next strip differs

Geometries = npt.NDArray[np.object_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Land:
    """Survey patches, confirmed parcels, and the unassigned land the parcels were taken from."""

    patches: gpd.GeoDataFrame
    parcels: gpd.GeoDataFrame
    truth: gpd.GeoDataFrame


def land(fields: int, *, seed: int = 7, noise_m: tuple[float, float] = (0.5, 3.0)) -> Land:
    """About ``fields`` patches and five to six parcels each; a third of the land is left out.

    Every parcel is moved and bent on its own by up to ``noise_m`` (drawn per parcel).
    """
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(fields)))
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2)[:fields]
    points = (grid + 0.5 + rng.uniform(-0.42, 0.42, grid.shape)) * _SPACING_M
    frame = shapely.box(0, 0, side * _SPACING_M, side * _SPACING_M)
    cells = shapely.get_parts(shapely.voronoi_polygons(shapely.multipoints(points), extend_to=frame))
    cells = shapely.intersection(cells, frame)
    strips, field = _strips(cells, rng)
    left = _left_out(strips, field, rng)
    bend = _Bend(rng)
    patches, flat = bend(cells), bend(strips)
    parcels = _digitised_again(flat[~left], rng, noise_m)
    truth = shapely.union_all(_by_field(flat[left], field[left], len(cells)), axis=1)
    return Land(
        patches=gpd.GeoDataFrame(geometry=patches, crs=CRS),
        parcels=gpd.GeoDataFrame(geometry=parcels, crs=CRS),
        truth=gpd.GeoDataFrame(geometry=shapely.get_parts(truth), crs=CRS),
    )


class _Bend:
    """One smooth displacement of the plane: neighbours keep their common border."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.wave = rng.uniform(-1, 1, (12, 2)) / 45.0
        self.phase = rng.uniform(0, 2 * np.pi, 12)
        self.push = rng.uniform(-1, 1, (12, 2)) * 4.0

    def __call__(self, shapes: Geometries) -> Geometries:
        def moved(xy: Floats) -> Floats:
            waves = np.sin(xy @ self.wave.T + self.phase)
            return np.round(xy + waves @ self.push + _ORIGIN, 4)

        return shapely.transform(shapely.segmentize(shapes, _VERTEX_M), moved)


def _strips(cells: Geometries, rng: np.random.Generator) -> tuple[Geometries, npt.NDArray[np.intp]]:
    """Cells cut by parallel lines, each in its own direction."""
    angle = rng.uniform(0, np.pi, len(cells))
    centre = shapely.get_coordinates(shapely.centroid(cells))
    count = np.maximum(1, np.round(1.25 * np.sqrt(shapely.area(cells)) / _STRIP_WIDTH_M)).astype(int)
    cell = np.repeat(np.arange(len(cells)), count)
    nth = np.arange(len(cell)) - np.repeat(np.cumsum(count) - count, count)
    along = np.stack([np.cos(angle), np.sin(angle)], axis=1)[cell]
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    low = (nth - count[cell] / 2)[:, None] * _STRIP_WIDTH_M * across
    high = low + _STRIP_WIDTH_M * across
    far = along * 1000
    corners = np.stack([low - far, low + far, high + far, high - far], axis=1) + centre[cell][:, None]
    strips = shapely.intersection(shapely.polygons(corners), cells[cell])
    keep = shapely.area(strips) > 1.0
    return strips[keep], cell[keep]


def _left_out(
    strips: Geometries, field: npt.NDArray[np.intp], rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Runs of neighbouring strips that nobody confirmed: about a third of the land."""
    first = np.concatenate([[True], field[1:] != field[:-1]])
    turn = rng.random(len(strips)) < _LEFT_OUT
    state = rng.random(len(strips)) < _LEFT_OUT
    begins = first | turn
    run = np.cumsum(begins) - 1
    return state[begins][run]


def _by_field(shapes: Geometries, field: npt.NDArray[np.intp], fields: int) -> Geometries:
    count = np.bincount(field, minlength=fields)
    table = np.full((fields, max(1, count.max())), None, dtype=object)
    table[field, np.arange(len(field)) - np.repeat(np.cumsum(count) - count, count)] = shapes
    return table


def _digitised_again(
    shapes: Geometries, rng: np.random.Generator, noise_m: tuple[float, float]
) -> Geometries:
    size = shapely.get_num_coordinates(shapes)
    amplitude = rng.uniform(*noise_m, len(shapes))
    shift = rng.normal(0, 0.35, (len(shapes), 2)) * amplitude[:, None]
    wave = rng.normal(0, 1, (len(shapes), 2)) / 12.0
    phase = rng.uniform(0, 2 * np.pi, (len(shapes), 2))
    of = np.repeat(np.arange(len(shapes)), size)

    def moved(xy: Floats) -> Floats:
        turn = (xy * wave[of]).sum(axis=1)
        bent = np.stack([np.sin(turn + phase[of, 0]), np.sin(turn + phase[of, 1])], axis=1)
        return np.round(xy + shift[of] + 0.5 * amplitude[of][:, None] * bent, 4)

    out = shapely.transform(shapely.simplify(shapes, 0.01), lambda xy: xy)
    size = shapely.get_num_coordinates(out)
    of = np.repeat(np.arange(len(out)), size)
    out = shapely.transform(out, moved)
    return out[shapely.is_valid(out) & ~shapely.is_empty(out)]
