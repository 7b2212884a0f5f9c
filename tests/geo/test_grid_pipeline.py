"""Grids from files to a workspace, and what else is in it stays."""

import hashlib
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import geopandas as gpd
import pandas as pd
import pytest
import shapely

from geo import grid_pipeline, workspace
from geo.errors import InputError, OutputError
from geo.grid_pipeline import adjust_files, checked_files, compared_files, curve_files, partition_files
from geo.grids import profile_of
from geo.pipeline import Inputs, reconcile_files
from tests.geo.grid_files import drawn_file, listed, written
from tests.geo.grids.counties import EAST, FAST, LOWER, MICRO, NORM, UPPER, source, villages
from tests.helpers import ROOT, X0, Y0

SAMPLE = next((ROOT / "data_samples").glob("**/三调")).parent
MAIN = Inputs(survey=SAMPLE / "三调", parcels=next(SAMPLE.glob("*/矢量数据")).parent)
GRIDS = ("grids", "grid_villages", "households", "grid_lineage")
ONE = {"settings": FAST, "jobs": 1}


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def plain(path, layer):
    """A layer as bytes."""
    table = pd.DataFrame(workspace.open(path).read(layer))
    if "geometry" in table:
        table["geometry"] = shapely.to_wkb(table["geometry"], hex=True)
    return table.to_csv(index=False)


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    return written(tmp_path_factory.mktemp("grid_county"))


@pytest.fixture(scope="session")
def made(files, tmp_path_factory):
    """A workspace of grids alone."""
    out = tmp_path_factory.mktemp("grid_work") / "w.gpkg"
    partition_files(out, files.inputs(), settings=MICRO, jobs=1)
    return out


@pytest.fixture
def work(made, tmp_path):
    return shutil.copy(made, tmp_path / "w.gpkg")


def test_without_a_workspace_one_is_made_that_has_villages_and_grids(made):
    held = workspace.open(made)
    assert held.read("villages")["village_code"].tolist() == [UPPER, LOWER]
    assert held.read("households")["households"].sum() == source()["households"].sum()
    assert set(held.read("grids")["grid_kind"]) == {"ORDINARY", "MICRO"}
    assert held.read("findings")["finding_id"].str.startswith("G").all()
    assert len(held.read("runs")) == 1
    assert len(held.read("pieces")) == 0


def test_the_same_files_write_the_same_bytes_at_any_number_of_processes(files, made, tmp_path):
    partition_files(tmp_path / "two.gpkg", files.inputs(), settings=MICRO, jobs=2)
    assert digest(tmp_path / "two.gpkg") == digest(made)


def test_rows_in_another_order_write_the_same_bytes_but_for_row_numbers(files, made, tmp_path):
    mixed = written(tmp_path, houses=source().iloc[::-1], land=villages().iloc[::-1])
    partition_files(tmp_path / "w.gpkg", mixed.inputs(lines=files.inputs().lines), settings=MICRO, jobs=1)
    for layer in ("grids", "grid_villages", "grid_lineage"):
        assert plain(tmp_path / "w.gpkg", layer) == plain(made, layer)
    rows = [workspace.open(path).read("households") for path in (tmp_path / "w.gpkg", made)]
    names = ["household_key", "grid_code", "micro_code"]
    pd.testing.assert_frame_equal(rows[0][names], rows[1][names])


def test_a_run_over_its_own_result_keeps_codes_and_then_every_byte(files, made, work):
    partition_files(work, files.inputs(), settings=MICRO, jobs=1)
    for layer in ("households", "grid_lineage", "grid_villages"):
        assert plain(work, layer) == plain(made, layer)
    second = digest(work)
    partition_files(work, files.inputs(), settings=MICRO, jobs=1)
    assert digest(work) == second


def test_homes_and_villages_of_the_workspace_do_as_well_as_files(files, made, work):
    partition_files(work, files.inputs(households=None, villages=None), settings=MICRO, jobs=1)
    assert plain(work, "households") == plain(made, "households")
    runs = workspace.open(work).read("runs")
    assert len(runs) == 2, "what was taken from the workspace is told apart from the files"


def test_what_was_wrong_with_homes_is_still_told_after_a_run_that_did_not_read_them(tmp_path):
    houses = source()
    houses.loc[0, "geometry"] = shapely.Point(X0 - 80, Y0 + 100)
    files = written(tmp_path, houses=houses)
    work = tmp_path / "w.gpkg"
    partition_files(work, files.inputs(), **ONE)
    result = adjust_files(work, replace(files.inputs(), households=None), **ONE)
    assert result.findings["severity"].eq("error").any(), "and by the command's exit status"
    found = workspace.open(work).read("findings")
    assert found["rule"].eq("household_outside").sum() == 1
    assert found["finding_id"].is_unique
    lost = workspace.open(work).read("households", where="grid_code IS NULL")
    assert lost["address"].tolist() == ["0号"]


def test_only_one_village_leaves_the_rows_and_findings_of_the_other(files, work):
    tight = replace(FAST, profile=profile_of("1000/1001/1002"))
    partition_files(work, files.inputs(), settings=tight, jobs=1)
    before = workspace.open(work)
    told = before.read("findings").query("village_code == @UPPER and rule.str.startswith('grid_')")["message"]
    assert len(told) > 0, "grids of this norm are out of their band"
    partition_files(work, files.inputs(), only=[LOWER], **ONE)
    after = workspace.open(work)
    names = ["grid_code", "households", "balance", "change", "reason", "geometry"]
    rows = [held.read("grids", where=f"village_code = '{UPPER}'")[names] for held in (before, after)]
    pd.testing.assert_frame_equal(pd.DataFrame(rows[0]), pd.DataFrame(rows[1]))
    found = after.read("findings")
    assert set(told) <= set(found["message"])
    assert set(after.read("grids")["village_code"]) == {UPPER, LOWER}


def test_a_stop_leaves_the_old_workspace_to_the_byte(files, work):
    before = digest(work)

    def stop(count, _total, _name):
        if count:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        partition_files(work, files.inputs(), progress=stop, **ONE)
    assert digest(work) == before
    assert [path.name for path in work.parent.iterdir()] == ["w.gpkg"]


def test_a_failure_in_writing_leaves_the_old_workspace(files, work, monkeypatch):
    before = digest(work)

    def full(*_args, **_more):
        raise OutputError("磁盘已满")

    monkeypatch.setattr(grid_pipeline.workspace, "amend", full)
    with pytest.raises(OutputError):
        partition_files(work, files.inputs(), **ONE)
    assert digest(work) == before


def test_a_kill_leaves_the_old_workspace_and_the_next_run_goes(files, work):
    before = digest(work)
    words = ["partition", work, *files.words(), "--profile", str_of(NORM), "--budget", "fast", "--jobs", 1]
    command = [sys.executable, "-m", "geo.cli", "grids", *map(str, words)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    mark = work.parent / ".w.gpkg.lock"
    while process.poll() is None and not mark.exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert digest(work) == before
    partition_files(work, files.inputs(), **ONE)
    assert len(workspace.open(work).read("grids")) > 0


def str_of(norm):
    return f"{norm.lower}/{norm.target}/{norm.upper}"


def test_grids_come_beside_the_main_jobs_layers_and_outlive_its_next_run(tmp_path):
    out = tmp_path / "county.gpkg"
    reconcile_files(MAIN, out)
    before = {
        layer: plain(out, layer)
        for layer in ("patches", "pieces", "parcels", "balance", "villages", "shifts")
    }
    main = set(workspace.open(out).read("findings")["finding_id"])
    inputs = grid_pipeline.GridInputs(households=SAMPLE / "住户", survey=SAMPLE / "三调")
    partition_files(out, inputs, settings=replace(FAST, profile=profile_of("rural")), jobs=1)
    assert before == {layer: plain(out, layer) for layer in before}
    found = workspace.open(out).read("findings")["finding_id"]
    assert main < set(found)
    assert found.is_unique
    held = {layer: plain(out, layer) for layer in GRIDS}
    ours = workspace.open(out).read("findings", where="finding_id LIKE 'G%'")

    reconcile_files(MAIN, out)
    assert held == {layer: plain(out, layer) for layer in GRIDS}
    pd.testing.assert_frame_equal(workspace.open(out).read("findings", where="finding_id LIKE 'G%'"), ours)
    assert before == {layer: plain(out, layer) for layer in before}
    assert len(workspace.open(out).read("runs")) == 2


def shapes(path):
    rows = workspace.open(path).read("grids", where="grid_kind = 'ORDINARY'").set_index("grid_code")
    return dict(zip(rows.index, shapely.to_wkb(rows.geometry), strict=True))


def test_adjusting_to_a_norm_that_is_kept_leaves_codes_and_shapes_to_the_byte(made, work):
    result = adjust_files(work, grid_pipeline.GridInputs(), **ONE)
    assert result.grid_villages["moved"].tolist() == [0, 0]
    assert shapes(work) == shapes(made)


def test_adjusting_from_a_file_of_its_own_grids_leaves_codes_and_shapes_to_the_byte(files, made, tmp_path):
    grids = drawn_file(tmp_path / "现状网格.gpkg", workspace.open(made).read("grids"))
    adjust_files(tmp_path / "w.gpkg", files.inputs(grids=grids), **ONE)
    assert shapes(tmp_path / "w.gpkg") == shapes(made)


def test_adjusting_from_a_list_of_homes_that_names_their_grids(files, made, tmp_path):
    homes = workspace.open(made).read("households")
    houses = listed(
        tmp_path / "住户.csv", 所属网格=dict(zip(homes["address"], homes["grid_code"], strict=True))
    )
    result = adjust_files(tmp_path / "w.gpkg", files.inputs(households=houses), **ONE)
    assert set(result.grids["change"]) == {"KEPT"}
    told = result.households.set_index("address")["grid_code"]
    assert told.to_dict() == homes.set_index("address")["grid_code"].to_dict()


def test_what_a_norm_costs_is_told_and_nothing_written(work):
    before = digest(work)
    norms = [NORM, profile_of("8-12")]
    table = curve_files(work, grid_pipeline.GridInputs(), norms, budget="fast", jobs=1)
    assert table["moved"].iloc[0] == 0 < table["moved"].iloc[1]
    assert digest(work) == before


def test_our_own_grids_have_no_flaw_and_equal_themselves(work, made, tmp_path):
    rows, found = checked_files(work, grid_pipeline.GridInputs(), profile=NORM, micro=MICRO.micro)
    assert found.loc[found["severity"].eq("error"), "message"].tolist() == []
    assert len(rows) == len(workspace.open(work).read("grids"))
    grids = drawn_file(tmp_path / "g.gpkg", workspace.open(made).read("grids"))
    same = compared_files(work, grid_pipeline.GridInputs(grids=grids), profile=NORM)
    assert (same.moved, same.dissolved) == (0, 0)


def test_exclusive_sites_of_a_file_are_called_as_the_file_calls_them(files, tmp_path):
    site = gpd.GeoDataFrame(
        {"单位名称": ["粮库"]},
        geometry=[shapely.box(EAST + 480, Y0 + 20, EAST + 560, Y0 + 90)],
        crs=villages().crs,
    )
    site.to_file(tmp_path / "专属.gpkg", layer="范围")
    result = partition_files(tmp_path / "w.gpkg", files.inputs(exclusive=tmp_path / "专属.gpkg"), **ONE)
    kinds = result.grids.set_index("grid_kind")["grid_name"]
    assert kinds["EXCLUSIVE"] == "粮库"
    again = adjust_files(tmp_path / "w.gpkg", grid_pipeline.GridInputs(), **ONE)
    assert again.grids.set_index("grid_kind")["grid_name"]["EXCLUSIVE"] == "粮库"


def test_contractors_stand_in_for_households(tmp_path):
    inputs = grid_pipeline.GridInputs(parcels=MAIN.parcels, survey=SAMPLE / "三调", villages=SAMPLE / "三调")
    code = "140725100200"
    result = partition_files(
        tmp_path / "w.gpkg", inputs, only=[code], settings=replace(FAST, profile=profile_of("rural")), jobs=1
    )
    own = result.households[result.households["village_code"].eq(code)]
    assert len(own) > 0
    assert own["grid_code"].str[:12].eq(code).all()
    assert set(own["located_by"]) == {"GROUP"}


def test_two_runs_at_once_do_not_mix(files, work):
    with grid_pipeline.alone(work), pytest.raises(OutputError, match="另一个任务"):
        partition_files(work, files.inputs(), **ONE)


def test_a_workspace_without_homes_or_villages_says_what_to_give(files, tmp_path):
    with pytest.raises(InputError, match="--villages"):
        partition_files(tmp_path / "w.gpkg", replace(files.inputs(), villages=None), **ONE)
    with pytest.raises(InputError, match="--households"):
        partition_files(tmp_path / "w.gpkg", replace(files.inputs(), households=None), **ONE)
    with pytest.raises(InputError, match=r"\.gpkg"):
        partition_files(tmp_path / "w.shp", files.inputs(), **ONE)
    assert list(tmp_path.iterdir()) == []
