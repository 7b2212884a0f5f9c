"""A worker stays small: libraries come when they are asked for, and no unit leaves its memory behind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.orthophoto import write_orthophoto
from geo import workspace
from geo.memory import release
from tests.geo.county import CRS, county_tables
from tests.helpers import ROOT

needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to read memory from")

WORKER = """
import json, sys
from pathlib import Path
from geo import cli, memory, workspace
from geo.sheets.run import make_sheets

def held(name):
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith(name))

memory.spare()
folder = Path(sys.argv[1])
rest = []
for turn in range(4):
    outcome = make_sheets(
        workspace.open(folder / "w.gpkg"), folder / sys.argv[4], by=sys.argv[2], photo=folder / "dom.tif",
        formats=sys.argv[3].split(","),
    )
    assert outcome.made and not len(outcome.errors), outcome.text()
    rest.append(held("RssAnon"))
heavy = {"ezdxf", "folium", "psycopg", "pypdfium2", "scipy", "sqlalchemy", "xlsxwriter"} & set(sys.modules)
print(json.dumps({"peak": held("VmHWM"), "rest": rest, "heavy": sorted(heavy)}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    target = tmp_path_factory.mktemp("memory")
    tables = county_tables()
    workspace.write(target / "w.gpkg", tables, crs=CRS)
    write_orthophoto(tables["villages"], target / "dom.tif", pixel_m=0.2)
    return target


# The most a process held that was main and worker at once, MB, files shared with others counted in full.
MOST = {
    ("group", "pdf"): 300,
    ("sheet", "pdf"): 300,
    ("group", "geopdf"): 300,
    ("group", "png"): 300,
    ("group", "dxf"): 300,
    ("group", "shp"): 300,
    ("sheet", "pdf,geopdf,png,dxf,shp"): 360,
}
LIBRARIES = {"dxf": {"ezdxf"}, "png": {"pypdfium2"}, "shp": {"xlsxwriter"}}


@needs_proc
@pytest.mark.parametrize(("by", "formats"), MOST)
def test_a_set_over_a_photo_stays_small_and_takes_no_more_each_time(folder, tmp_path, by, formats):
    ran = subprocess.run(
        [sys.executable, "-c", WORKER, folder, by, formats, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(ran.stdout)
    own = set().union(*(LIBRARIES.get(name, set()) for name in formats.split(",")))
    assert set(told["heavy"]) <= own  # none of other formats and other commands
    assert told["peak"] < MOST[by, formats]
    assert told["rest"][-1] - told["rest"][1] < 15


DRAWING = """
import json, sys
from pathlib import Path
import numpy as np
import shapely
from geo import memory
from geo.sheets.dxf import write_dxf
from tests.helpers import layer

def peak():
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))

def draw(count):
    x = 38_430_000 + 20.0 * np.arange(count)
    shapes = shapely.segmentize(shapely.box(x, 4_190_000, x + 15, 4_190_060), 5)
    land = layer(*shapes, crs="EPSG:4526", parcel_code=[f"p{at:05d}" for at in range(count)], parcel_class="10")
    before = peak()
    write_dxf({"parcels": land}, Path(sys.argv[1]) / "a.dxf")
    return peak() - before

memory.spare()
draw(10)
print(json.dumps([draw(15_000), (Path(sys.argv[1]) / "a.dxf").stat().st_size / 2**20]))
"""


@needs_proc
def test_a_drawing_is_never_held_whole(tmp_path):
    command = [sys.executable, "-c", DRAWING, tmp_path]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    more, size = json.loads(ran.stdout)
    assert size > 14  # MB of the file, which takes 200 as objects
    assert more < 30


def test_memory_can_be_given_back_any_number_of_times():
    release()
    release()
