"""Blocks with several homes, cut between the homes: each bit of land to the nearest home of its block."""

from typing import Final, NamedTuple

import numpy as np
import shapely
from scipy.spatial import KDTree

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
    joined_nets,
    net_of_lines,
    noded,
)

_APART: Final = 1e7  # metres set between blocks, so that the nearest home is one of the same block


class Cells(NamedTuple):
    """Faces in which at most one place of homes lies."""

    faces: Faces
    block: Ints  # n: block of each face
    home: Ints  # n: position of the place whose face it is, NOWHERE for land still to be given to one
    stand_in: Ints  # p: place whose face each place shares; its own position for nearly all


def cells_of(  # noqa: PLR0913, land and homes
    mesh: Mesh, blocks: Faces, places: Floats, *, block: Ints, whole: Bools, land: Geometries
) -> Cells:
    """Blocks cut between the places in them.

    Parameters
    ----------
    mesh : Mesh
    blocks : Faces, n
    places : p x 2
        Metres from the mesh's corner; no two nearer than the mesh can tell apart.
    block : int, p
        Block each place belongs to, whether or not it lies in it to the millimetre.
    whole : bool, n
        Blocks that are not cut, however many places lie in them.
    land : array of Polygon

    Returns
    -------
    Cells
        Every place of a block that is cut has one face, or shares that of the
        nearest place that has; places of whole blocks have none.
    """
    order = np.lexsort((places[:, 1], places[:, 0], block))
    rows = order[~whole[block[order]]]
    busy, count = np.unique(block[rows], return_counts=True)
    crowded = np.isin(block[rows], busy[count > 1])
    faces, of = blocks, np.arange(len(blocks.shapes))
    if crowded.any():
        at = np.unique(block[rows[crowded]], return_inverse=True)[1]
        spots = shapely.multipoints(places[rows[crowded]], indices=at)
        shapes = blocks.shapes[busy[count > 1]]
        edges = shapely.voronoi_polygons(spots, extend_to=shapely.envelope(shapes), only_edges=True)
        cuts = shapely.intersection(edges, shapes)
        # Only what may meet a cut is noded anew
        near = np.asarray(np.isin(blocks.sides, busy[count > 1]).any(axis=1), dtype=bool)
        met = noded(mesh, joined_nets(_rows(blocks.net, near), net_of_lines(mesh, cuts)))
        faces = faces_of(mesh, joined_nets(_rows(blocks.net, ~near), met), land)
        of = holders(blocks.shapes, faces.inner)
    home = np.full(len(faces.shapes), NOWHERE)
    stand_in = np.arange(len(places))
    if len(rows):
        home, stand_in = _claimed(faces, of, places, block, rows)
    return Cells(faces, of, home, stand_in)


def _rows(net: Net, rows: Bools) -> Net:
    return Net(net.start[rows], net.end[rows])


def _claimed(faces: Faces, of: Ints, places: Floats, block: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """Place of each face, and the place each shares its face with: of the faces nearest to it the one it lies in."""
    home = np.full(len(faces.shapes), NOWHERE)
    stand_in = np.arange(len(places))
    tree = KDTree(np.column_stack([places[rows], block[rows] * _APART]))
    face = np.flatnonzero(np.isin(of, block[rows]))
    inner = np.stack([shapely.get_x(faces.inner[face]), shapely.get_y(faces.inner[face])], axis=1)
    place = rows[tree.query(np.column_stack([inner, of[face] * _APART]))[1]]
    away = shapely.distance(faces.shapes[face], shapely.points(places[place]))
    best = np.lexsort((face, away, place))
    best = best[np.append(True, place[best][1:] != place[best][:-1])]
    home[face[best]] = place[best]
    lost = rows[~np.isin(rows, place)]
    if len(lost):  # its cell lies wholly beyond its block: a place on the very border
        held = np.flatnonzero(np.isin(np.arange(len(places)), place))
        near = KDTree(np.column_stack([places[held], block[held] * _APART]))
        stand_in[lost] = held[near.query(np.column_stack([places[lost], block[lost] * _APART]))[1]]
    return home, stand_in
