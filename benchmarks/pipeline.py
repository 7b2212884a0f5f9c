"""Files to workspace beside geopandas.overlay alone: ``python -m benchmarks.pipeline``.

A sample county is delivered in the standards' formats, then read, checked,
overlaid, balanced, coded and written; geopandas only takes the difference of
the same layers, already in memory.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Final

import geopandas as gpd

from benchmarks.measure import measured, table
from benchmarks.overlay import LEADER, VILLAGES, Layers, difference
from geo.pipeline import Inputs, read_layers, reconcile_files
from geo.sample import SampleSettings, county, deliver
from geo.workers import cores

OURS: Final = "taotu, files to workspace"


def inputs(folder: Path) -> Inputs:
    """The delivered county's files."""
    (held,) = [path.parent for path in folder.glob("*/矢量数据")]
    return Inputs(survey=folder / "三调", parcels=held, baseline=folder / "二调" / "DLTB.shp")


def pipeline(folder: Path) -> dict[str, Any]:
    """The whole job, with the seconds of its stages."""
    with tempfile.TemporaryDirectory() as scratch:
        outcome = reconcile_files(inputs(folder), Path(scratch) / "county.gpkg")
    return {"seconds": outcome.seconds, "pieces": len(outcome.result.pieces)}


def layers(folder: Path) -> Layers:
    """Farmland and contract parcels as geopandas gets them: read, repaired and in one system."""
    read = read_layers(inputs(folder))
    survey, parcels = read.survey.table, read.parcels.table
    farmland = survey["land_class"].isin(["0101", "0102", "0103"])
    confirmed = parcels["parcel_class"].eq("10") & parcels["has_rights"]
    patches: gpd.GeoDataFrame = survey.loc[farmland, ["geometry"]]
    rights: gpd.GeoDataFrame = parcels.loc[confirmed, ["geometry"]]
    return patches.assign(geometry=patches.make_valid()), rights.assign(geometry=rights.make_valid())


def main() -> None:
    """Deliver the county, run both in turn, print the table and the stages."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="10: a whole county of 170 villages")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder to keep the county in, used again if it is there")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.keep or Path(scratch)
        if not (folder / "三调").exists():
            villages = max(1, round(VILLAGES * asked.scale))
            deliver(county(SampleSettings(villages=villages, share_based_villages=0), jobs=cores(0)), folder)
        runs = [
            run
            for _ in range(asked.rounds)
            for run in (
                measured(OURS, partial(Path, folder), pipeline),
                measured(LEADER, partial(layers, folder), difference),
            )
        ]
    print(table(runs, LEADER))
    best = min((run for run in runs if run.name == OURS), key=lambda run: run.wall_s)
    stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in best.result["seconds"].items())
    print(f"\nstages: {stages}; {best.result['pieces']} pieces")


if __name__ == "__main__":
    main()
