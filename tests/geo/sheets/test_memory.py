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
    outcome = make_sheets(workspace.open(folder / "w.gpkg"), folder / "set", by=sys.argv[2], photo=folder / "dom.tif")
    assert outcome.made and not len(outcome.errors), outcome.text()
    rest.append(held("RssAnon"))
heavy = {"ezdxf", "folium", "pypdfium2", "scipy", "xlsxwriter"} & set(sys.modules)
print(json.dumps({"peak": held("VmHWM"), "rest": rest, "heavy": sorted(heavy)}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    target = tmp_path_factory.mktemp("memory")
    tables = county_tables()
    workspace.write(target / "w.gpkg", tables, crs=CRS)
    write_orthophoto(tables["villages"], target / "dom.tif", pixel_m=0.2)
    return target


@needs_proc
@pytest.mark.parametrize("by", ["group", "sheet"])
def test_drawing_over_a_photo_stays_small_and_takes_no_more_each_time(folder, by):
    ran = subprocess.run(
        [sys.executable, "-c", WORKER, folder, by], cwd=ROOT, capture_output=True, text=True, check=True
    )
    told = json.loads(ran.stdout)
    assert told["heavy"] == []  # libraries of other formats and other commands
    assert told["peak"] < 320  # MB, shared libraries included: 260 and 281 measured
    assert told["rest"][-1] - told["rest"][1] < 15


def test_memory_can_be_given_back_any_number_of_times():
    release()
    release()
