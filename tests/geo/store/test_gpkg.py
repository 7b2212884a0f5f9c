"""What a GeoPackage as a store must bear: kills, many processes, other programs, files that are replaced."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import geopandas as gpd
import pyogrio
import pytest
from shapely.geometry import box

from geo import schema, workspace
from geo.atomic import alone
from geo.errors import OutputError, StaleError
from geo.store import EVERYTHING, Query, open_store
from geo.workspace import geopackage
from tests.geo.county import CRS, UPPER, W_CODE, X0, Y0, county_tables
from tests.helpers import ROOT

KEY = f"{UPPER}01-0001"


@pytest.fixture
def path(new_place):
    return new_place("gpkg")


def python(script, *arguments, **more):
    return subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], cwd=ROOT, text=True, **more)


def beside(path):
    return sorted(file.name for file in Path(path).parent.iterdir() if file.suffix != ".service")


def add(path, count, start=0):
    with open_store(path) as store:
        for number in range(start, start + count):
            with store.write(actor="李") as change:
                change.insert("cases", {"piece_key": f"k{number}", "village_code": UPPER})


def test_the_last_to_close_leaves_one_plain_file(path):
    one, other = open_store(path), open_store(path)
    assert "county.gpkg-wal" in beside(path)
    one.close()
    with other.write(actor="李") as change:
        change.insert("cases", {"piece_key": "k"})
    other.close()
    assert beside(path) == ["county.gpkg"]
    with closing(sqlite3.connect(path)) as base:
        assert base.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert len(gpd.read_file(path, layer="cases")) == 1


def test_gdal_and_qgis_find_records_and_their_titles(path):
    add(path, 3)
    listed = dict(pyogrio.list_layers(path))
    for layer in schema.RECORD_LAYERS:
        assert layer in listed
    assert pyogrio.read_info(path, layer="cases")["features"] == 3
    with closing(sqlite3.connect(path)) as base:
        told = dict(base.execute("SELECT table_name, identifier FROM gpkg_contents"))
        assert {layer: told[layer] for layer in schema.RECORD_LAYERS} == {
            layer: schema.LAYER_TITLES[layer] for layer in schema.RECORD_LAYERS
        }
        titles = base.execute("SELECT column_name, title FROM gpkg_data_columns WHERE table_name = 'cases'")
        assert dict(titles) == schema.titles("cases")
        styles = base.execute("SELECT f_table_name FROM layer_styles").fetchall()
        assert sorted(name for (name,) in styles) == sorted(schema.LAYER_TITLES)
        assert base.execute("SELECT count(*) FROM gpkg_extensions").fetchone()[0] > 0


MADE = "SELECT name FROM sqlite_master WHERE tbl_name = 'sheets' AND sql NOT NULL"


def test_every_layer_stands_as_gdal_would_have_made_it(path):
    """A layer that the store adds to an old workspace is told of in the same places as one of GDAL's."""
    with closing(sqlite3.connect(path)) as base:
        before = base.execute("SELECT * FROM gpkg_geometry_columns").fetchall()
        old = {name for (name,) in base.execute(MADE)}
        for name in [name for name in old if name.startswith(("rtree", "trigger"))]:
            base.execute(f'DROP TRIGGER IF EXISTS "{name}"')
        base.execute("DROP TABLE rtree_sheets_geom")
        base.execute("DROP TABLE sheets")
        for listed in ("contents", "geometry_columns", "extensions", "ogr_contents", "data_columns"):
            base.execute(f"DELETE FROM gpkg_{listed} WHERE table_name = 'sheets'")
        base.execute("DELETE FROM layer_styles WHERE f_table_name = 'sheets'")
        base.commit()
    open_store(path).close()
    with closing(sqlite3.connect(path)) as base:
        assert sorted(base.execute("SELECT * FROM gpkg_geometry_columns").fetchall()) == sorted(before)
        made = {name for (name,) in base.execute(MADE)}
    assert old <= made
    sheets = gpd.GeoDataFrame({"sheet_key": ["a"], "geometry": [box(X0, Y0, X0 + 1, Y0 + 1)]}, crs=CRS)
    with open_store(path) as store, store.write(actor="x") as change:
        change.put("sheets", sheets)
    assert len(gpd.read_file(path, layer="sheets", bbox=(X0, Y0, X0 + 2, Y0 + 2))) == 1
    assert pyogrio.read_info(path, layer="sheets", force_total_bounds=True)["total_bounds"] == (
        X0,
        Y0,
        X0 + 1,
        Y0 + 1,
    )


WRITER = """
import sys
from geo.errors import StaleError
from geo.store import open_store
path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
done = stale = 0
with open_store(path) as store:
    from geo.store import EVERYTHING
    for number in range(count):
        with store.write(actor=name) as change:
            change.insert("attachments", {"attachment_key": f"{name}-{number}", "village_code": "140725100201"})
        while True:
            base = store.row("cases", "k0", EVERYTHING)
            try:
                with store.write(actor=name) as change:
                    change.update("cases", "k0", {"measured_m2": (base["measured_m2"] or 0) + 1}, base=base["version"])
                done += 1
                break
            except StaleError:
                stale += 1
print(done, stale)
"""


def test_many_processes_lose_no_change(path):
    add(path, 1)
    processes = [
        python(WRITER, path, f"p{n}", 10, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for n in range(3)
    ]
    said = [process.communicate(timeout=200) for process in processes]
    assert [error for _, error in said] == [""] * 3
    assert beside(path) == ["county.gpkg"]
    with open_store(path) as store:
        row = store.row("cases", "k0", EVERYTHING)
        assert (row["measured_m2"], row["version"]) == (30.0, 31)
        assert store.verify_audit() == []
        assert store.head()[0] == 61
        assert store.count("attachments", None, EVERYTHING) == 30
    for layer, count in (("attachments", 30), ("audit", 61), ("cases", 1)):
        assert len(gpd.read_file(path, layer=layer)) == count  # not by its own count alone
        assert len(gpd.read_file(path, layer=layer, use_arrow=True)) == count


def test_many_threads_lose_no_change_and_readers_go_on(path):
    add(path, 1)
    with open_store(path) as store:
        stop = threading.Event()
        seen = []

        def read():
            while not stop.is_set():
                row = store.row("cases", "k0", EVERYTHING)
                seen.append((row["version"], row["measured_m2"]))

        def edit(_):
            while True:
                base = store.row("cases", "k0", EVERYTHING)
                try:
                    with store.write(actor="x") as change:
                        value = {"measured_m2": (base["measured_m2"] or 0) + 1}
                        change.update("cases", "k0", value, base=base["version"])
                except StaleError:
                    continue
                return

        reader = threading.Thread(target=read)
        reader.start()
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(edit, range(60)))
        stop.set()
        reader.join()
        assert store.row("cases", "k0", EVERYTHING)["version"] == 61
        assert all(version == (value or 0) + 1 for version, value in seen)  # never half a change
        assert store.verify_audit() == []


KILLED = """
import sys
from geo.store import open_store
from tests.geo.county import UPPER
store = open_store(sys.argv[1])
number = int(sys.argv[2])
print("ready", flush=True)
while True:
    number += 1
    with store.write(actor="x") as change:
        change.insert("cases", {"piece_key": f"{UPPER}01-0001-{number}", "village_code": UPPER, "state": "a"})
        change.insert_many("attachments", [{"attachment_key": f"{number}-{n}"} for n in range(7)])
        change.note("both")
    print(number, flush=True)
"""


def test_a_kill_in_the_midst_of_writing_leaves_whole_changes(path):
    open_store(path).close()
    number = 0
    for turn in range(4):
        process = python(KILLED, path, number, stdout=subprocess.PIPE)
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.05 + 0.037 * turn)
        process.send_signal(signal.SIGKILL)
        told = [int(line) for line in process.stdout.read().split()]
        process.wait()
        process.stdout.close()
        with open_store(path) as store:
            cases = store.count("cases", None, EVERYTHING)
            assert cases >= (told[-1] if told else number)  # what was told as done is there
            assert store.count("attachments", None, EVERYTHING) == 7 * cases
            assert store.head()[0] == 9 * cases
            assert store.verify_audit() == []
        number = cases
        assert len(gpd.read_file(path, layer="attachments")) == 7 * cases
        assert beside(path) == ["county.gpkg"]
    assert number > 0


def test_a_workspace_without_records_has_the_bytes_it_always_had(path, tmp_path):
    workspace.write(tmp_path / "again.gpkg", county_tables(), crs=CRS)
    assert (tmp_path / "again.gpkg").read_bytes() == Path(path).read_bytes()
    workspace.write(path, county_tables(), crs=CRS)
    assert (tmp_path / "again.gpkg").read_bytes() == Path(path).read_bytes()


def test_records_are_carried_over_to_the_letter(path):
    add(path, 2)
    with open_store(path) as store, store.write(actor="李") as change:
        odd = {"measured_m2": 0.1 + 0.2, "note": "引号' \" 换行\n", "owner_name": "张三"}
        change.update("cases", "k0", odd, base=1)
    layers = (*schema.RECORD_LAYERS, "store_steps", "store_editions")

    def held(layer):
        with closing(sqlite3.connect(path)) as base:
            rows = base.execute(f'SELECT * FROM "{layer}" ORDER BY rowid').fetchall()
            made = base.execute(
                "SELECT type, name, sql FROM sqlite_master WHERE tbl_name = ? ORDER BY name", (layer,)
            )
            return rows, made.fetchall()

    before = {layer: held(layer) for layer in layers}
    workspace.amend(path, {"pieces": county_tables()["pieces"].iloc[:3]})
    after = {layer: held(layer) for layer in layers}
    editions = after.pop("store_editions"), before.pop("store_editions")
    assert after == before
    assert dict(row for row in editions[0][0])["pieces"] == dict(editions[1][0]).get("pieces", 0) + 1
    assert len(gpd.read_file(path, layer="cases")) == 2
    with closing(sqlite3.connect(path)) as base, pytest.raises(sqlite3.IntegrityError, match="append only"):
        base.execute("DELETE FROM audit")
    with closing(sqlite3.connect(path)) as base:
        assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_file_that_a_service_holds_is_not_replaced(path):
    with open_store(path) as store:
        with pytest.raises(OutputError, match="正被其他程序打开"):
            workspace.write(path, county_tables(), crs=CRS)
        with pytest.raises(OutputError, match="正被其他程序打开"):
            workspace.amend(path, {"pieces": county_tables()["pieces"]})
        assert store.count("pieces", None, EVERYTHING) == 5
    with alone(path), pytest.raises(OutputError, match="另一个任务"):
        workspace.write(path, county_tables(), crs=CRS)
    with alone(path):
        workspace.write(path, county_tables(), crs=CRS, held=True)


def test_a_record_written_while_the_file_is_replaced_is_not_lost(path, monkeypatch):
    """A writer that comes in the midst waits for the new file and writes there."""
    add(path, 1)
    came, verify = threading.Event(), geopackage._verify
    writers = []

    def slow(scratch, counts):
        writer = python(
            "import sys\nfrom geo.store import open_store\nprint('on', flush=True)\n"
            "with open_store(sys.argv[1]) as store, store.write(actor='x') as change:\n"
            "    change.insert('cases', {'piece_key': 'late'})\n",
            path,
            stdout=subprocess.PIPE,
        )
        writer.stdout.readline()
        writers.append(writer)
        time.sleep(1.5)
        came.set()
        verify(scratch, counts)

    monkeypatch.setattr(geopackage, "_verify", slow)
    workspace.amend(path, {"pieces": county_tables()["pieces"].iloc[:2]})
    assert came.is_set()
    assert writers[0].wait(60) == 0
    writers[0].stdout.close()
    with open_store(path) as store:
        assert store.query("cases", Query(), EVERYTHING).rows["piece_key"].tolist() == ["k0", "late"]
        assert store.count("pieces", None, EVERYTHING) == 2
        assert store.verify_audit() == []


def test_a_store_sees_a_file_that_took_the_place_of_its_own(path, tmp_path):
    add(path, 1)
    shutil.copy(path, tmp_path / "other.gpkg")
    add(tmp_path / "other.gpkg", 2, start=1)
    with open_store(path) as store:
        assert store.count("cases", None, EVERYTHING) == 1
        os.replace(tmp_path / "other.gpkg", path)  # noqa: PTH105 - as a run does
        for end in ("-wal", "-shm"):
            os.remove(path + end)  # noqa: PTH107 - of the old file
        assert store.count("cases", None, EVERYTHING) == 3
        with store.write(actor="x") as change:
            change.insert("cases", {"piece_key": "more"})
    with open_store(path) as store:
        assert store.count("cases", None, EVERYTHING) == 4


def test_an_edit_in_qgis_is_seen_and_counted(path):
    add(path, 1)
    pieces = gpd.read_file(path, layer="pieces").iloc[:1]
    pyogrio.write_dataframe(pieces.assign(piece_code="new"), path, layer="pieces", append=True)
    with open_store(path) as store:
        assert store.count("pieces", None, EVERYTHING) == 6
        assert store.row("pieces", "new", EVERYTHING)["geometry"].equals(pieces.geometry.iloc[0])


def test_a_column_that_came_later_is_added(path):
    with closing(sqlite3.connect(path)) as base:
        base.execute("ALTER TABLE findings DROP COLUMN advice")
        base.commit()
    with open_store(path) as store:
        assert store.query("findings", Query(), EVERYTHING).rows["advice"].isna().all()


def test_a_file_that_cannot_be_written_says_so(path):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    os.chmod(path, 0o444)  # noqa: PTH101 - of a text
    with pytest.raises(OutputError, match="打不开"):
        open_store(path)


def test_a_stale_error_comes_whole_out_of_another_process():
    import pickle  # noqa: PLC0415 - here only

    error = pickle.loads(pickle.dumps(StaleError("x", base=1, theirs={"a": 1}, yours={"a": 2})))  # noqa: S301
    assert (error.base, error.theirs, error.yours, str(error)) == (1, {"a": 1}, {"a": 2}, "x")


def test_bounds_told_to_gdal_follow_the_rows(path):
    frame = county_tables()["pieces"].iloc[:1].assign(piece_key="far", piece_code="far")
    with open_store(path) as store, store.write(actor="x") as change:
        change.put_pieces(frame.set_geometry(frame.translate(500_000, 0)))
    bounds = pyogrio.read_info(path, layer="pieces", force_total_bounds=True)["total_bounds"]
    assert bounds[2] >= X0 + 500_200
    found = gpd.read_file(path, layer="pieces", bbox=(X0 + 500_000, Y0, X0 + 600_000, Y0 + 1e3))
    assert found["piece_code"].tolist() == ["far"]
    assert W_CODE in gpd.read_file(path, layer="pieces")["piece_code"].tolist()
