"""Natural blocks of a village: land between its roads, rivers, group borders, patches and walls.

Whatever of these layers is given cuts the land; what is not given is not
missed. Strips (roads, rivers, ditches drawn as areas) are divided along their
middle, and crumbs between lines that nearly coincide join a neighbour.
"""

from typing import Final, NamedTuple

import numpy as np
import shapely
from geopandas import GeoDataFrame

from geo.grids.linework import (
    NOWHERE,
    Bools,
    Faces,
    Floats,
    Geometries,
    Ints,
    Mesh,
    Net,
    faces_of,
    holders,
    lengths,
    local,
    middles,
    near_lines,
    net_of_lines,
    noded,
    places,
    rows_of,
)
from geo.grids.middle import Halves, halved
from geo.topology import is_polygonal, repair

BARRIERS: Final = ("river", "railway", "highway")
# What a border runs along, the strongest first
NATURAL: Final = (*BARRIERS, "road", "lane", "ditch", "group", "wall", "site", "patch")
STRIPS: Final = {
    "1101": "river",
    "1001": "railway",
    "1002": "railway",
    "1003": "highway",
    "1004": "road",
    "1006": "road",
    "1107": "ditch",
}  # land classes (TD/T 1057-2020) that are long and narrow, by their first four digits
_APART: Final = 8  # steps of the mesh: the middle of a strip has room even in its thinnest end
_STREET_M: Final = 12.0  # plots leave less than this on either side of a street's line
_STREETS: Final = ("highway", "road", "lane")
_CRUMB_M: Final = 1.0  # a block narrower than this is what two drawings of one line leave between them
_DECK_M: Final = 15.0  # a barrier goes on where a bridge or culvert less than twice as long interrupts it
_SAMPLES: Final = np.array([0.15, 0.5, 0.85])  # where along a crossing it is looked
_ON_LINE_M: Final = 1e-3
_MOST: Final = 0.5  # of a common border


class Blocks(NamedTuple):
    """Blocks, and what runs between each two that touch."""

    faces: Faces
    group: Ints  # n: number of its group as `group_numbers` has it, NOWHERE
    site: Ints  # n: row of the exclusive site, NOWHERE for ordinary land
    former: Ints  # n: row of the area of ``cut_by`` it lies in, NOWHERE for none
    pair: Ints  # k: number of two blocks that touch, sorted; see `pair_number`
    natural: Ints  # k: position in NATURAL of what most of their border runs along; NOWHERE if most is none
    natural_share: Floats  # k
    barrier: Ints  # k: position in BARRIERS of what parts them, NOWHERE


class Layer(NamedTuple):
    """Polygons in one order, smaller ones first, so that they lie on top; metres from the mesh's corner."""

    shapes: Geometries
    row: Ints  # of the table they came from


def pair_number(a: Ints, b: Ints, count: int) -> Ints:
    """One number for two of ``count`` things, either way round."""
    return np.minimum(a, b) * count + np.maximum(a, b)


def layer_of(table: GeoDataFrame | None, mesh: Mesh, land: Geometries) -> Layer:
    """Polygons of a table that touch some land, in the order they hold."""
    if table is None or not len(table):
        return Layer(np.empty(0, dtype=object), np.empty(0, dtype=np.int64))
    shapes = local(table.geometry.to_numpy(), mesh)
    near = np.unique(shapely.STRtree(shapes).query(land)[1])
    shapes = repair(shapes[near]).fixed
    order = np.lexsort((*shapely.bounds(shapes).T, shapely.area(shapes)))
    return Layer(shapes[order], near[order].astype(np.int64))


def blocks_of(  # noqa: PLR0913, whatever cuts land
    mesh: Mesh,
    land: Geometries,
    *,
    homes: Geometries,
    survey: GeoDataFrame | None,
    lines: GeoDataFrame | None,
    groups: GeoDataFrame | None,
    sites: GeoDataFrame | None,
    cut_by: GeoDataFrame | None,
) -> Blocks:
    """Blocks of a village.

    Parameters
    ----------
    mesh : Mesh
    land : array of Polygon
        The village, in metres from the mesh's corner.
    homes : array of Point
        In the same metres; narrow land beside a road line is a street's only if no home stands on it.
    survey, lines, groups, sites, cut_by : GeoDataFrame, optional
        In the CRS of the village: patches (land_class), lines (kind), polygons
        of groups, of exclusive sites, and lines that are borders of nothing natural:
        of areas drawn before, which keep their land to the last bit.
    """
    patches, areas, closed, drawn_before = (
        layer_of(table, mesh, land) for table in (survey, groups, sites, areas_of(cut_by))
    )
    drawn = [local(table.geometry.to_numpy(), mesh) for table in (lines, cut_by) if table is not None]
    cuts = [
        near_lines(shapes, land) for shapes in (land, patches.shapes, areas.shapes, closed.shapes, *drawn)
    ]
    net = noded(mesh, net_of_lines(mesh, np.concatenate(cuts)), apart=_APART)
    faces = faces_of(mesh, net, land)

    patch = holders(patches.shapes, faces.inner)
    group = _at(group_numbers(groups)[areas.row], holders(areas.shapes, faces.inner))
    site = _at(closed.row, holders(closed.shapes, faces.inner))
    former = _at(drawn_before.row, holders(drawn_before.shapes, faces.inner))
    kind = _strip_kinds(survey, patches)
    strip_kind = _at(kind, patch)
    if lines is not None:
        lived_on = holders(faces.shapes, homes)
        free = (patch == NOWHERE) & ~np.isin(np.arange(len(patch)), lived_on)
        street = _street_kinds(mesh, faces, lines)
        strip_kind[free] = street[free]
    strip_kind[site != NOWHERE] = NOWHERE
    strip_kind[_touches_another(faces, former)] = NOWHERE  # a border drawn on a road stays where it was drawn
    strip = strip_kind != NOWHERE
    block, strip = _without_crumbs(mesh, faces, strip, site != NOWHERE, former)
    halves = halved(mesh, faces, strip, block, site == NOWHERE)

    grown = faces_of(mesh, halves.net, land)
    # A block is what the face it grew from was; one that is all strip is what the strip is
    own = (block == np.arange(len(block))) & ~strip
    seed = holders(grown.shapes, faces.inner)
    heir = np.full(len(grown.shapes), NOWHERE)
    for rows in (np.flatnonzero(strip), np.flatnonzero(own)):
        rows = rows[seed[rows] != NOWHERE]  # noqa: PLW2901, those that lie on the land
        heir[seed[rows]] = rows
    traits = [_at(trait, heir) for trait in (patch, group, site)]
    former = _at(former, heir)
    at = rows_of(grown.net, halves.net)
    sides = np.append(grown.sides, [[NOWHERE, NOWHERE]], axis=0)[at]
    natural, barrier = _kinds(mesh, halves, sides, traits, faces, strip_kind, lines)
    return Blocks(
        grown,
        traits[1],
        traits[2],
        former,
        *_pairs(sides, lengths(mesh, halves.net), natural, barrier, len(grown.shapes)),
    )


def areas_of(table: GeoDataFrame | None) -> GeoDataFrame | None:
    """Rows of a table that are areas."""
    return None if table is None else table[is_polygonal(table.geometry.to_numpy())]


def _touches_another(faces: Faces, former: Ints) -> Bools:
    """Faces with a border to a face of another former area."""
    out = np.zeros(len(former), dtype=bool)
    inner = faces.sides[faces.sides[:, 0] != NOWHERE]
    out[inner[former[inner[:, 0]] != former[inner[:, 1]]].ravel()] = True
    return out


def group_numbers(groups: GeoDataFrame | None) -> Ints:
    """Position of each row's group among all codes in their order: a group may have several rows."""
    if groups is None:
        return np.empty(0, dtype=np.int64)
    return np.unique(groups["group_code"].fillna("").to_numpy(dtype=object), return_inverse=True)[1]


def _at(values: Ints, rows: Ints) -> Ints:
    """Values at some rows, NOWHERE where the row is."""
    return np.append(values, NOWHERE)[rows]


def _strip_kinds(survey: GeoDataFrame | None, patches: Layer) -> Ints:
    """Position in NATURAL of each patch that is a strip, NOWHERE for others."""
    if survey is None or not len(survey):
        return np.empty(0, dtype=np.int64)
    classes = survey["land_class"].fillna("").str[:4].to_numpy(dtype=object)[patches.row]
    return np.array([NATURAL.index(STRIPS[c]) if c in STRIPS else NOWHERE for c in classes], dtype=np.int64)


def _street_kinds(mesh: Mesh, faces: Faces, lines: GeoDataFrame) -> Ints:
    """Position in NATURAL of the road line each narrow face lies along: what plots leave on either side of it."""
    out = np.full(len(faces.shapes), len(NATURAL))
    rows, code = _along(mesh, faces.net, lines)
    road = np.isin(code, [NATURAL.index(kind) for kind in _STREETS])
    for side in (0, 1):
        beside = faces.sides[rows[road], side]
        known = beside != NOWHERE
        np.minimum.at(out, beside[known], code[road][known])
    narrow = 2 * shapely.area(faces.shapes) < _STREET_M * shapely.length(faces.shapes)
    return np.where(narrow & (out < len(NATURAL)), out, NOWHERE)


def _along(mesh: Mesh, net: Net, lines: GeoDataFrame) -> tuple[Ints, Ints]:
    """Segments that lie on lines, and the position in NATURAL of each line's kind; a segment may come again."""
    code = np.array([NATURAL.index(k) if k in NATURAL else len(NATURAL) for k in lines["kind"].fillna("")])
    spots = middles(mesh, net, np.arange(len(net.start)))
    shapes = _on_lines(local(lines.geometry.to_numpy(), mesh))
    line, row = shapely.STRtree(spots).query(shapes, predicate="dwithin", distance=_ON_LINE_M)
    return row.astype(np.int64), code[line]


def _without_crumbs(mesh: Mesh, faces: Faces, strip: Bools, site: Bools, former: Ints) -> tuple[Ints, Bools]:
    """Block of each face, crumbs given to the block they share most border with, or else to the strip beside them."""
    n = len(faces.shapes)
    block = np.arange(n)
    thin = 2 * shapely.area(faces.shapes) < _CRUMB_M * shapely.length(faces.shapes)
    loose = thin & ~strip & ~site
    strip = strip.copy()
    inner = faces.sides[:, 0] != NOWHERE
    a, b = faces.sides[inner].T
    shared = lengths(mesh, faces.net)[inner]
    while loose.any():
        # every crumb beside something that is none, along its longest border
        give, take = np.concatenate([a, b]), np.concatenate([b, a])
        may = loose[give] & ~loose[take] & ~site[take] & (former[give] == former[take])
        if not may.any():
            break
        pair, at = np.unique(give[may] * n + take[may], return_inverse=True)
        total = np.bincount(at, weights=np.concatenate([shared, shared])[may])
        give, take = pair // n, pair % n
        order = np.lexsort((take, -total, strip[take], give))
        first = order[np.append(True, give[order][1:] != give[order][:-1])]
        give, take = give[first], take[first]
        strip[give] = strip[take]
        block[give] = np.where(strip[take], give, block[take])
        loose[give] = False
    return block, strip


def _kinds(  # noqa: PLR0913, PLR0917, all that is known of blocks
    mesh: Mesh,
    halves: Halves,
    sides: Ints,
    traits: list[Ints],
    faces: Faces,
    strip_kind: Ints,
    lines: GeoDataFrame | None,
) -> tuple[Ints, Ints]:
    """What each segment between blocks runs along, and which barrier it is."""
    n = len(sides)
    inner = sides[:, 0] != NOWHERE
    natural, barrier = np.full(n, len(NATURAL)), np.full(n, NOWHERE)
    for trait, name in zip(traits, ("patch", "group", "site"), strict=True):
        differ = inner & (_at(trait, sides[:, 0]) != _at(trait, sides[:, 1]))
        natural[differ] = np.minimum(natural[differ], NATURAL.index(name))
    strips = np.flatnonzero(strip_kind != NOWHERE)
    rows = np.flatnonzero(halves.inside & inner)
    if len(rows):
        where = _at(strips, holders(faces.shapes[strips], middles(mesh, halves.net, rows)))
        natural[rows] = np.minimum(natural[rows], np.where(where == NOWHERE, len(NATURAL), strip_kind[where]))
        cut = rows[halves.chord[rows, 0] >= 0]
        for code in reversed(range(len(BARRIERS))):
            if (strip_kind == code).any():
                barrier[cut[_crosses(mesh, halves.chord[cut], faces.shapes[strip_kind == code])]] = code
    if lines is not None and len(lines):
        line_row, line_code = _along(mesh, halves.net, lines)
        np.minimum.at(natural, line_row, line_code)
        on = line_code < len(BARRIERS)
        np.maximum.at(barrier, line_row[on], line_code[on])
    natural[natural == len(NATURAL)] = NOWHERE
    return natural, barrier


def _crosses(mesh: Mesh, chord: Ints, barrier: Geometries) -> Bools:
    """Whether crossings of a strip cross a barrier, on a bridge too."""
    # faces of one net, so their union is found by the edges they share
    wide = shapely.buffer(shapely.coverage_union_all(barrier), _DECK_M, quad_segs=2)
    whole = shapely.buffer(wide, 0.1 - _DECK_M, quad_segs=2)
    share = _SAMPLES[:, None, None]
    xy = places(mesh, chord[:, 0]) * (1 - share) + places(mesh, chord[:, 1]) * share
    shapely.prepare(whole)
    found: Bools = shapely.intersects_xy(whole, xy[..., 0], xy[..., 1]).any(axis=0)
    return found


def _on_lines(shapes: Geometries) -> Geometries:
    """Shapes as lines: of polygons their outlines."""
    area = shapely.get_dimensions(shapes) == 2  # noqa: PLR2004, land has two dimensions
    out = shapes.copy()
    out[area] = shapely.boundary(shapes[area])
    return out


def _pairs(
    sides: Ints, length: Floats, natural: Ints, barrier: Ints, count: int
) -> tuple[Ints, Ints, Floats, Ints]:
    """Each two blocks that touch, what most of their border runs along and which barrier most of it is."""
    inner = sides[:, 0] != NOWHERE
    pair, at = np.unique(pair_number(sides[inner, 0], sides[inner, 1], count), return_inverse=True)
    total = np.bincount(at, weights=length[inner], minlength=len(pair))
    natural_m = by_kind(at, natural[inner], length[inner], len(pair), len(NATURAL))
    barrier_m = by_kind(at, barrier[inner], length[inner], len(pair), len(BARRIERS))
    share = natural_m.sum(axis=1) / np.maximum(total, 1e-12)
    return (
        pair,
        np.where(share > _MOST, natural_m.argmax(axis=1), NOWHERE),
        share,
        np.where(barrier_m.sum(axis=1) > _MOST * total, barrier_m.argmax(axis=1), NOWHERE),
    )


def by_kind(at: Ints, kind: Ints, length: Floats, rows: int, kinds: int) -> Floats:
    """Length of each row along each kind; ``at`` is the row, ``kind`` the kind or NOWHERE of some lengths."""
    known = kind != NOWHERE
    place = at[known] * kinds + kind[known]
    total: Floats = np.bincount(place, weights=length[known], minlength=rows * kinds).astype(np.float64)
    return total.reshape(rows, kinds)


def net_between(faces: Faces, label: Ints) -> tuple[Net, Ints]:
    """Segments that part two labels or end the land, and the labels beside them."""
    sides = np.append(label, NOWHERE)[faces.sides]
    keep = sides[:, 0] != sides[:, 1]
    return Net(faces.net.start[keep], faces.net.end[keep]), sides[keep]
