"""Draws the picture of grids in the readme from a real run on the sample county.

``python -m docs.grid_pictures`` reads data_samples, brings its hand-drawn grids into the norm and
writes docs/images/grids.png, 1600 x 900: a village's grids as they were drawn, and as they are adjusted.
"""

import tempfile
from pathlib import Path

import geopandas as gpd
import matplotlib as mpl
import numpy as np
import shapely
from matplotlib import font_manager, patheffects
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from docs.pictures import FONTS, INK, PAPER, QUIET
from geo import workspace
from geo.exchange.grid_file import read_grids
from geo.grid_pipeline import GridInputs, adjust_files, checked_files
from geo.grids import GridSettings, profile_of

SAMPLE = Path(__file__).parents[1] / "data_samples"
PICTURE = Path(__file__).parent / "images" / "grids.png"
NORM = profile_of("rural20")
COLOURS = {"IN_BAND": ("合格", "#d7e8d4"), "UNDER": ("不足", "#f6d9a8"), "OVER": ("超出", "#eeb4a6")}
MOVED = "#b2182b"
MARGIN_M = 30.0  # around the hamlet that is shown
APART_M = 80.0  # homes further apart are of different hamlets


def main() -> None:
    """Adjust the sample county's grids and draw the village in which most of them were out of the norm."""
    drawn = SAMPLE / "网格" / "现状网格.gpkg"
    inputs = GridInputs(
        households=SAMPLE / "住户", villages=SAMPLE / "三调", survey=SAMPLE / "三调", grids=drawn
    )
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "w.gpkg"
        made = adjust_files(work, inputs, settings=GridSettings(profile=NORM, budget="standard"), jobs=1)
        before, _ = checked_files(work, GridInputs(grids=drawn), profile=NORM)
        land = workspace.open(work).read("villages")
    out = before[before["balance"].isin(["UNDER", "OVER"])]
    code = out["village_code"].value_counts().sort_index(kind="stable").idxmax()
    figure = picture(
        gpd.GeoDataFrame(land[land["village_code"].eq(code)]),
        before[before["village_code"].eq(code)],
        made.grids[made.grids["village_code"].eq(code)],
        made.households[made.households["village_code"].eq(code)],
        read_grids(drawn, near=made.grids).table,
    )
    # No time of day and no program version in the file: the same run gives the same picture.
    figure.savefig(PICTURE, metadata={"Software": None})
    print(PICTURE)


def picture(
    land: gpd.GeoDataFrame,
    before: gpd.GeoDataFrame,
    after: gpd.GeoDataFrame,
    homes: gpd.GeoDataFrame,
    drawn: gpd.GeoDataFrame,
) -> Figure:
    """The village before at left, after at right; homes that changed grid in red."""
    known = {font.name for font in font_manager.fontManager.ttflist}
    mpl.rcParams["font.family"] = [name for name in FONTS if name in known] + ["DejaVu Sans"]
    figure = plt.figure(figsize=(16, 9), dpi=100, facecolor=PAPER)
    spots = shapely.get_coordinates(homes.geometry.to_numpy())
    largest = spots[_hamlet(spots)]
    middle = (largest.min(axis=0) + largest.max(axis=0)) / 2
    half = (np.ptp(largest, axis=0) / 2 + MARGIN_M).max()
    was = gpd.sjoin(homes[["geometry"]], drawn[["grid_code", "geometry"]], predicate="intersects")
    was = was[~was.index.duplicated()]["grid_code"].reindex(homes.index)
    moved = (was.notna() & was.ne(homes["grid_code"])).to_numpy()
    name = str(land["village_name"].iloc[0]).removesuffix("村民委员会")
    for at, (title, rows) in enumerate((("现状：手工划的网格", before), ("调整后", after))):
        axes = figure.add_axes((0.012 + 0.494 * at, 0.085, 0.482, 0.79))
        frame = axes.get_window_extent()
        axes.set_xlim(
            middle[0] - half * frame.width / frame.height, middle[0] + half * frame.width / frame.height
        )
        axes.set_ylim(middle[1] - half, middle[1] + half)
        bounds = axes.get_xlim(), axes.get_ylim()
        _draw(axes, land, rows, spots, homes["households"].to_numpy(dtype=float), moved & (at == 1))
        axes.set_xlim(*bounds[0])
        axes.set_ylim(*bounds[1])
        counts = rows["balance"].value_counts()
        text = "，".join(f"{word} {counts[key]}" for key, (word, _) in COLOURS.items() if key in counts)
        axes.set_title(f"{title}（{len(rows)} 个：{text}）", fontsize=14, color=INK, loc="left")
    shifted = int(homes["households"].to_numpy()[moved].sum())
    total = int(homes["households"].sum())
    head = f"{name}：{total} 户，标准 {NORM.lower}–{NORM.upper} 户；换网格的 {shifted} 户"
    figure.text(0.012, 0.945, head, fontsize=23, color=INK, weight="bold", va="center")
    figure.text(
        0.988, 0.945, "套图 Taotu · 示例县（生成数据）", fontsize=13, color=QUIET, ha="right", va="center"
    )
    handles = [Patch(facecolor=face, edgecolor=INK, label=word) for word, face in COLOURS.values()]
    handles += [
        Line2D([], [], marker="o", linestyle="", color=INK, markersize=4, label="住房（大小为户数）"),
        Line2D([], [], marker="o", linestyle="", color=MOVED, markersize=6, label="换了网格的住房"),
    ]
    figure.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0.01, 0.01), ncols=5, frameon=False, fontsize=13
    )
    return figure


def _hamlet(spots: np.ndarray) -> np.ndarray:
    """The homes that hang together with the most others."""
    pairs = KDTree(spots).query_pairs(APART_M, output_type="ndarray")
    joined = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(spots), len(spots)))
    label = connected_components(joined, directed=False)[1]
    return label == np.bincount(label).argmax()


def _draw(  # noqa: PLR0913, PLR0917 - a panel in its parts
    axes: Axes,
    land: gpd.GeoDataFrame,
    rows: gpd.GeoDataFrame,
    spots: np.ndarray,
    weight: np.ndarray,
    moved: np.ndarray,
) -> None:
    faces = [COLOURS.get(balance, ("", "#e6eaef"))[1] for balance in rows["balance"]]
    rows.plot(ax=axes, color=faces, edgecolor=INK, linewidth=1.1, aspect=None)
    land.boundary.plot(ax=axes, color=INK, linewidth=1.6, aspect=None)
    size = 5 + 5 * np.minimum(weight, 24)
    axes.scatter(*spots[~moved].T, s=size[~moved], color="#4a5157", linewidth=0, zorder=5)
    axes.scatter(*spots[moved].T, s=size[moved], color=MOVED, linewidth=0, zorder=6)
    edge = [patheffects.withStroke(linewidth=3, foreground="white")]
    (west, east), (south, north) = axes.get_xlim(), axes.get_ylim()
    shown = rows[rows["centre_x"].between(west, east) & rows["centre_y"].between(south, north)]
    for x, y, count in zip(shown["centre_x"], shown["centre_y"], shown["households"], strict=True):
        axes.annotate(
            f"{count}", (x, y), fontsize=15, color=INK, weight="bold", ha="center", va="center", zorder=9,
            path_effects=edge,
        )  # fmt: skip
    axes.set(xticks=[], yticks=[], xlabel="", ylabel="", facecolor="#f6f4ec")
    for spine in axes.spines.values():
        spine.set(color=INK, linewidth=0.8)


if __name__ == "__main__":
    main()
