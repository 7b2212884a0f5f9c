"""Land told from cracks between two maps, by several methods: ``python -m benchmarks.strips``.

Blocks are weighed against the land that was left out when a county was made.
For narrow land, strips of known width are taken out of the true parcels, along
roads and between fields, before they are drawn with their errors; a strip is
found if half of it lies in rows that are called BLOCK or STRIP. Widths were
chosen on seeds 41 to 44; the seeds here are others. ``--tools`` compares the
coverage tools of shapely on two of the seeds the widths were chosen on.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from benchmarks.accuracy import scattered, scores
from geo.reconcile.border import border_error
from geo.reconcile.overlay import OverlaySettings, overlay
from geo.reconcile.shape import BLOCK, SLIVER, STRIP, ShapeSettings, mean_width, shape
from geo.sample import SampleSettings, county
from geo.sample.noise import digitised
from geo.topology import repair

SEEDS: Final = (31, 32, 33, 51, 52, 53)
CHOSEN_ON: Final = (41, 42)
NOISE_M: Final = ((0.25, 0.5), (0.5, 1.0), (0.5, 2.0), (0.5, 3.0), (1.0, 4.0), (2.0, 5.0))
OTHER_NOISE_M: Final = ((0.0, 1.5), (1.5, 2.5), (0.0, 4.0), (3.0, 4.0))
STRIP_WIDTHS_M: Final = (2, 3, 4, 6, 8)
STRIPS: Final = 80  # planted in a county, at most half of them along roads
_BEFORE: Final = ShapeSettings(min_strip_area_m2=np.inf)  # the rest of a piece stays as blocks leave it
_ONE: Final = OverlaySettings(jobs=1)  # processor time is compared

Geometries = npt.NDArray[np.object_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Laid:
    """Two maps on each other, and what was truly left out."""

    patches: gpd.GeoDataFrame
    parcels: gpd.GeoDataFrame
    pieces: gpd.GeoDataFrame
    truth: Geometries
    overlay_s: float  # processor time of the overlay


class Told(NamedTuple):
    """Rows of a method."""

    rows: Geometries
    shape: npt.NDArray[np.object_]


Method = Callable[[Laid], Told]


def plain(laid: Laid) -> Told:
    """Every piece is a block."""
    rows = laid.pieces.geometry.to_numpy()
    return Told(rows, np.full(len(rows), BLOCK, dtype=object))


def thresholds(laid: Laid, *, width_m: float = 0.0) -> Told:
    """Pieces of 100 m² and of some mean width are blocks, others of 50 m² and 1.5 m strips."""
    rows = laid.pieces.geometry.to_numpy()
    return Told(rows, _by_size(rows, (shapely.area(rows) >= 100) & (mean_width(rows) >= width_m)))


def opened(laid: Laid) -> Told:
    """Blocks opened by 5 m everywhere; of the rest, rows of 50 m² and a mean width of 1.5 m are strips."""
    table = shape(laid.pieces, _BEFORE, jobs=1)
    rows = table.geometry.to_numpy()
    return Told(rows, _by_size(rows, table["piece_shape"].eq(BLOCK).to_numpy(dtype=bool)))


def two_openings(laid: Laid) -> Told:
    """Blocks opened by 5 m and strips by their widest place, the same widths everywhere."""
    table = shape(laid.pieces, jobs=1)
    return Told(table.geometry.to_numpy(), table["piece_shape"].to_numpy(dtype=object))


def adaptive(laid: Laid) -> Told:
    """The product: both widths from the error that overlaps of parcels show."""
    error = border_error(laid.parcels, laid.patches)
    table = shape(laid.pieces, gap_width_m=error.gap_width_m, jobs=1)
    return Told(table.geometry.to_numpy(), table["piece_shape"].to_numpy(dtype=object))


def closed(laid: Laid) -> Told:
    """Cover of each patch grown and shrunk by half of 5 m; what it leaves goes by thresholds."""
    land = laid.patches.geometry.to_numpy()
    left = laid.pieces.dissolve("patch_row").geometry.reindex(range(len(land)))
    cover = shapely.difference(land, left.fillna(shapely.Polygon()).to_numpy())
    grown = shapely.buffer(cover, 2.5, join_style="mitre", mitre_limit=2.0)
    closing = shapely.buffer(grown, -2.49, join_style="mitre", mitre_limit=2.0)
    rows = shapely.get_parts(shapely.difference(land, repair(closing).fixed))
    return Told(rows, _by_size(rows, (shapely.area(rows) >= 100) & (mean_width(rows) >= 2.5)))


def cleaned(laid: Laid) -> Told:
    """Parcels made a coverage, gaps up to 5 m closed; then overlay and thresholds."""
    shapes = shapely.coverage_clean(laid.parcels.geometry.to_numpy(), gap_width=5.0)
    return thresholds(_again(laid, shapes), width_m=2.5)


def simplified(laid: Laid) -> Told:
    """Parcels simplified as a coverage by 1 m; then overlay and opening."""
    return opened(_again(laid, shapely.coverage_simplify(laid.parcels.geometry.to_numpy(), 1.0)))


def snapped(laid: Laid) -> Told:
    """Parcels snapped to edges of patches within 1 m; then overlay and opening."""
    edges = shapely.union_all(shapely.boundary(laid.patches.geometry.to_numpy()))
    return opened(_again(laid, shapely.snap(laid.parcels.geometry.to_numpy(), edges, 1.0)))


METHODS: Final[dict[str, Method]] = {
    "plain overlay": plain,
    "area ≥ 100 m²": thresholds,
    "area and mean width ≥ 2.5 m": lambda laid: thresholds(laid, width_m=2.5),
    "opening 5 m": opened,
    "two openings, fixed": two_openings,
    "by the village's own error": adaptive,
}
TOOLS: Final[dict[str, Method]] = {
    "opening 5 m": opened,
    "closing 5 m": closed,
    "coverage_clean, gaps 5 m": cleaned,
    "coverage_simplify 1 m, opening": simplified,
    "snap to patches 1 m, opening": snapped,
    "by the village's own error": adaptive,
}


def laid_county(settings: SampleSettings, share: float = 0.0) -> Laid:
    """A county as it was made, collective farmland only; ``share`` of its parcels taken out singly."""
    made = county(settings)
    parcels, truth = scattered(made, share)
    held = parcels[parcels["has_rights"] & parcels["parcel_class"].eq("10")]
    return _laid(_farmland(made.survey), held.geometry.to_numpy(), truth.geometry.to_numpy())


def bent_county(settings: SampleSettings, most_m: float) -> Laid:
    """A county whose parcels share their borders, as a good cadastre's do, but lie off by a smooth error."""
    made = county(settings)
    held = made.parcels[made.parcels["has_rights"] & made.parcels["parcel_class"].eq("10")]
    rng = np.random.default_rng([settings.seed, 6])
    phase, turn = rng.uniform(0, 2 * np.pi, (2, 2)), 2 * np.pi / 160

    def bent(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        wave = np.sin(turn * points[:, None, ::-1] + phase)[:, 0] * np.sin(turn * points + phase[1])
        return points + most_m * wave

    drawn = shapely.transform(held.geometry.to_numpy(), bent)
    return _laid(_farmland(made.survey), drawn, made.truth_pieces.geometry.to_numpy())


def planted_county(
    seed: int, noise_m: tuple[float, float], *, patches: int
) -> tuple[Laid, gpd.GeoDataFrame, shapely.Geometry]:
    """A county with narrow strips left out, the strips with their widths, and all land without a parcel."""
    made = county(_settings(seed, (0.0, 0.0), patches))
    land = _farmland(made.survey)
    held = made.parcels[made.parcels["has_rights"] & made.parcels["parcel_class"].eq("10")]
    roads = made.survey[made.survey["land_class"].isin(["1003", "1006"])].geometry.to_numpy()
    true, strips = _planted(land, roads, held.geometry.to_numpy(), np.random.default_rng([seed, 5]))
    drawn = digitised(true.copy(), noise_m, np.random.default_rng([seed, round(100 * noise_m[1]), 8]))
    bare = overlay(land, gpd.GeoDataFrame(geometry=true, crs=land.crs), _ONE).pieces
    return _laid(land, drawn, made.truth_pieces.geometry.to_numpy()), strips, bare.union_all()


def block_scores(laid: Laid, method: Method) -> dict[str, float]:
    """Blocks against truth by area and by count, and the time taken as a share of the overlay's."""
    begun = time.process_time()
    told = method(laid)
    spent = time.process_time() - begun
    rows = told.rows[told.shape == BLOCK]
    by_area = scores(gpd.GeoDataFrame(geometry=rows), gpd.GeoDataFrame(geometry=laid.truth))
    of_found = _share_inside(rows, shapely.union_all(laid.truth)) >= 0.5
    of_truth = _share_inside(laid.truth, shapely.union_all(rows)) >= 0.5
    return by_area | {
        "count_precision": of_found.mean(),
        "count_recall": of_truth.mean(),
        "time_of_overlay": spent / laid.overlay_s,
    }


def strip_scores(
    laid: Laid, strips: gpd.GeoDataFrame, bare: shapely.Geometry, method: Method
) -> dict[str, float]:
    """Share of planted strips found, by width; rows called STRIP, and how many of them are land."""
    told = method(laid)
    land = shapely.union_all(told.rows[told.shape != SLIVER])
    found = _share_inside(strips.geometry.to_numpy(), land) >= 0.5
    rows = told.rows[told.shape == STRIP]
    out = {f"{width} m": found[strips["width_m"] == width].mean() for width in STRIP_WIDTHS_M}
    true = int((_share_inside(rows, bare) >= 0.5).sum())
    return out | {"all": found.mean(), "STRIP rows": len(rows), "of them land": true}


def _settings(
    seed: int, noise_m: tuple[float, float], patches: int, *, messy: bool = False
) -> SampleSettings:
    return SampleSettings(
        villages=2,
        seed=seed,
        noise_m=noise_m,
        patches_per_village=patches,
        share_based_villages=0,
        messy=messy,
    )


def _farmland(survey: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    tilled = survey["land_class"].isin(["0101", "0102", "0103"])
    land = survey[tilled & ~survey["ownership_kind"].str[:1].isin(["1", "2"])].reset_index(drop=True)
    return land.set_geometry(repair(land.geometry.to_numpy()).fixed, crs=land.crs)


def _laid(land: gpd.GeoDataFrame, drawn: Geometries, truth: Geometries) -> Laid:
    shapes = repair(drawn[~(shapely.is_missing(drawn) | shapely.is_empty(drawn))]).fixed
    parcels = gpd.GeoDataFrame(geometry=shapes, crs=land.crs)
    begun = time.process_time()
    pieces = overlay(land, parcels, _ONE).pieces
    spent = time.process_time() - begun
    return Laid(patches=land, parcels=parcels, pieces=pieces, truth=truth, overlay_s=spent)


def _again(laid: Laid, drawn: Geometries) -> Laid:
    return _laid(laid.patches, np.asarray(drawn, dtype=object), laid.truth)


def _by_size(rows: Geometries, is_block: npt.NDArray[np.bool_]) -> npt.NDArray[np.object_]:
    is_strip = (shapely.area(rows) >= 50) & (mean_width(rows) >= 1.5)
    return np.where(is_block, BLOCK, np.where(is_strip, STRIP, SLIVER)).astype(object)


def _share_inside(rows: Geometries, land: shapely.Geometry) -> npt.NDArray[np.float64]:
    shapely.prepare(land)
    return np.asarray(shapely.area(shapely.intersection(rows, land)) / shapely.area(rows))


def _planted(
    land: gpd.GeoDataFrame, roads: Geometries, true: Geometries, rng: np.random.Generator
) -> tuple[Geometries, gpd.GeoDataFrame]:
    """True parcels less strips of known width, at least 25 m from each other; and the strips."""
    true, tree = true.copy(), shapely.STRtree(true)
    edges, ridges = list(_road_edges(land.geometry.to_numpy(), roads)), list(_field_borders(true))
    lines = [(edges[k], 1.0) for k in rng.permutation(len(edges))]
    lines += [(ridges[k], 0.5) for k in rng.permutation(len(ridges))]
    taken: list[shapely.Geometry] = []
    strips: list[tuple[float, shapely.Geometry]] = []
    for line, side in lines:
        along_road = side == 1.0
        if len(strips) >= (STRIPS // 2 if along_road else STRIPS):
            continue
        if taken and shapely.distance(line, np.array(taken)).min() < 25:
            continue
        width = STRIP_WIDTHS_M[len(strips) % len(STRIP_WIDTHS_M)]
        body = shapely.buffer(line, side * width, cap_style="flat", join_style="mitre", quad_segs=2)
        hit = tree.query(body, predicate="intersects")
        strip = shapely.union_all(shapely.intersection(true[hit], body))
        rest = [_largest(part) for part in shapely.difference(true[hit], body)]
        fits = 0.75 * width <= strip.area / line.length <= 1.25 * width
        whole = all(r.area >= max(150, 0.5 * t.area) for r, t in zip(rest, true[hit], strict=True))
        if not (fits and whole):
            continue
        true[hit] = [shapely.Polygon(part.exterior) for part in rest]
        taken.append(line)
        strips.append((width, strip))
    table = gpd.GeoDataFrame(strips, columns=["width_m", "geometry"], geometry="geometry", crs=land.crs)
    return true, table


def _road_edges(patches: Geometries, roads: Geometries) -> Iterator[shapely.LineString]:
    """Stretches of 30 m and more where farmland borders a road."""
    road, patch = shapely.STRtree(patches).query(roads, predicate="dwithin", distance=0.1)
    near = shapely.buffer(roads[road], 0.2, quad_segs=2)
    lines = shapely.line_merge(shapely.intersection(shapely.boundary(patches[patch]), near))
    yield from _long(lines)


def _field_borders(fields: Geometries) -> Iterator[shapely.LineString]:
    """Stretches of 30 m and more where two true parcels lie side by side."""
    one, other = shapely.STRtree(fields).query(fields, predicate="dwithin", distance=2.1)
    once = one < other
    near = shapely.buffer(fields[other[once]], 2.2, quad_segs=2)
    lines = shapely.line_merge(shapely.intersection(shapely.boundary(fields[one[once]]), near))
    yield from _long(lines)


def _long(lines: Geometries) -> Geometries:
    single = shapely.get_parts(lines)
    return single[(shapely.get_type_id(single) == 1) & (shapely.length(single) >= 30)]


def _largest(shape_: shapely.Geometry) -> shapely.Polygon:
    parts = shapely.get_parts(shape_)
    return max(parts, key=shapely.area) if len(parts) else shapely.Polygon()


def blocks_table(cases: list[tuple[object, Laid]], methods: dict[str, Method]) -> pd.DataFrame:
    """Means over counties, a row for each case and method."""
    rows = [
        {"case": case, "method": name} | block_scores(laid, method)
        for case, laid in cases
        for name, method in methods.items()
    ]
    table = pd.DataFrame(rows).groupby(["case", "method"], sort=False)
    return table.mean().join(table["f1"].min().rename("worst_f1"))


def strips_table(seeds: tuple[int, ...], patches: int) -> pd.DataFrame:
    """Planted strips found, means over counties; counts of rows are sums."""
    rows = []
    for noise in NOISE_M:
        for seed in seeds:
            laid, strips, bare = planted_county(seed, noise, patches=patches)
            for name in ("opening 5 m", "two openings, fixed", "by the village's own error"):
                scored = strip_scores(laid, strips, bare, METHODS[name])
                rows.append({"case": _name(noise), "method": name} | scored)
    table = pd.DataFrame(rows).groupby(["case", "method"], sort=False)
    counted = ["STRIP rows", "of them land"]
    return table.mean().drop(columns=counted).join(table[counted].sum())


def _name(noise_m: tuple[float, float]) -> str:
    return f"{noise_m[0]:g}-{noise_m[1]:g} m"


def draw(blocks: pd.DataFrame, strips: pd.DataFrame, path: Path) -> None:
    """F1 of blocks by method, and narrow strips found and STRIP rows that are land, before and now."""
    from matplotlib import pyplot as plt  # noqa: PLC0415 - only for the picture

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5.6), dpi=150)
    colours = ("#c8ccc4", "#b3b8b0", "#7b8288", "#0072b2", "#009e73", "#d55e00")
    for colour, name in zip(colours, METHODS, strict=True):
        if name != "two openings, fixed":
            f1 = blocks.xs(name, level="method")["f1"]
            left.plot(f1.index, f1, "o-", color=colour, label=name)
    left.set(title="Blocks, area-weighted F1", xlabel="error of each border", ylim=(0.78, 1.005))
    for colour, name in (("#0072b2", "opening 5 m"), ("#d55e00", "by the village's own error")):
        rows = strips.xs(name, level="method")
        land = rows["of them land"] / rows["STRIP rows"].where(rows["STRIP rows"] >= STRIPS // 4)
        right.plot(rows.index, rows["all"], "o-", color=colour, label=f"strips of 2-8 m found: {name}")
        right.plot(rows.index, land, "s:", color=colour, label=f"rows called STRIP that are land: {name}")
    right.set(title="Narrow land", xlabel="error of each border", ylim=(0, 1.05))
    for axes in (left, right):
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), fontsize=8, frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})


def main() -> None:
    """Print the tables; with ``--figure`` draw them too."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--patches", type=int, default=150, help="patches a village, about")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--tools", action="store_true", help="shapely's coverage tools instead")
    parser.add_argument("--cost", action="store_true", help="processor time on villages of full size instead")
    parser.add_argument("--figure", type=Path)
    asked = parser.parse_args()
    pd.set_option("display.width", 200)
    both = {name: METHODS[name] for name in ("opening 5 m", "by the village's own error")}
    if asked.tools:
        cases: list[tuple[object, Laid]] = [
            (_name(noise), laid_county(_settings(seed, noise, asked.patches)))
            for noise in ((0.5, 1.0), (0.5, 3.0), (2.0, 5.0))
            for seed in CHOSEN_ON
        ]
        print(blocks_table(cases, TOOLS).round(3).to_string())
        return
    if asked.cost:
        full = [(n, SampleSettings(villages=1, seed=54, noise_m=n, share_based_villages=0)) for n in NOISE_M]
        print(blocks_table([(_name(n), laid_county(s)) for n, s in full], both)["time_of_overlay"].round(2))
        return
    seeds = tuple(asked.seeds)
    cases = [(_name(n), laid_county(_settings(s, n, asked.patches))) for n in NOISE_M for s in seeds]
    blocks = blocks_table(cases, METHODS)
    print(blocks.round(3).to_string())
    strips = strips_table(seeds, asked.patches)
    print(strips.round(3).to_string())
    other: list[tuple[object, Laid]] = []
    for seed in seeds:
        other += [(_name(n), laid_county(_settings(seed, n, asked.patches))) for n in OTHER_NOISE_M]
        other += [
            (f"scattered, {_name(n)}", laid_county(_settings(seed, n, asked.patches), 0.35))
            for n in NOISE_M[1:]
        ]
        exact = _settings(seed, (0.0, 0.0), asked.patches)
        other += [(f"one border for two, off {most:g} m", bent_county(exact, most)) for most in (1, 3)]
        other.append(("messy", laid_county(_settings(seed, (0.5, 3.0), asked.patches, messy=True))))
    print(blocks_table(other, both).round(3).to_string())
    if asked.figure is not None:
        draw(blocks, strips, asked.figure)


if __name__ == "__main__":
    main()
