"""What covers the land of one village: zones on the terrain, then patches with exact common borders."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize, sieve

from geo.sample.landscape import GRID_M, Landscape, Village, site_raster, window
from geo.sample.net import (
    Geometries,
    absorb,
    contours,
    dissolve,
    downhill,
    faces,
    net_lines,
    points_along,
    relaxed_corners,
    runs,
    sample,
)
from geo.sample.terrain import Floats, Ints, hashed, noise, resample

TERRACE, QUILT, GULLY, WOOD, SHRUB, HOME, FALLOW, SHORE, TOP = range(1, 10)
RIVER, HIGHWAY, LANE, DITCH = range(20, 24)
TILLED: Final = (TERRACE, QUILT, TOP)
_LEAST_ZONE_M2: Final = 700.0
BANK: Final = 6  # field terraces between two borders of patches
_HALO: Final = 36  # cells around a village; more than the rounds of smoothing, so that borders agree
_STEEP: Final = {
    1.25: 6.5,
    2.5: 13.0,
}  # vertical distance of field terraces up to a slope in degrees; steeper 5 m


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patches:
    """The land of one village in patches: an exact partition of ``outline``."""

    geometry: Geometries
    zone: Ints
    slope_deg: Floats
    near_home_m: Floats
    outline: shapely.Polygon
    xs: Floats  # the window: columns and rows of the rasters
    ys: Floats
    height_m: Floats
    step_m: Floats  # vertical distance of field terraces
    broad_deg: Floats  # slope of the wider ground
    terraced: NDArray[np.bool_]


def _cells(
    x: Floats, y: Floats, seed: int, wide: float, tall: float, angle: Floats | float
) -> NDArray[np.int64]:
    """Number of the irregular cell, about ``wide`` x ``tall`` m and turned by ``angle``, that each point is in."""
    u = (x * np.cos(angle) + y * np.sin(angle)) / wide
    v = (-x * np.sin(angle) + y * np.cos(angle)) / tall
    col, row = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
    best = np.full(u.shape, np.inf)
    label = np.zeros(u.shape, dtype=np.int64)
    for dr in (-1, 0, 1):
        for dc in (-1, 0, 1):
            r, c = row + dr, col + dc
            du = u - c - 0.5 - 0.36 * hashed(seed, r, c)
            dv = v - r - 0.5 - 0.36 * hashed(seed + 1, r, c)
            far = du * du + dv * dv
            closer = far < best
            best[closer] = far[closer]
            label[closer] = ((r % 211) * 211 + c % 211)[closer]
    return label


def _zones(
    land: Landscape, village: Village, xs: Floats, ys: Floats, height: Floats, slope: Floats
) -> NDArray[np.int32]:
    """Label of each raster cell: zone x 100000 + number of a cell inside it."""
    seed = land.seed * 257
    above = resample(land.ground.above_river_m, land.ground, xs, ys)
    rough = noise(seed, 260.0, xs, ys) + 0.5 * noise(seed + 1, 90.0, xs, ys)
    slow = noise(seed + 2, 700.0, xs, ys)
    steep = slope + 7 * rough + 5 * slow
    north = np.gradient(height, ys[1] - ys[0], axis=0) > 0.02  # falls to the north... woods keep to the shade
    zone = np.full(slope.shape, TERRACE, dtype=np.int64)
    zone[(slope < 4.5) & (above >= 10)] = TOP
    zone[(above < 10) & (slope < 7.5)] = QUILT
    zone[(rough - 0.5 * slow > 0.46) & (slope > 5)] = FALLOW
    zone[steep > 18.5] = SHRUB
    zone[steep > np.where(north, 23.0, 20.0)] = WOOD
    zone[(above < 2.0 + 3 * rough) & (slope < 5)] = SHORE
    transform = Affine(GRID_M, 0, xs[0] - GRID_M / 2, 0, GRID_M, ys[0] - GRID_M / 2)
    box = shapely.box(xs[0], ys[0], xs[-1], ys[-1])

    def burnt(shapes: Geometries) -> NDArray[np.bool_]:
        near = shapes[shapely.intersects(shapes, box) & ~shapely.is_empty(shapes)] if len(shapes) else shapes
        if not len(near):
            return np.zeros(slope.shape, dtype=bool)
        burning = rasterize(near, out_shape=slope.shape, transform=transform, fill=0, default_value=1)
        return np.asarray(burning == 1)

    # A gully's edge is eaten into by side gullies and slips: never a ribbon of one width.
    edge = noise(seed + 11, 38.0, xs, ys) + noise(seed + 12, 85.0, xs, ys)
    near = land.gullies[shapely.intersects(land.gullies, box)] if len(land.gullies) else land.gullies
    gully = burnt(shapely.buffer(near, -5.0)) | (burnt(near) & (edge > -0.3))
    gully |= burnt(shapely.buffer(near, 9.0)) & (edge > 0.2)
    zone[gully & ((slope > 4) | (rough > 0))] = GULLY
    zone[burnt(land.rivers) & np.isin(zone, (TERRACE, TOP, WOOD, FALLOW, SHRUB))] = SHORE
    for number, (hx, hy) in enumerate(village.hamlets):
        size = (105.0 if number == 0 else 70.0) * min(1.0, land.spacing_m / 2000 + 0.25)
        tilt = 3.1 * float(hashed(seed + 7, np.array([village.number]), np.array([number]))[0])
        dx, dy = xs[None, :] - hx, ys[:, None] - hy
        u, v = dx * np.cos(tilt) + dy * np.sin(tilt), -dx * np.sin(tilt) + dy * np.cos(tilt)
        inside = np.hypot(u / 1.45, v) < size * (
            1 + 0.75 * noise(seed + 5, 75.0, xs, ys) + 0.35 * noise(seed + 6, 30.0, xs, ys)
        )
        zone[inside & (slope < 16)] = HOME
    turn = 1.2 * np.round(2 * noise(seed + 8, 420.0, xs, ys) * 2)
    inner = np.zeros(zone.shape, dtype=np.int64)
    warp_x, warp_y = 22 * noise(seed + 9, 95.0, xs, ys), 22 * noise(seed + 10, 95.0, xs, ys)
    for which, wide, tall, angle in (
        (QUILT, 105.0, 185.0, turn), (TOP, 110.0, 170.0, turn), (HOME, 54.0, 78.0, 0.4), (WOOD, 330.0, 330.0, 0.0),
        (SHRUB, 270.0, 270.0, 0.0), (GULLY, 600.0, 600.0, 0.0), (FALLOW, 230.0, 230.0, 0.0), (SHORE, 420.0, 420.0, 0.0),
    ):  # fmt: skip
        here = zone == which
        if here.any():
            turned = np.broadcast_to(angle, zone.shape)[here]
            x, y = (xs[None, :] + warp_x)[here], (ys[:, None] + warp_y)[here]
            inner[here] = _cells(x, y, seed + 40 + which, wide, tall, turned)
    return (zone * 100_000 + inner).astype(np.int32)


def _grown(mask: NDArray[np.bool_], cells: int) -> NDArray[np.bool_]:
    for _ in range(cells):
        wide = mask.copy()
        wide[1:] |= mask[:-1]
        wide[:-1] |= mask[1:]
        wide[:, 1:] |= mask[:, :-1]
        wide[:, :-1] |= mask[:, 1:]
        mask = wide
    return mask


def _outline(land: Landscape, village: Village) -> tuple[Floats, Floats, NDArray[np.bool_], Floats]:
    """Window of a village, its cells, and places of the corners on its border (NaN elsewhere)."""
    reach = 1.5 * land.spacing_m
    heart = land.sites[village.site]
    xs, ys = window(heart[0] - reach, heart[0] + reach), window(heart[1] - reach, heart[1] + reach)
    coarse_x, coarse_y = xs[::8], ys[::8]
    rough = site_raster(land, coarse_x, coarse_y) == village.site
    row, col = np.nonzero(rough)
    pad = _HALO * GRID_M + 8 * GRID_M
    xs = window(coarse_x[col.min()] - pad, coarse_x[col.max()] + pad)
    ys = window(coarse_y[row.min()] - pad, coarse_y[row.max()] + pad)
    sites = site_raster(land, xs, ys)
    corners = relaxed_corners(sites)
    inside = sites == village.site
    touches = np.zeros((len(ys) + 1, len(xs) + 1), dtype=np.int8)
    for dr in (0, 1):
        for dc in (0, 1):
            touches[dr : dr + len(ys), dc : dc + len(xs)] += inside
    corners[(touches == 0) | (touches == 4)] = np.nan
    return xs, ys, inside, corners


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Ground:
    """Rasters of a village's window, and its border."""

    xs: Floats
    ys: Floats
    height: Floats
    broad: Floats  # slope of the wider ground, degrees
    label: NDArray[np.int32]  # zone x 100000 + cell; 0 outside the village
    step: Floats  # vertical distance of field terraces
    outline: shapely.Polygon
    lines: Geometries  # borders of zones, the outline among them


def _ground(land: Landscape, village: Village) -> _Ground:
    xs, ys, inside, border = _outline(land, village)
    height = resample(land.ground.height_m, land.ground, xs, ys)
    height += 2.2 * noise(land.seed * 257 + 20, 130.0, xs, ys)
    height += 0.7 * noise(land.seed * 257 + 21, 55.0, xs, ys)
    dy, dx = np.gradient(height, GRID_M)
    broad = np.degrees(np.arctan(np.hypot(dx, dy)))
    for _ in range(12):
        padded = np.pad(broad, 1, mode="edge")
        broad = (padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]) / 4
    label = _zones(land, village, xs, ys, height, broad)
    label[~inside] = 0
    label = sieve(label, size=round(_LEAST_ZONE_M2 / GRID_M**2), connectivity=4, mask=inside)
    label[~inside] = 0
    corner = (float(xs[0]) - GRID_M / 2, float(ys[0]) - GRID_M / 2)
    lines = net_lines(label, relaxed_corners(label, border), *corner, GRID_M)
    rim = net_lines(inside, np.nan_to_num(border), *corner, GRID_M)
    outline = max(shapely.get_parts(shapely.polygonize(rim)), key=lambda part: float(part.area))
    middle = shapely.line_interpolate_point(lines, 0.5, normalized=True)
    on_rim = shapely.covered_by(middle, shapely.buffer(shapely.boundary(outline), 1e-6))
    return _Ground(
        xs=xs,
        ys=ys,
        height=height,
        broad=broad,
        label=label,
        step=np.where(broad < _STEEP[1.25], 1.25, np.where(broad < _STEEP[2.5], 2.5, 5.0)),
        outline=outline,
        # The rim is the neighbour's too and stays as it is, point for point.
        lines=np.where(on_rim, lines, shapely.simplify(lines, 0.45)),
    )


def _banks(ground: _Ground, drawn: NDArray[np.bool_], rng: np.random.Generator) -> Geometries:
    """Lines that divide terraced slopes into patches: every sixth contour, and cuts between them."""
    xs, ys, step = ground.xs, ground.ys, ground.step
    banks = shapely.simplify(contours(ground.height, BANK * step, drawn, xs, ys), 0.35)
    banks = banks[shapely.length(banks) > 15]
    start, _ = points_along(banks, rng.uniform(130, 270, len(banks)), rng)
    drop = BANK * step_at(step, xs, ys, start)
    return np.concatenate((banks, downhill(ground.height, xs, ys, start, drop, stride=4.0, reach=200.0)))


def _strips(land: Landscape, outline: shapely.Polygon) -> dict[int, Geometries]:
    """Polygons of roads and waters near a village, those that lie under others first."""
    water, highways = _near(land.rivers, outline), _near(land.highways, outline)
    shapes = {
        DITCH: _ditches(water, outline),
        LANE: shapely.buffer(
            _beside(_near(land.lanes, outline), highways), 2.3, cap_style="square", quad_segs=2
        ),
        HIGHWAY: shapely.buffer(highways, 4.2, quad_segs=2),
        RIVER: water,
    }
    parts = {name: shapely.get_parts(shapely.union_all(shape)) for name, shape in shapes.items()}
    return {name: part for name, part in parts.items() if len(part)}


def patches(land: Landscape, village: Village) -> Patches:
    """Patches of one village.

    Parameters
    ----------
    land : Landscape
    village : Village

    Returns
    -------
    Patches
        An exact partition of the village, sorted from north to south in rows
        of 100 m and west to east in a row, as patches are numbered.
    """
    rng = np.random.default_rng([land.seed, 11, village.number])
    ground = _ground(land, village)
    drawn = _grown(ground.label // 100_000 == TERRACE, 2)
    strips = _strips(land, ground.outline)
    edges = [shapely.boundary(shapes) for shapes in strips.values()]
    made = faces(np.concatenate([ground.lines, _banks(ground, drawn, rng), *edges]))
    made = made[shapely.contains_properly(ground.outline, shapely.point_on_surface(made))]
    heart = shapely.point_on_surface(made)
    row, col = _cell_of(shapely.get_coordinates(heart), ground.xs, ground.ys)
    zone = ground.label[row, col].astype(np.int64) // 100_000
    kind = zone.copy()
    for name, shapes in strips.items():
        face, number = shapely.STRtree(shapes).query(heart, predicate="within")
        zone[face], kind[face] = name, name * 1000 + number
    is_line = zone >= RIVER
    least = np.where(np.isin(zone, TILLED), 1800.0, np.where(zone == HOME, 500.0, 1500.0))
    kept, names = absorb(made, kind, np.where(is_line, 60.0, least), np.where(is_line, 0.02, 1.0))
    # A road is one patch from crossing to crossing, not one from field to field.
    zone, kind = zone[names], kind[names]
    group = np.where(zone >= RIVER, runs(kept, kind), np.arange(len(kept)))
    geometry, names = dissolve(kept, group)
    spot = shapely.get_coordinates(shapely.point_on_surface(geometry))
    order = np.lexsort((spot[:, 0], -np.floor(spot[:, 1] / 100)))
    spot = spot[order]
    return Patches(
        geometry=geometry[order],
        zone=zone[names][order],
        slope_deg=sample(ground.broad, ground.xs, ground.ys, spot),
        near_home_m=np.min([np.hypot(*(spot - hamlet).T) for hamlet in village.hamlets], axis=0),
        outline=ground.outline,
        xs=ground.xs,
        ys=ground.ys,
        height_m=ground.height,
        step_m=ground.step,
        broad_deg=ground.broad,
        terraced=drawn,
    )


def _cell_of(points: Floats, xs: Floats, ys: Floats) -> tuple[Ints, Ints]:
    """Row and column of the cell that each point is in."""
    col = np.floor((points[:, 0] - xs[0]) / GRID_M + 0.5).astype(np.int64)
    row = np.floor((points[:, 1] - ys[0]) / GRID_M + 0.5).astype(np.int64)
    return np.clip(row, 0, len(ys) - 1), np.clip(col, 0, len(xs) - 1)


def step_at(step: Floats, xs: Floats, ys: Floats, points: Floats) -> Floats:
    """Vertical distance of field terraces at points: that of their cell."""
    return np.asarray(step[_cell_of(points, xs, ys)])


def _near(shapes: Geometries, outline: shapely.Geometry) -> Geometries:
    return shapes[shapely.intersects(shapes, outline)] if len(shapes) else shapes


def _beside(lanes: Geometries, highways: Geometries) -> Geometries:
    """Lanes without the stretches that run along a highway; those that cross it stay."""
    if not len(highways) or not len(lanes):
        return lanes
    wide = shapely.union_all(shapely.buffer(highways, 8.0, quad_segs=2))
    clear = shapely.get_parts(shapely.difference(lanes, wide))
    along = shapely.get_parts(shapely.line_merge(shapely.intersection(lanes, wide)))
    return np.concatenate((clear, along[shapely.length(along) < 30]))


def _ditches(water: Geometries, outline: shapely.Geometry) -> Geometries:
    """Ditches that run beside the river on its floor, one for every longer reach."""
    long = water[shapely.length(water) > 900] if len(water) else water
    if not len(long):
        return np.array([], dtype=object)
    lines = shapely.boundary(shapely.simplify(shapely.buffer(long, 55.0, quad_segs=6), 1.5))
    inner = shapely.difference(lines, shapely.union_all(shapely.buffer(water, 45.0)))
    inner = shapely.intersection(inner, outline)
    parts = shapely.get_parts(shapely.line_merge(inner))
    parts = parts[(shapely.get_type_id(parts) == 1) & (shapely.length(parts) > 120)]
    parts = parts[np.argsort(-shapely.length(parts), kind="stable")][: 1 + len(long) // 2]
    return np.asarray(shapely.buffer(parts, 1.2, cap_style="flat", quad_segs=2))
