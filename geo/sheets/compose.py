"""A layout as a page of paper: map, margin, tables and bar codes as shapes and texts in millimetres.

Classes are told apart by hatching as well as by colour, so that a grey print
serves as well. What a reader may switch lies in layers; neat lines, margin and
tables are always on.
"""

from dataclasses import replace
from typing import Any, Final

import numpy as np
import shapely

from geo.sheets import furniture
from geo.sheets.frames import Frame
from geo.sheets.hatch import hatch
from geo.sheets.labels import MM_PER_PT
from geo.sheets.layout import CLASSES, SHAPES, Entry, Layout
from geo.sheets.listing import table_items
from geo.sheets.margin import lonlat
from geo.sheets.page import Floats, Item, Page, Photo, Registration, Shapes, Style, Text
from geo.sheets.pen import Pen
from geo.sheets.plan import table_plan
from geo.sheets.symbols import CASING_MM, HATCHES, LINES, OVER_PHOTO, PIECES, WHITE

PHOTO: Final = "正射影像"
PARCELS: Final = "承包地块"
PATCHES: Final = "耕地图斑"
BOUNDARIES: Final = "村界"
BLOCKS: Final = "剩余图块"
LABELS: Final = "图块注记"
NAMES: Final = "邻接注记"
GRID: Final = "坐标网"
LAYERS: Final = (PHOTO, PARCELS, PATCHES, BOUNDARIES, BLOCKS, GRID, NAMES, LABELS)

_CIRCLE: Final = np.linspace(0, 2 * np.pi, 25)[:-1]
_BASELINE: Final = 0.86  # of the size, from the top of a line of text to its baseline
_DOT_MM: Final = 0.35
_CROSS_MM: Final = 5.0  # half a grid cross


def compose(frame: Frame, layout: Layout, photo: Photo | None = None) -> tuple[Page, ...]:
    """The page of a frame, and as many more as its tables need.

    Parameters
    ----------
    frame : Frame
    layout : Layout
        Of that frame.
    photo : Photo, optional
        Drawn under the map and cut at the neat line.

    Returns
    -------
    tuple of Page
        The map first: true to scale, grid north up, with its place on the earth.
        The full code of each piece at home on the page stands on them once.
    """
    items: list[Item] = []
    if photo is not None:
        items.append(
            Photo(layer=PHOTO, jpeg=photo.jpeg, corners_mm=photo.corners_mm, clip=layout.place.frame_mm)
        )
    items += _map(layout, over_photo=photo is not None)
    items += furniture.margin(layout)
    items += table_items(layout, sheet=0)
    items += furniture.column(layout, frame)
    first = Page(
        width_mm=layout.plan.width,
        height_mm=layout.plan.height,
        title=f"{layout.title} {layout.number}",
        items=tuple(items),
        registration=_registration(layout),
        layers=LAYERS if photo is not None else LAYERS[1:],
    )
    return (first, *_continuations(layout))


def _continuations(layout: Layout) -> tuple[Page, ...]:
    """Further pages with the rows that found no room beside the map; none if all did."""
    plan = table_plan(layout.plan)
    pages = []
    for sheet in range(1, layout.continuation_pages + 1):
        items = [*furniture.continuation(layout, sheet), *table_items(layout, sheet=sheet)]
        pages.append(
            Page(
                width_mm=plan.width,
                height_mm=plan.height,
                title=f"{layout.title} {layout.number} 附表 {sheet}",
                items=tuple(items),
            )
        )
    return tuple(pages)


def _map(layout: Layout, *, over_photo: bool) -> list[Item]:
    land = layout.land
    items = [
        # One by one: in a single even-odd area two parcels that overlap would leave a hole.
        *(
            _areas(PARCELS, [parcel], LINES["parcels_over" if over_photo else "parcels"])
            for parcel in land["parcels"]
        ),
        _areas(PATCHES, land["patches"], LINES["patches"]),
        _areas(BLOCKS, land["others"], LINES["others"]),
        *_pieces(layout, over_photo=over_photo),
        *_boundaries(layout, over_photo=over_photo),
        *_crosses(layout),
        *(_named(layout)),
        *_tiles(layout),
        *_labels(layout),
        *_message(layout),
    ]
    return [item for item in items if not (isinstance(item, Shapes) and not item.rings)]


def _pieces(layout: Layout, *, over_photo: bool) -> list[Shapes]:
    kinds = np.array(layout.piece_kinds, dtype=object).reshape(-1, 2)
    items = []
    for shape in reversed(SHAPES):
        for name in CLASSES:
            mine = layout.pieces[(kinds[:, 0] == name) & (kinds[:, 1] == shape)]
            if not len(mine):
                continue
            style = PIECES[name, shape]
            if over_photo:
                casing = Style(stroke=WHITE, width_mm=style.width_mm + CASING_MM)
                items.append(_areas(BLOCKS, mine, casing))
                style = replace(style, opacity=OVER_PHOTO)
            items.append(_areas(BLOCKS, mine, style))
            if shape == "BLOCK":
                for angle, spacing, dash in HATCHES[name]:
                    strokes = hatch(mine, spacing_mm=spacing, angle_deg=angle)
                    ink = Style(stroke=style.stroke, width_mm=0.1, dash_mm=dash)
                    items.append(Shapes(layer=BLOCKS, rings=tuple(strokes), style=ink, closed=False))
    return items


def _boundaries(layout: Layout, *, over_photo: bool) -> list[Shapes]:
    """Village boundaries, without the part that the frame's own edge cuts."""
    edge = shapely.buffer(shapely.LinearRing(layout.place.frame_mm), 1e-3)
    lines = shapely.get_parts(shapely.difference(shapely.boundary(layout.land["villages"]), edge))
    rings = tuple(shapely.get_coordinates(line) for line in lines if not line.is_empty)
    casing = Style(stroke=WHITE, width_mm=LINES["villages"].width_mm + CASING_MM)
    styles = [casing, LINES["villages"]] if over_photo else [LINES["villages"]]
    return [Shapes(layer=BOUNDARIES, rings=rings, style=style, closed=False) for style in styles]


def _crosses(layout: Layout) -> list[Shapes]:
    arms = _CROSS_MM * np.array([[[-1, 0], [1, 0]], [[0, -1], [0, 1]]])
    strokes = (layout.crosses_mm[:, None, None, :] + arms[None]).reshape(-1, 2, 2)
    lines = np.asarray(shapely.linestrings(strokes), dtype=object).reshape(-1)
    lines = np.asarray(shapely.intersection(lines, shapely.Polygon(layout.place.frame_mm)), dtype=object)
    rings = tuple(shapely.get_coordinates(line) for line in lines[~shapely.is_empty(lines)])
    return [Shapes(layer=GRID, rings=rings, style=LINES["crosses"], closed=False)]


def _named(layout: Layout) -> list[Text]:
    out = []
    for name in layout.names:
        left, bottom, right, top = name.box_mm
        out.append(
            Text(
                layer=NAMES,
                text=name.text,
                x_mm=(left + right) / 2,
                y_mm=(bottom + top) / 2 - 0.36 * name.size_pt * MM_PER_PT,
                size_pt=name.size_pt,
                anchor="middle",
                colour=(0.35, 0.35, 0.35),
                halo_mm=0.5,
            )
        )
    return out


def _tiles(layout: Layout) -> list[Item]:
    """Outlines of the pages an overview leads to, with their numbers in the upper left corner."""
    if not layout.tiles:
        return []
    rings = tuple(corners for corners, _ in layout.tiles)
    items: list[Item] = [
        Shapes(
            layer=GRID,
            rings=rings,
            style=Style(stroke=(0.75, 0.1, 0.1), width_mm=0.3),
            clip=layout.place.frame_mm,
        )
    ]
    size = layout.plan.text_pt * 1.6
    for corners, page in layout.tiles:
        x, y = corners[1] + [1.2, -0.4 - size * MM_PER_PT]
        items.append(
            Text(
                layer=GRID, text=f"{page}", x_mm=float(x), y_mm=float(y), size_pt=size,
                colour=(0.75, 0.1, 0.1), halo_mm=0.6, bold=True,
            )
        )  # fmt: skip
    return items


def _labels(layout: Layout) -> list[Item]:
    leaders = [np.array(e.leader_mm).reshape(2, 2) for e in layout.entries if e.leader_mm]
    ring = np.column_stack([np.cos(_CIRCLE), np.sin(_CIRCLE)])
    black = (0.0, 0.0, 0.0)
    circles, texts = [], []
    for entry in layout.entries:
        if entry.box_mm is None:
            continue
        left, bottom, right, top = entry.box_mm
        if entry.how == "key" and entry.piece_shape == "BLOCK":
            circles.append(np.array([(left + right) / 2, (bottom + top) / 2]) + ring * (top - bottom) / 2)
        texts += _label_texts(layout, entry)
    dots = tuple(line[0] + ring[::3] * _DOT_MM for line in leaders)
    return [
        Shapes(layer=LABELS, rings=tuple(leaders), style=Style(stroke=black, width_mm=0.1), closed=False),
        Shapes(layer=LABELS, rings=dots, style=Style(fill=black)),
        Shapes(layer=LABELS, rings=tuple(circles), style=Style(stroke=black, width_mm=0.12, fill=WHITE)),
        *texts,
    ]


def _label_texts(layout: Layout, entry: Entry) -> list[Text]:
    left, _, right, top = entry.box_mm or (0.0, 0.0, 0.0, 0.0)
    settings = layout.settings.labels
    circled = entry.how == "key" and entry.piece_shape == "BLOCK"
    size = settings.key_pt if entry.how == "key" else settings.size_pt
    line_mm = size * MM_PER_PT * settings.line_height
    if circled:
        _, bottom, _, _ = entry.box_mm or (0.0, 0.0, 0.0, 0.0)
        first = (top + bottom) / 2 - 0.36 * size * MM_PER_PT
    else:
        first = top - settings.pad_mm - _BASELINE * size * MM_PER_PT - (line_mm - size * MM_PER_PT) / 2
    grey = 0.0 if entry.piece_shape == "BLOCK" else 0.25
    return [
        Text(
            layer=LABELS,
            text=line,
            x_mm=(left + right) / 2,
            y_mm=first - number * line_mm,
            size_pt=size,
            anchor="middle",
            colour=(grey, grey, grey),
            halo_mm=0.0 if circled else 0.35,
            bold=entry.piece_shape == "BLOCK" and number == 0 and not circled,
        )
        for number, line in enumerate(entry.lines)
    ]


def _message(layout: Layout) -> list[Text]:
    if not layout.message:
        return []
    size = layout.plan.title_pt * 1.5
    x, y = layout.place.frame_mm.mean(axis=0).tolist()
    if layout.ticks:  # over land: above it, where it hides least
        y = float(layout.place.frame_mm[:, 1].max()) - 2 * size * MM_PER_PT
    pen = Pen(measure=layout.measure)
    return [pen.text(layout.message, x, y, size, anchor="middle", halo_mm=1.0)]


def _registration(layout: Layout) -> Registration | None:
    place = layout.place
    epsg = place.crs.to_epsg() if place.crs is not None else None
    if place.crs is None or epsg is None or not np.isfinite(place.corners).all():
        return None
    return Registration(
        epsg=epsg,
        frame_mm=place.frame_mm,
        frame_map=place.corners,
        frame_lonlat=lonlat(place.corners, place.crs),
    )


def _areas(layer: str, shapes: Any, style: Style) -> Shapes:  # noqa: ANN401 - an array of geometries
    rings = shapely.get_rings(shapely.get_parts(shapes))
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    cuts = np.flatnonzero(np.diff(ring)) + 1
    parts: tuple[Floats, ...] = tuple(np.split(xy, cuts)) if len(xy) else ()
    return Shapes(layer=layer, rings=parts, style=style)
