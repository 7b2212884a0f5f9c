"""Our overlay beside geopandas' on the same land in the same run: ``python -m benchmarks.overlay``.

Contestants take turns, each in its own process; all must come to the same
residual area and to valid polygons, or the benchmark fails.
"""

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import geopandas as gpd
import shapely

from benchmarks.measure import Run, measured, table
from geo.reconcile.overlay import OverlaySettings, overlay
from geo.sample import SampleSettings, county
from geo.workers import cores

VILLAGES: Final = 17  # of some 590 survey patches each: 10,000 in all
TOLERANCE_M2: Final = 1e-3
LEADER: Final = "geopandas.overlay difference"

Layers = tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]


def read(folder: Path) -> Layers:
    """Patches and parcels as the benchmark keeps them."""
    return gpd.read_parquet(folder / "patches.parquet"), gpd.read_parquet(folder / "parcels.parquet")


def ours(layers: Layers, *, jobs: int) -> dict[str, Any]:
    """Residual by this package, with its balance check of every patch."""
    pieces = overlay(*layers, OverlaySettings(jobs=jobs)).pieces
    return _summary(pieces.geometry)


def difference(layers: Layers) -> dict[str, Any]:
    """Residual by geopandas."""
    patches, parcels = layers
    return _summary(gpd.overlay(patches, parcels, how="difference", keep_geom_type=True).geometry)


def identity(layers: Layers) -> dict[str, Any]:
    """Covered parts and residual in one by geopandas; the residual are rows without a parcel."""
    patches, parcels = layers
    both = gpd.overlay(
        patches, parcels.assign(parcel=range(len(parcels))), how="identity", keep_geom_type=True
    )
    return _summary(both.geometry[both["parcel"].isna()])


def _summary(shapes: Any) -> dict[str, Any]:  # noqa: ANN401 - the stubs call it a plain Series
    """Handed back before validity is asked for: the asking is no part of anybody's time."""
    return {"residual_m2": float(shapes.area.sum()), "pieces": int(shapely.get_num_geometries(shapes).sum())}


def check_valid(folder: Path) -> int:
    """Pieces of ours that are not valid polygons (asked apart, untimed)."""
    return int((~overlay(*read(folder)).pieces.is_valid).sum())


def main() -> None:
    """Make the land, run everybody in turn, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overlay", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="10: a whole county of 170 villages")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder to keep the land in, used again if it is there")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.keep or Path(scratch)
        make(folder, max(1, round(VILLAGES * asked.scale)))
        patches, parcels = read(folder)
        print(f"{len(patches)} farmland patches, {len(parcels)} confirmed parcels, {asked.rounds} rounds\n")
        contestants: dict[str, Callable[[Layers], dict[str, Any]]] = {
            "taotu, one a core": partial(ours, jobs=0),
            LEADER: difference,
            "taotu, 1 thread": partial(ours, jobs=1),
            "geopandas.overlay identity": identity,
        }
        runs = [
            measured(name, partial(read, folder), work)
            for _ in range(asked.rounds)
            for name, work in contestants.items()
        ]
        print(table(runs, LEADER))
        print()
        for line in verdict(runs, check_valid(folder)):
            print(line)


def verdict(runs: list[Run], invalid: int) -> list[str]:
    """What the results agree on.

    Raises
    ------
    SystemExit
        If a residual differs from geopandas' by more than 0.001 m², or a piece is invalid.
    """
    expected = next(run for run in runs if run.name == LEADER).result["residual_m2"]
    apart = {run.name: run.result["residual_m2"] - expected for run in runs}
    lines = [
        f"{name}: residual {off:+.6f} m² from geopandas' {expected:.3f} m²" for name, off in apart.items()
    ]
    lines.append(f"taotu: {invalid} invalid pieces")
    if invalid or max(map(abs, apart.values())) > TOLERANCE_M2:
        raise SystemExit("\n".join(["the results differ", *lines]))
    return lines


def make(folder: Path, villages: int) -> None:
    """Farmland and confirmed parcels of a sample county, kept in ``folder``."""
    if (folder / "parcels.parquet").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    made = county(SampleSettings(villages=villages, share_based_villages=0), jobs=cores(0))
    farmland = made.survey["land_class"].isin(["0101", "0102", "0103"])
    confirmed = made.parcels["parcel_class"].eq("10") & made.parcels["has_rights"]
    made.survey.loc[farmland, ["patch_code", "geometry"]].to_parquet(folder / "patches.parquet")
    made.parcels.loc[confirmed, ["parcel_code", "geometry"]].to_parquet(folder / "parcels.parquet")


if __name__ == "__main__":
    main()
