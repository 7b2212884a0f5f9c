"""Sheets end to end over a JPEG-compressed mosaic: ``python -m benchmarks.sheets``.

A sample county is reconciled and an orthophoto made over it, both in a
temporary folder; then the whole set is drawn on one core, as A3 tiles of
groups and as A1 national sheets, and the same pages are drawn again and again
to see that memory stays flat. A QGIS atlas of 20 of the sheets stands beside it
where QGIS is installed.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import geopandas as gpd

from benchmarks.measure import Run, measured
from benchmarks.orthophoto import write_orthophoto
from benchmarks.pipeline import inputs
from geo import workspace
from geo.memory import spare
from geo.pipeline import reconcile_files
from geo.sample import SampleSettings, county, deliver
from geo.sheets import run, unit
from geo.sheets.draw import pdf
from geo.sheets.run import By, SheetSettings, make_sheets

QGIS_PYTHON: Final = "/usr/bin/python3"  # the system's, which has QGIS's own modules
ATLAS_SHEETS: Final = 20


def prepare(folder: Path, villages: int, pixel_m: float) -> Path:
    """A workspace and a mosaic in ``folder``, made once."""
    work, mosaic = folder / "county.gpkg", folder / "dom.tif"
    if not work.exists():
        sample = folder / "county"
        deliver(county(SampleSettings(villages=villages, share_based_villages=0)), sample)
        reconcile_files(inputs(sample), work)
    if not mosaic.exists():
        villages_layer = workspace.open(work).read("villages")
        assert isinstance(villages_layer, gpd.GeoDataFrame)  # noqa: S101 - a layer with a place
        write_orthophoto(villages_layer, mosaic, pixel_m=pixel_m)
    return folder


def whole_set(folder: Path, by: By = "group", jobs: int = 1, *, photo: bool = True) -> dict[str, Any]:
    """The whole set as PDF."""
    spare()  # as the command does
    with tempfile.TemporaryDirectory() as out:
        outcome = make_sheets(
            workspace.open(folder / "county.gpkg"),
            out,
            by=by,
            photo=folder / "dom.tif" if photo else None,
            jobs=jobs,
        )
        size = sum(path.stat().st_size for path in Path(out).rglob("*.pdf"))
    return {
        "sheets": len(outcome.sheets),
        "pieces": int(outcome.sheets["home_count"].sum()),
        "errors": len(outcome.errors),
        "mb": size / 2**20,
    }


def _parts(folder: Path, out: Path) -> tuple[unit.Task, list[unit.Job]]:
    """What a worker of a run gets: what all units have in common, and the units."""
    work = workspace.open(folder / "county.gpkg")
    settings = SheetSettings()
    pieces = run._pieces(work, settings.shapes)  # noqa: SLF001 - as the run itself does
    frames = run._frames(work, pieces, "group", settings)  # noqa: SLF001
    task = unit.Task(
        source=work,
        balance=work.read("balance"),
        out=out,
        formats=("pdf",),
        shown=run._condition(settings.shapes),  # noqa: SLF001
        measured=run._condition(settings.measured_shapes),  # noqa: SLF001
        paint=settings.painting.on(folder / "dom.tif", county_name="", crs=work.crs),
        identity="",
        dxf=settings.dxf,
        decimals=settings.decimals,
        dpi=settings.dpi,
        resume=False,
    )
    return task, list(run._units(frames, "group", []))  # noqa: SLF001


def again_and_again(folder: Path, count: int) -> dict[str, Any]:
    """``count`` sheets in one process, and the memory it held after each tenth of them."""
    spare()
    task, jobs = _parts(folder, Path())
    held, done = [], 0
    for job in cycle(jobs):
        for frames, layers in unit.lands(job, task):
            for frame in frames:
                pages, _ = task.paint(frame, unit._within(frame, layers), job.frames)  # noqa: SLF001
                pdf(pages)
                done += 1
                if done % max(1, count // 10) == 0:
                    held.append(round(_resident_mb()))
                if done >= count:
                    return {"sheets": done, "resident_mb": held}
    return {}


def _resident_mb() -> float:
    """Memory this process holds now."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def atlas(folder: Path, dpi: int) -> dict[str, Any] | None:
    """The same land as a QGIS atlas, headless; None where QGIS is not installed."""
    known = shutil.which(QGIS_PYTHON) and subprocess.run(  # noqa: S603 - a fixed command
        [QGIS_PYTHON, "-c", "import qgis.core"], capture_output=True, check=False
    )
    if not known or known.returncode:
        return None
    with tempfile.TemporaryDirectory() as out:
        work = workspace.open(folder / "county.gpkg")
        sheets = make_sheets(work, Path(out) / "set", formats=("dxf",)).sheets
        some = sheets[sheets["sheet_kind"] == "map"].head(ATLAS_SHEETS)
        frames = Path(out) / "frames.gpkg"
        some[["sheet_key", "sheet_number", "geometry"]].to_file(frames, layer="frames", driver="GPKG")
        script = Path(__file__).with_name("atlas_in_qgis.py")
        command = [QGIS_PYTHON, script, folder / "county.gpkg", folder / "dom.tif", frames, out, str(dpi)]
        done = subprocess.run(  # noqa: S603 - our own script
            [str(word) for word in command],
            capture_output=True,
            text=True,
            check=False,
            env={"QT_QPA_PLATFORM": "offscreen", "HOME": out, "PATH": "/usr/bin:/bin"},
        )
        if done.returncode:
            sys.stderr.write(done.stderr)
            return None
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return told


def taotu_of_twenty(folder: Path) -> dict[str, Any]:
    """Ours of as many map pages, from a workspace to written files."""
    start, before = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as out:
        task, jobs = _parts(folder, Path(out))
        maps = ((job, frame) for job in jobs for frame in job.frames if frame.kind == "map")
        count = 0
        for job, frame in islice(maps, ATLAS_SHEETS):
            one = replace(job, frames=(frame,))
            drawn, _ = task.paint(frame, unit.land(one, one.frames, task), job.frames)
            (Path(out) / f"{frame.key}.pdf").write_bytes(pdf(drawn))
            count += 1
    return {"sheets": count, "wall_s": time.perf_counter() - start, "cpu_s": time.process_time() - before}


def _told(done: Run) -> str:
    sheets = done.result["sheets"]
    return (
        f"| {done.name} | {sheets} | {done.wall_s:.1f} | {done.cpu_s:.1f} | {sheets / done.wall_s:.1f} "
        f"| {sheets / done.cpu_s:.1f} | {done.peak_mb:.0f} | {done.load:.1f} |"
    )


def main() -> None:
    """Make the county, draw it in each way, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sheets", description=__doc__)
    parser.add_argument("--villages", type=int, default=6)
    parser.add_argument("--pixel", type=float, default=0.2, help="metres a pixel of the mosaic")
    parser.add_argument("--pages", type=int, default=500, help="sheets of the memory run")
    parser.add_argument("--jobs", type=int, default=2, help="workers of the last run of the whole set")
    parser.add_argument(
        "--keep", type=Path, help="folder to keep county and mosaic in, used again if it is there"
    )
    parser.add_argument("--no-atlas", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = prepare(asked.keep or Path(scratch), asked.villages, asked.pixel)
        kept = partial(Path, folder)
        print("| set | sheets | wall s | CPU s | sheets/s (wall) | (CPU) | peak MB | load |")
        print("|---|--:|--:|--:|--:|--:|--:|--:|")
        print(_told(measured("A3, by group, 1 worker", kept, partial(whole_set, by="group"))))
        print(_told(measured("the same without photo", kept, partial(whole_set, by="group", photo=False))))
        print(_told(measured("A1, national sheets, 1 worker", kept, partial(whole_set, by="sheet"))))
        many = measured(
            f"A3, by group, {asked.jobs} workers", kept, partial(whole_set, by="group", jobs=asked.jobs)
        )
        print(f"{_told(many)} (CPU and memory of the workers not counted)")
        if asked.pages:
            flat = measured("pages in one process", kept, partial(again_and_again, count=asked.pages))
            print(_told(flat))
            print(f"\nmemory after each tenth of {asked.pages} sheets, MB: {flat.result['resident_mb']}")
        if asked.no_atlas:
            return
        print()
        ours = measured("taotu", kept, taotu_of_twenty)
        for dpi in (150, 300):
            peer = atlas(folder, dpi)
            if peer is None:
                print("QGIS is not installed here: its atlas was not run")
                return
            ratio = peer["wall_s"] / ours.result["wall_s"]
            print(
                f"QGIS {peer['version']} atlas, {dpi} dpi: {peer['sheets']} sheets {peer['wall_s']:.1f} s "
                f"({peer['cpu_s']:.1f} s CPU), taotu {ours.result['sheets']} sheets {ours.result['wall_s']:.1f} s "
                f"({ours.result['cpu_s']:.1f} s CPU): {ratio:.1f} times as fast"
            )


if __name__ == "__main__":
    main()
