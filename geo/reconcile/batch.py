"""Which contract parcels were drawn together, and so lie off together.

A village is one batch, or one a file where it came in several; a group of it,
or a file, becomes a batch of its own where that was found or decided.
"""

from collections.abc import Collection
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from geopandas import GeoDataFrame

Geometries = npt.NDArray[np.object_]
Rows = npt.NDArray[np.intp]

MEANT_TO_MATCH: Final = ("10", "21", "22", "23")  # parcel classes that are farmland on the survey too
_LEAST_BATCH: Final = 30  # parcels of a file in a village


class Batch(NamedTuple):
    """Parcels that were drawn together."""

    village: str
    name: str
    rows: Rows  # positions in the parcels
    meant: Rows  # those of them that are farmland on the survey too, each outline once

    @property
    def key(self) -> str:
        """Village code, with a slash the name."""
        return f"{self.village}/{self.name}" if self.name else self.village


def batches(parcels: GeoDataFrame, villages: "pd.Series[str]", apart: Collection[str]) -> list[Batch]:
    """Parcels by village, by file where a village comes in several, and what was decided on by itself.

    Parameters
    ----------
    parcels : GeoDataFrame
        Contract parcels. Those without outline, or of no village, are in no batch.
    villages : Series of str
        Village of each.
    apart : collection of str
        Keys of files and groups that are batches of their own.

    Returns
    -------
    list of Batch
        By village and name; the order of rows does not matter.
    """
    shapes = np.asarray(parcels.geometry.array)
    bounds = shapely.bounds(shapes)
    drawn = np.isfinite(bounds).all(axis=1)  # not so of missing and empty ones either
    files = file_names(parcels)
    issuers = issuer_codes(parcels)
    farmland = parcels["parcel_class"].isin(MEANT_TO_MATCH).to_numpy(dtype=bool)
    meant = _once(shapes, bounds, issuers, farmland)
    out: list[Batch] = []
    code, names = pd.factorize(villages.to_numpy(dtype=object), sort=True)
    rows = np.flatnonzero(drawn)
    rows = rows[np.argsort(code[rows], kind="stable")]
    ends = np.searchsorted(code[rows], np.arange(len(names) + 1))
    for village, begin, end in zip(names, ends[:-1], ends[1:], strict=True):
        if not village or begin == end:
            continue
        mine = rows[begin:end]
        name = _files(files[mine])
        for one in np.unique(name):
            here = mine[name == one]
            batch = Batch(str(village), str(one), here, here[meant[here]])
            out += _taken_apart(batch, files, issuers, apart) if apart else [batch]
    return out


def _taken_apart(batch: Batch, files: Geometries, issuers: Geometries, apart: Collection[str]) -> list[Batch]:
    """A batch, and before it those of its files and groups that are batches of their own."""
    out: list[Batch] = []
    for file in sorted(set(files[batch.rows]) - {batch.name}):
        own = file_of(batch, str(file), batch.rows[files[batch.rows] == file])
        if own.key in apart:
            out.append(own)
            batch = without(batch, own.rows)
    for group in sorted(set(issuers[batch.rows])):
        own = group_of(batch, str(group), batch.rows[issuers[batch.rows] == group])
        if own.key in apart:
            out.append(own)
            batch = without(batch, own.rows)
    return [*out, batch] if len(batch.rows) else out


def beside(parcels: GeoDataFrame, villages: "pd.Series[str]", reach_m: float) -> "pd.Series[str]":
    """Village of each parcel; one of none is of the nearest parcel's of its file, within ``reach_m``.

    Where a map lies off, parcels that no code gives a village fall outside all of them.
    """
    shapes = np.asarray(parcels.geometry.array)
    drawn = np.isfinite(shapely.bounds(shapes)).all(axis=1)
    codes = villages.to_numpy(dtype=object).copy()
    files = file_names(parcels)
    lost = drawn & (codes == "")
    if not lost.any():
        return pd.Series(codes, index=villages.index, dtype="str")
    for file in np.unique(files[lost].astype(str)):
        homeless = np.flatnonzero(lost & (files == file))
        settled = np.flatnonzero(drawn & (codes != "") & ~lost & (files == file))
        (row, other) = shapely.STRtree(shapes[settled]).query_nearest(shapes[homeless], max_distance=reach_m)
        near = (
            pd.DataFrame({"row": homeless[row], "code": codes[settled[other]]}).groupby("row")["code"].min()
        )
        codes[near.index.to_numpy()] = near.to_numpy()
    return pd.Series(codes, index=villages.index, dtype="str")


def file_names(parcels: GeoDataFrame) -> Geometries:
    """File of each parcel; empty where none is known."""
    return np.asarray(parcels["source_file"].fillna("").to_numpy(dtype=object))


def issuer_codes(parcels: GeoDataFrame) -> Geometries:
    """Issuer of each parcel; empty where none is known."""
    return np.asarray(parcels["issuer_code"].fillna("").to_numpy(dtype=object))


def group_of(batch: Batch, group: str, rows: Rows) -> Batch:
    """A group of a batch as a batch of its own."""
    name = f"{batch.name}/{group}" if batch.name else group
    return Batch(batch.village, name, rows, np.intersect1d(batch.meant, rows))


def file_of(batch: Batch, file: str, rows: Rows) -> Batch:
    """Parcels of another file among a batch as a batch of their own."""
    return Batch(batch.village, file, rows, np.intersect1d(batch.meant, rows))


def without(batch: Batch, gone: Rows) -> Batch:
    """What is left of a batch."""
    return batch._replace(rows=np.setdiff1d(batch.rows, gone), meant=np.setdiff1d(batch.meant, gone))


def _files(files: Geometries) -> npt.NDArray[np.str_]:
    """File of each parcel of a village where it has several with enough parcels, else nothing."""
    if len(set(files)) == 1:
        return np.full(len(files), "", dtype=np.str_)
    names, which, counts = np.unique(files.astype(np.str_), return_inverse=True, return_counts=True)
    enough = counts >= _LEAST_BATCH
    if np.count_nonzero(enough) < 2:  # noqa: PLR2004 - one file, or one and strays
        return np.full(len(files), "", dtype=np.str_)
    # Strays of further files go with the largest.
    largest = max(np.flatnonzero(enough).tolist(), key=lambda at: (counts[at], names[at]))
    return np.asarray(np.where(enough, names, names[largest])[which])


def _once(
    shapes: Geometries, bounds: npt.NDArray[np.float64], issuers: Geometries, meant: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Those that are meant, without outlines that came before under the same issuer: a copy is no second witness."""
    # Copies share a corner; of those few that do, all is compared.
    west = pd.Series(bounds[:, 0] + bounds[:, 1] * np.pi)
    alike = np.flatnonzero(meant & west.duplicated(keep=False).to_numpy(dtype=bool))
    outlines = pd.DataFrame({"shape": shapely.to_wkb(shapes[alike]), "issuer": issuers[alike]})
    out = meant.copy()
    out[alike] = ~outlines.duplicated().to_numpy(dtype=bool)
    return out
