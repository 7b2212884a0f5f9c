"""Who holds which field, what was never confirmed, and what the baseline survey saw there."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from geo.sample.land import QUILT, SHORE, Patches
from geo.sample.net import Geometries, one_of, runs, sample
from geo.sample.terrain import Floats, Ints

HOUSEHOLD, UNCONFIRMED, NEWLY_ADDED, OUTSIDE = range(4)  # what a field truly is
_OTHER_CLASSES: Final = ("22", "21", "23", "99")
_INSETS_M: Final = (0.0, 0.3, 0.5, 1.0)  # half of a ridge left out between parcels
_INSET_SHARES: Final = (0.65, 0.2, 0.1, 0.05)
LEAST_PARCEL_M2: Final = 80.0  # what is smaller is left to the ridge
TRACK_SHARE: Final = 0.10  # of patches crossed by a field road of two metres that no parcel covers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Holdings:
    """Fields of a village with their truth, and the parcels that record them."""

    state: Ints  # of each field
    parcels: Geometries  # true shapes
    parcel_class: NDArray[np.object_]
    parcel_group: Ints
    parcel_patch: Ints
    household: Ints  # number within the group, from 1; 0 for classes that no household holds
    pieces: Geometries
    piece_class: Ints
    piece_patch: Ints


def _states(land: Patches, owner: Ints, open_patch: NDArray[np.bool_], rng: np.random.Generator) -> Ints:
    """What each field truly is: unassigned blocks are whole patches or one end of a patch."""
    state = np.full(len(owner), OUTSIDE)
    patch, first, count = np.unique(owner, return_index=True, return_counts=True)
    draw, share, kind = rng.uniform(size=(3, len(patch)))
    for number, (p, start, n) in enumerate(zip(patch, first, count, strict=True)):
        if not open_patch[p]:
            continue
        state[start : start + n] = HOUSEHOLD
        by_water = land.zone[p] == QUILT
        if draw[number] < 0.13:
            taken, new = n, kind[number] < (0.55 if by_water else 0.40)
        elif draw[number] < 0.42 and n >= 3:
            taken, new = min(max(round(n * (0.25 + 0.4 * share[number])), 1), n - 1), kind[number] < 0.25
        else:
            continue
        at = start if share[number] < 0.5 else start + n - taken
        state[at : at + taken] = NEWLY_ADDED if new else UNCONFIRMED
    return state


def _tracks(patches: Geometries, which: Ints) -> Geometries:
    """A two-metre field road across each of the patches, through its middle."""
    corner = shapely.get_coordinates(shapely.oriented_envelope(patches[which])).reshape(-1, 5, 2)
    first, second = corner[:, 1] - corner[:, 0], corner[:, 3] - corner[:, 0]
    shorter = np.where((np.hypot(*first.T) < np.hypot(*second.T))[:, None], first, second)
    middle = shapely.get_coordinates(shapely.point_on_surface(patches[which]))
    bend = 0.07 * np.stack((-shorter[:, 1], shorter[:, 0]), axis=1)
    line = np.stack(
        (
            middle - 1.2 * shorter,
            middle - 0.4 * shorter + bend,
            middle + 0.4 * shorter - bend,
            middle + 1.2 * shorter,
        ),
        axis=1,
    )
    return np.asarray(shapely.buffer(shapely.linestrings(line), 1.0, quad_segs=2))


def _filled(shapes: Geometries) -> Geometries:
    """Shapes without their holes."""
    return np.asarray(shapely.polygons(shapely.get_exterior_ring(shapes)))


def holdings(
    land: Patches,
    made: Geometries,
    owner: Ints,
    open_patch: NDArray[np.bool_],
    group: Ints,
    rng: np.random.Generator,
) -> Holdings:
    """Parcels and unassigned pieces of a village.

    Parameters
    ----------
    land : Patches
    made : array of Polygon
        Fields (`geo.sample.fields`).
    owner : array of int
        Patch of each field.
    open_patch : bool array
        Patches that can be contracted: collective farmland of a village with households' parcels.
    group : array of int
        Villagers' group of each patch, from 1.
    rng : Generator
    """
    state = _states(land, owner, open_patch, rng)
    # Blocks that are not confirmed, as one piece of truth each.
    loose = np.flatnonzero(np.isin(state, (UNCONFIRMED, NEWLY_ADDED)))
    block = runs(made[loose], owner[loose])
    names, start = np.unique(block, return_index=True)
    pieces = [one_of(made[loose[block == name]]) for name in names]
    # Confirmed fields: some inset by half a ridge, some crossed by a field road.
    held = np.flatnonzero(state == HOUSEHOLD)
    patch_inset = rng.choice(_INSETS_M, p=_INSET_SHARES, size=len(land.geometry))
    shapes = made[held].copy()
    inset = patch_inset[owner[held]]
    shapes[inset > 0] = shapely.buffer(shapes[inset > 0], -inset[inset > 0], join_style="mitre")
    crossed = np.unique(owner[held])
    crossed = crossed[
        (rng.uniform(size=len(crossed)) < TRACK_SHARE) & (shapely.area(land.geometry[crossed]) > 4000)
    ]
    if len(crossed):
        tracks = _tracks(land.geometry, crossed)
        mine = np.flatnonzero(np.isin(owner[held], crossed))
        shapes[mine] = shapely.difference(shapes[mine], tracks[np.searchsorted(crossed, owner[held][mine])])
    # A field that a road cuts in two is two parcels from then on.
    shapes, source = shapely.get_parts(shapes, return_index=True)
    keep = shapely.area(shapes) > LEAST_PARCEL_M2
    held, shapes = held[source[keep]], _filled(shapes[keep])
    # Land of the collective that was drawn, but is no household's: it stays unassigned.
    spare = loose[(state[loose] == UNCONFIRMED) & (rng.uniform(size=len(loose)) < 0.22)]
    kinds = rng.choice(_OTHER_CLASSES, p=(0.55, 0.15, 0.15, 0.15), size=len(spare))
    field = np.concatenate((held, spare))
    geometry = np.concatenate((shapes, _filled(made[spare])))
    classes = np.concatenate((np.full(len(held), "10", dtype=object), kinds.astype(object)))
    order = np.lexsort((field, group[owner[field]]))
    field, geometry, classes = field[order], geometry[order], classes[order]
    mine = group[owner[field]]
    household = np.zeros(len(field), dtype=np.int64)
    for number in np.unique(mine):
        here = np.flatnonzero((mine == number) & (classes == "10"))
        homes = max(1, round(len(here) / 7.5))
        household[here] = rng.permutation(np.arange(len(here)) % homes) + 1
    return Holdings(
        state=state,
        parcels=geometry,
        parcel_class=classes,
        parcel_group=mine,
        parcel_patch=owner[field],
        household=household,
        pieces=np.array(pieces, dtype=object),
        piece_class=state[loose][start],
        piece_patch=owner[loose][start],
    )


def baseline(
    land: Patches, old_class: NDArray[np.object_], held: Holdings
) -> tuple[Geometries, NDArray[np.object_]]:
    """The land as an older survey drew it: new farmland still grass, borders a metre or so elsewhere.

    Returns
    -------
    (array of Polygon, array of str)
        Geometry and three-digit class.
    """
    new = held.piece_class == NEWLY_ADDED
    parts, kinds = [], []
    plain = np.ones(len(land.geometry), dtype=bool)
    plain[held.piece_patch[new]] = False
    # Patches of one class within a cell of 350 m were one polygon at 1:10 000.
    spot = shapely.get_coordinates(shapely.point_on_surface(land.geometry))
    cell = np.floor(spot / 350).astype(np.int64)
    names = pd.factorize(
        pd.Series(old_class)
        + "/"
        + pd.Series(cell[:, 0]).astype("str")
        + "/"
        + pd.Series(cell[:, 1]).astype("str")
    )[0]
    index = np.flatnonzero(plain)
    run = runs(land.geometry[index], names[index])
    for name in np.unique(run):
        members = index[run == name]
        parts.append(one_of(land.geometry[members]))
        kinds.append(old_class[members[0]])
    for patch in np.flatnonzero(~plain):
        added = one_of(held.pieces[new & (held.piece_patch == patch)])
        rest = shapely.difference(land.geometry[patch], added)
        parts += [added, rest]
        kinds += ["116" if land.zone[patch] in (QUILT, SHORE) else "043", old_class[patch]]
    pieces, index = shapely.get_parts(np.array(parts, dtype=object), return_index=True)
    keep = shapely.area(pieces) > 1.0
    return pieces[keep], np.array(kinds, dtype=object)[index[keep]]


def shifted(shapes: Geometries, land: Patches, move: tuple[Floats, Floats]) -> Geometries:
    """Shapes with every point moved by a smooth field of small steps, so that neighbours stay neighbours."""

    def bend(points: Floats) -> Floats:
        return points + np.stack([sample(part, land.xs, land.ys, points) for part in move], axis=1)

    return np.asarray(shapely.transform(shapes, bend))
