"""Where polygons cover land twice, leave it out, or reach beyond it: pieces, and noise.

Every place is measured by overlay, never by a test of edges, so that a gap is
seen as well as an overlap. A piece smaller or thinner than a line is drawn is
noise: it is told in one sum.
"""

from dataclasses import dataclass
from typing import Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyproj
import shapely

from geo.grids.kernel import Floats, Ints

Geometries = npt.NDArray[np.object_]

TOLD_NOISE_M2: Final = 0.1  # less noise than this in a village is the arithmetic's, not the pen's


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSettings:
    """What is noise of drawing and not land."""

    least_area_m2: float = 1.0  # a smaller piece is told only in a sum
    least_width_m: float = 0.1  # so is a thinner one: twice its area over its border


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pieces:
    """Land that is where it should not be, or is not where it should."""

    rows: gpd.GeoDataFrame  # owner, area_m2 (planar), geometry: a polygon a row, largest first in each owner
    noise_m2: Floats  # of each owner
    noise_count: Ints

    @property
    def area_m2(self) -> Floats:
        """Area of each owner's pieces, noise too."""
        owner, area = self.rows["owner"], self.rows["area_m2"]
        whole: Floats = np.bincount(owner, weights=area, minlength=len(self.noise_m2)) + self.noise_m2
        return whole

    def by_owner(self) -> gpd.GeoDataFrame:
        """One row an owner that has any: its largest piece, the area of all (``sum_m2``), and ``places``."""
        sums = self.rows.groupby("owner")["area_m2"].agg(["sum", "size"])
        first = self.rows.drop_duplicates("owner")
        return first.assign(
            sum_m2=sums["sum"].reindex(first["owner"]).to_numpy(),
            places=sums["size"].reindex(first["owner"]).to_numpy(),
        ).reset_index(drop=True)


def holders(shapes: Geometries, spots: Geometries) -> tuple[Ints, Ints]:
    """For each point the first polygon that holds it, or -1; and in how many it lies well inside.

    A point on a border is held by the first polygon it touches, unless another
    has it inside.
    """
    first = np.full(len(spots), -1, dtype=np.int64)
    times = np.zeros(len(spots), dtype=np.int64)
    if not len(shapes):
        return first, times
    tree = shapely.STRtree(shapes)
    for predicate in ("within", "intersects"):
        spot, shape = tree.query(spots, predicate=predicate)
        if predicate == "within":
            times += np.bincount(spot, minlength=len(spots))
        least = np.full(len(spots), len(shapes), dtype=np.int64)
        np.minimum.at(least, spot, shape)
        open_ = (first < 0) & (least < len(shapes))
        first[open_] = least[open_]
    return first, times


def doubled(shapes: Geometries) -> tuple[Ints, Ints, Geometries]:
    """Pairs of polygons that share land, the lesser position first, and what they share."""
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    pairs = np.column_stack([one, other])[one < other]
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    both = shapely.intersection(shapes[pairs[:, 0]], shapes[pairs[:, 1]])
    some = shapely.area(both) > 0
    return pairs[some, 0], pairs[some, 1], both[some]


def uncovered(frames: Geometries, shapes: Geometries) -> Geometries:
    """What of each frame no polygon covers."""
    tree = shapely.STRtree(shapes)
    rest = [
        shapely.difference(frame, shapely.union_all(shapes[np.sort(tree.query(frame))])) for frame in frames
    ]
    return np.array([*rest, None], dtype=object)[:-1]


def beyond(shapes: Geometries, frames: Geometries, frame: Ints) -> Geometries:
    """What of each polygon lies beyond the frame it is in; all of it where that is -1."""
    out = shapes.copy()
    inside = frame >= 0
    out[inside] = shapely.difference(shapes[inside], frames[frame[inside]])
    return out


def pieces(shapes: Geometries, settings: CheckSettings, crs: pyproj.CRS | None) -> Pieces:
    """Polygons of each geometry (the owner is its position), those that count apart from noise."""
    parts, owner = shapely.get_parts(shapes, return_index=True)
    parts, inner = shapely.get_parts(parts, return_index=True)  # a collection may hold multipolygons
    owner = owner[inner]
    area, border = shapely.area(parts), shapely.length(parts)
    there = area > 0
    parts, owner, area, border = parts[there], owner[there], area[there], border[there]
    large = (area >= settings.least_area_m2) & (2 * area / border >= settings.least_width_m)
    rows = gpd.GeoDataFrame({"owner": owner[large], "area_m2": area[large]}, geometry=parts[large], crs=crs)
    corner = shapely.bounds(rows.geometry.to_numpy()).reshape(-1, 4)
    order = np.lexsort((corner[:, 1], corner[:, 0], -rows["area_m2"], rows["owner"]))
    return Pieces(
        rows=rows.iloc[order].reset_index(drop=True),
        noise_m2=np.bincount(owner[~large], weights=area[~large], minlength=len(shapes)).astype(np.float64),
        noise_count=np.bincount(owner[~large], minlength=len(shapes)),
    )


def noise_by(keys: pd.Series, *found: tuple[Ints, Pieces]) -> pd.DataFrame:
    """Noise added up by key (``noise_m2, places``), where there is enough of it to tell.

    Parameters
    ----------
    keys : Series of str
        What noise is added up by.
    found : pairs
        For each set of pieces the position in ``keys`` of every owner.
    """
    rows = pd.concat(
        [
            pd.DataFrame({"key": keys.to_numpy()[at], "noise_m2": one.noise_m2, "places": one.noise_count})
            for at, one in found
        ]
    )
    sums = rows.groupby("key", sort=True).sum()
    return sums[sums["noise_m2"] >= TOLD_NOISE_M2].reset_index()
