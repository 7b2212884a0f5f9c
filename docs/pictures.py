"""Draws the pictures of the readme from a workspace of a real run.

``python docs/pictures.py out/demo/county.gpkg`` writes docs/images/county.png, 1600 x 900:
the county, a close look at where the classes meet, and what it adds up to.
"""

import sys
from pathlib import Path

import geopandas as gpd
import matplotlib as mpl
import numpy as np
import shapely
from matplotlib import font_manager, patheffects
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import geo.workspace
from geo.area import mu
from geo.codes import CLASS_LETTERS

PICTURE = Path(__file__).parent / "images" / "county.png"

FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "PingFang SC", "Microsoft YaHei")
PAPER, INK, QUIET = "#fbfaf6", "#2d3436", "#7b8288"
LAND = {
    "COLLECTIVE": ("集体耕地图斑", "#e9efd9", "#b9c6a3"),
    "STATE": ("国有耕地", "#e6eaef", "#8494a5"),
    "SHARE_BASED": ("确股村耕地", "#f3e9d2", "#c9b382"),
}
CLASSES = {
    "UNCONFIRMED": ("未确权地", "#d55e00"),
    "NEWLY_ADDED": ("新增地", "#0072b2"),
    "UNDETERMINED": ("待定", "#f0e442"),
}
NARROW = {"STRIP": ("细条", "#a3a6d0"), "SLIVER": ("碎屑", "#b983a5")}
CONFIRMED = ("已确权地块", "#d3d7d3", "#ffffff")

CLOSE_M = (640.0, 498.0)  # width and height of the close look
ENOUGH_M2 = 4000.0  # of one piece in it: a larger one only fills the window
LABELLED_M2 = 400.0  # the survey's own least area of a farmland patch
LABEL_M = (58.0, 30.0)  # room that a label takes there
SAFE_M = 1.0  # the narrowest thing worth a colour in the overview

Layers = dict[str, gpd.GeoDataFrame]


def main() -> None:
    """Draw the readme's picture from the workspace named on the command line."""
    source = sys.argv[1] if len(sys.argv) > 1 else "out/demo/county.gpkg"
    county = geo.workspace.open(source)
    layers = {name: county.read(name) for name in ("patches", "parcels", "pieces", "villages")}
    figure = picture(layers)
    # No time of day and no program version in the file: the same run gives the same picture.
    figure.savefig(PICTURE, metadata={"Software": None})
    print(PICTURE)


def picture(layers: Layers) -> Figure:
    """The county at left, a close look and the sums at right."""
    known = {font.name for font in font_manager.fontManager.ttflist}
    mpl.rcParams["font.family"] = [name for name in FONTS if name in known] + ["DejaVu Sans"]
    figure = plt.figure(figsize=(16, 9), dpi=100, facecolor=PAPER)
    whole = figure.add_axes((0.012, 0.03, 0.575, 0.865))
    close = figure.add_axes((0.605, 0.365, 0.383, 0.53))
    foot = figure.add_axes((0.605, 0.03, 0.383, 0.315))

    window = _where_classes_meet(layers)
    _draw(whole, layers, box=None)
    _fit(whole, _extent(layers), margin=0.02)
    _names(whole, layers["villages"])
    _scale_bar(whole)
    west, south, east, north = window
    whole.add_patch(
        Rectangle(
            (west, south), east - west, north - south, fill=False, edgecolor=INK, linewidth=1.6, zorder=9
        )
    )

    _draw(close, layers, box=window)
    _fit(close, window)
    _codes(close, layers["pieces"], window)
    _scale_bar(close)
    for axes in (whole, close):
        axes.set(xticks=[], yticks=[], xlabel="", ylabel="", facecolor="#f6f4ec")
        for spine in axes.spines.values():
            spine.set(color=INK, linewidth=0.8)

    _sums(foot, layers)
    figure.text(
        0.012, 0.945, "三调套合确权：未确权耕地一览", fontsize=25, color=INK, weight="bold", va="center"
    )
    figure.text(
        0.988, 0.945, "套图 Taotu · 示例县（生成数据）", fontsize=13, color=QUIET, ha="right", va="center"
    )
    return figure


def _draw(axes: Axes, layers: Layers, box: tuple[float, float, float, float] | None) -> None:
    """All layers, farmland first and pieces last; of ``box`` only, if there is one."""
    near = {
        name: table if box is None else table.cx[box[0] : box[2], box[1] : box[3]]
        for name, table in layers.items()
    }
    line = 0.25 if box is None else 0.9
    for kind, (_, face, edge) in LAND.items():
        _fill(axes, near["patches"][near["patches"]["patch_kind"].eq(kind)], face, edge, line)
    parcels = near["parcels"]
    held = parcels[parcels["parcel_class"].eq("10") & parcels["has_rights"]]
    _fill(axes, held, CONFIRMED[1], CONFIRMED[2], line * 0.8)
    pieces = near["pieces"]
    for shape, (_, face) in NARROW.items():
        rows = pieces[pieces["piece_shape"].eq(shape)]
        # Hairs would only grey the overview: the close look shows them.
        _fill(axes, rows if box is not None else rows[rows["mean_width_m"] >= SAFE_M], face, "none", 0)
    for name, (_, face) in CLASSES.items():
        blocks = pieces[pieces["piece_shape"].eq("BLOCK") & pieces["piece_class"].eq(name)]
        _fill(axes, blocks, face, INK if box is not None else face, line * 0.7)
    if len(layers["villages"]):
        layers["villages"].boundary.plot(
            ax=axes, aspect=None, color=INK, linewidth=1.1, linestyle=(0, (7, 3, 1.5, 3)), zorder=8
        )


def _fill(axes: Axes, rows: gpd.GeoDataFrame, face: str, edge: str, line: float) -> None:
    if len(rows):
        rows.plot(ax=axes, facecolor=face, edgecolor=edge, linewidth=line, aspect=None)


def _extent(layers: Layers) -> tuple[float, float, float, float]:
    layer = layers["villages"] if len(layers["villages"]) else layers["patches"]
    return tuple(layer.total_bounds)


def _fit(axes: Axes, bounds: tuple[float, float, float, float], margin: float = 0.0) -> None:
    """Show all of ``bounds``, true to scale, on the whole of the axes."""
    west, south, east, north = bounds
    frame = axes.get_window_extent()
    metres = (1 + 2 * margin) * max((east - west) / frame.width, (north - south) / frame.height)  # a pixel
    x, y = (west + east) / 2, (south + north) / 2
    axes.set_xlim(x - metres * frame.width / 2, x + metres * frame.width / 2)
    axes.set_ylim(y - metres * frame.height / 2, y + metres * frame.height / 2)


def _where_classes_meet(layers: Layers) -> tuple[float, float, float, float]:
    """The window that shows most of every class and of confirmed parcels; much of one cannot make up for another."""
    pieces, parcels = layers["pieces"], layers["parcels"]
    blocks = pieces[pieces["piece_shape"].eq("BLOCK")].sort_values("piece_key")
    blocks = blocks if len(blocks) else pieces.sort_values("piece_key")
    middle = shapely.point_on_surface(blocks.geometry.to_numpy())
    x, y = shapely.get_x(middle), shapely.get_y(middle)
    half_width, half_height = CLOSE_M[0] / 2, CLOSE_M[1] / 2
    boxes = shapely.box(x - half_width, y - half_height, x + half_width, y + half_height)
    shown = [blocks[blocks["piece_class"].eq(name)] for name in CLASSES] + [parcels]
    score = np.zeros(len(blocks))
    for rows in shown:
        if len(rows):
            at = shapely.STRtree(shapely.point_on_surface(rows.geometry.to_numpy()))
            window, row = at.query(boxes, predicate="intersects")
            area = np.minimum(rows.area.to_numpy(), ENOUGH_M2)[row]
            score += np.sqrt(np.bincount(window, weights=area, minlength=len(blocks)))
    return tuple(shapely.bounds(boxes[int(score.argmax())]))


def _names(axes: Axes, villages: gpd.GeoDataFrame) -> None:
    for village in villages.itertuples():
        at = village.geometry.representative_point()
        _halo(
            axes.text(
                at.x,
                at.y,
                (village.village_name or "").removesuffix("民委员会"),
                fontsize=15,
                color=INK,
                ha="center",
                zorder=10,
            )
        )


def _codes(axes: Axes, pieces: gpd.GeoDataFrame, window: tuple[float, float, float, float]) -> None:
    """Class letter, serial and area on the blocks of the window, the large ones first, none over another."""
    inner = shapely.box(*window).buffer(-CLOSE_M[0] * 0.05)
    large = pieces["piece_shape"].eq("BLOCK") & (pieces["area_m2"] >= LABELLED_M2)
    shown = pieces[large & pieces.representative_point().within(inner)]
    taken: list[tuple[float, float]] = []
    for piece in shown.sort_values(["area_m2", "piece_key"], ascending=[False, True]).head(40).itertuples():
        at = piece.geometry.representative_point()
        if any(abs(at.x - x) < LABEL_M[0] and abs(at.y - y) < LABEL_M[1] for x, y in taken):
            continue
        taken.append((at.x, at.y))
        label = f"{CLASS_LETTERS[piece.piece_class]}-{piece.piece_code[-4:]}\n{piece.area_mu:.2f} 亩"
        _halo(axes.text(at.x, at.y, label, fontsize=9, color=INK, ha="center", va="center", zorder=10))


def _halo(text: object) -> None:
    text.set_path_effects([patheffects.withStroke(linewidth=3, foreground=PAPER)])


def _scale_bar(axes: Axes) -> None:
    """A bar of a round length, about a fifth of the width, at the lower left."""
    (west, east), (south, north) = axes.get_xlim(), axes.get_ylim()
    wanted = (east - west) / 5
    power = 10 ** np.floor(np.log10(wanted))
    length = float(max(step * power for step in (1, 2, 5) if step * power <= wanted))
    x, y = west + (east - west) * 0.03, south + (north - south) * 0.04
    axes.plot([x, x + length], [y, y], color=INK, linewidth=3, solid_capstyle="butt", zorder=10)
    name = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"  # noqa: PLR2004 - metres in a kilometre
    _halo(
        axes.text(
            x + length / 2, y + (north - south) * 0.012, name, fontsize=11, color=INK, ha="center", zorder=10
        )
    )


def _sums(axes: Axes, layers: Layers) -> None:
    """Legend and sums in one table: every colour with its number of rows and its area."""
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    patches, pieces = layers["patches"], layers["pieces"]
    shape = pieces["piece_shape"]
    left = [
        (title, face, edge, rows, rows["patch_area_m2"].sum())
        for kind, (title, face, edge) in LAND.items()
        if len(rows := patches[patches["patch_kind"].eq(kind)])
    ]
    left.append(
        (
            CONFIRMED[0] + "覆盖",
            CONFIRMED[1],
            QUIET,
            None,
            patches.loc[patches["patch_kind"].eq("COLLECTIVE"), "covered_area_m2"].sum(),
        )
    )
    right = []
    for name, (title, face) in CLASSES.items():
        rows = pieces[shape.eq("BLOCK") & pieces["piece_class"].eq(name)]
        right.append((title, face, INK, rows, rows["area_m2"].sum()))
    for kind, (title, face) in NARROW.items():
        rows = pieces[shape.eq(kind)]
        right.append((title, face, face, rows, rows["area_m2"].sum()))
    for at, title, lines in ((0.0, "图斑与确权", left), (0.53, "剩余图块", right)):
        axes.text(at, 0.95, title, fontsize=14, weight="bold", color=INK, va="center")
        axes.text(at + 0.47, 0.95, "亩", fontsize=11, color=QUIET, va="center", ha="right")
        for row, (name, face, edge, rows, area_m2) in enumerate(lines):
            y = 0.79 - row * 0.155
            axes.add_patch(
                Rectangle((at, y - 0.045), 0.045, 0.09, facecolor=face, edgecolor=edge, linewidth=0.9)
            )
            axes.text(at + 0.06, y, name, fontsize=13, color=INK, va="center")
            if rows is not None:
                axes.text(at + 0.31, y, f"{len(rows):,}", fontsize=11, color=QUIET, va="center", ha="right")
            axes.text(
                at + 0.47, y, f"{float(mu(area_m2)):,.2f}", fontsize=13, color=INK, va="center", ha="right"
            )


if __name__ == "__main__":
    main()
