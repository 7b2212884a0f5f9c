import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from geo import workspace
from geo.atomic import alone
from geo.errors import OutputError, ShiftError, WorkspaceError
from geo.exchange.shift_file import read_shifts
from geo.movement import GivenShift
from geo.pipeline import Inputs, reconcile_files
from geo.reconcile import Settings
from geo.reconcile.align import AlignSettings, movement_of
from tests.helpers import ROOT

SAMPLE = next((ROOT / "data_samples").glob("**/三调")).parent
INPUTS = Inputs(
    survey=SAMPLE / "三调",
    parcels=next(SAMPLE.glob("*/矢量数据")).parent,
    baseline=SAMPLE / "二调" / "DLTB.shp",
)
COMMAND = [
    *(sys.executable, "-m", "geo.cli", "reconcile", "--survey", str(INPUTS.survey)),
    *("--parcels", str(INPUTS.parcels), "--baseline", str(INPUTS.baseline)),
]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """An uninterrupted run of the sample county."""
    return reconcile_files(INPUTS, tmp_path_factory.mktemp("run") / "county.gpkg")


def f1(found, truth):
    found, truth = shapely.union_all(found.to_numpy()), shapely.union_all(truth.to_numpy())
    common = shapely.area(shapely.intersection(found, truth))
    return 2 * common / (found.area + truth.area)


def test_the_blocks_found_are_the_land_that_was_left_out(done):
    pieces = done.result.pieces
    blocks = pieces[pieces["piece_shape"] == "BLOCK"]
    truth = gpd.read_file(SAMPLE / "truth" / "truth.gpkg", layer="truth_pieces").to_crs(pieces.crs)
    assert f1(blocks.geometry, truth.geometry) >= 0.92
    for name in ("UNCONFIRMED", "NEWLY_ADDED"):
        found = blocks[blocks["piece_class"] == name]
        assert f1(found.geometry, truth[truth["piece_class"] == name].geometry) >= 0.90


PLANTED = {  # kind of flaw planted in the sample: the rule that must find it
    "ratio_at_slope_1": "survey_ridge",
    "wrong_area": "survey_area_differs",
    "unknown_class": "survey_class_unknown",
    "wrong_village": "parcel_wrong_village",
    "unknown_group": "parcel_group_unknown",
    "duplicate_code": "duplicate_code",
    "self_crossing": "geometry_repaired",
    "null_geometry": "parcel_not_laid",
    "empty_geometry": "parcel_not_laid",
    "parcel_without_rights": "parcel_without_rights",
    "rights_without_parcel": "rights_without_parcel",
    "overlap": "parcel_overlap",
    "no_zone_prefix": "crs_inferred",
    "missing_prj": "crs_inferred",
    "three_d": "geometry_flattened",
    "missing_cpg": "encoding_inferred",
}

SAID_BY = {
    "unknown_group": 14,
    "rights_without_parcel": 12,
}  # digits of the code: said of a group, of a village


def test_every_planted_flaw_is_found_at_its_row(done):
    flaws = pd.read_csv(SAMPLE / "truth" / "truth_flaws.csv", dtype=str, encoding="utf-8-sig")
    findings = done.result.findings
    text = findings["row_code"].fillna("") + findings["source_file"].fillna("") + findings["message"]
    # Of the baseline's old field names none is needed: there is nothing to say of them.
    flaws = flaws[flaws["kind"] != "old_field_names"]
    for kind, code in zip(flaws["kind"], flaws["code"], strict=True):
        said = text[findings["rule"] == PLANTED[kind]]
        named = code[: SAID_BY.get(kind, 19)]
        assert said.str.contains(named, regex=False).any(), (kind, code)


def test_every_patch_and_every_level_balance_in_the_file_that_was_written(done):
    opened = workspace.open(done.out)
    patches, pieces, balance = (opened.read(layer) for layer in ("patches", "pieces", "balance"))

    def cents(values):
        return (values * 100).round().astype("int64")

    assert (cents(patches["covered_area_m2"]) + cents(patches["residual_area_m2"])).equals(
        cents(patches["patch_area_m2"])
    )
    collective = patches[patches["patch_kind"] == "COLLECTIVE"].set_index("patch_code")
    left = cents(pieces["area_m2"]).groupby(pieces["patch_code"]).sum()
    left = left.reindex(collective.index, fill_value=0)
    assert (left == cents(collective["residual_area_m2"])).all()
    parts = cents(balance["covered_m2"]) + cents(balance["block_m2"])
    parts += cents(balance["strip_m2"]) + cents(balance["sliver_m2"])
    assert parts.equals(cents(balance["farmland_m2"]))


def test_the_same_run_again_and_with_other_jobs_writes_the_same_bytes(done, tmp_path):
    again = reconcile_files(INPUTS, tmp_path / "again.gpkg", settings=Settings(jobs=1))
    assert digest(again.out) == digest(done.out)
    assert again.run_id == done.run_id


def test_a_run_over_its_own_result_changes_nothing(done, tmp_path):
    copy = tmp_path / "county.gpkg"
    copy.write_bytes(done.out.read_bytes())
    reconcile_files(INPUTS, copy)
    assert digest(copy) == digest(done.out)


@pytest.mark.parametrize("villages", [1, 2])
def test_a_run_stopped_between_villages_and_resumed_equals_an_uninterrupted_one(done, tmp_path, villages):
    out = tmp_path / "county.gpkg"

    def stop(count, _total, _name):
        if count == villages:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reconcile_files(INPUTS, out, progress=stop)
    assert not out.exists()
    kept = list((tmp_path / "county.gpkg.part").glob("*/done"))
    assert len(kept) >= villages
    stamps = {mark: mark.stat().st_mtime_ns for mark in kept}
    resumed = reconcile_files(
        INPUTS,
        out,
        resume=True,
        progress=lambda *_: [
            stamps.pop(mark) for mark in list(stamps) if mark.stat().st_mtime_ns == stamps[mark]
        ],
    )
    assert stamps == {}, "villages that were done are not done again"
    assert digest(resumed.out) == digest(done.out)
    assert not (tmp_path / "county.gpkg.part").exists()


def test_a_killed_run_and_resumed_equals_an_uninterrupted_one(done, tmp_path):
    out = tmp_path / "county.gpkg"
    process = subprocess.Popen([*COMMAND, "--out", str(out)], cwd=ROOT, stdout=subprocess.DEVNULL)
    part = tmp_path / "county.gpkg.part"
    while process.poll() is None and not list(part.glob("*/done")):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()
    finished = subprocess.run(
        [*COMMAND, "--out", str(out), "--resume"], cwd=ROOT, check=False, capture_output=True
    )
    assert finished.returncode == 1, finished.stderr.decode()  # the sample's planted flaws are error findings
    assert digest(out) == digest(done.out)


def test_a_checkpoint_of_other_settings_is_not_taken_up(tmp_path):
    out = tmp_path / "county.gpkg"

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reconcile_files(INPUTS, out, progress=stop)
    other = Settings(share_based_share=2.0)
    plain = reconcile_files(INPUTS, tmp_path / "plain.gpkg", settings=other)
    assert digest(reconcile_files(INPUTS, out, settings=other, resume=True).out) == digest(plain.out)


def test_what_the_caller_says_of_a_layer_is_part_of_the_run(done, tmp_path):
    told = replace(INPUTS, survey_crs="EPSG:4526")
    assert reconcile_files(told, tmp_path / "told.gpkg").run_id != done.run_id


def test_files_of_one_name_are_told_apart_in_the_run(tmp_path):
    names = {}
    for swapped in (False, True):
        folder = tmp_path / str(swapped) / "DK"
        for part, source in zip(("a", "b"), ("DK140725100", "DK140725101"), strict=True):
            (folder / part).mkdir(parents=True)
            for path in (INPUTS.parcels / "矢量数据").glob(f"{source}.*"):
                shutil.copy(path, folder / part / f"DK140725{path.suffix}")
        if swapped:
            (folder / "a" / "DK140725.dbf").write_bytes(
                (folder / "a" / "DK140725.dbf").read_bytes() + b"\x1a"
            )
        inputs = replace(INPUTS, parcels=folder, rights=INPUTS.parcels / "权属数据" / "1407252016.xlsx")
        names[swapped] = reconcile_files(inputs, tmp_path / f"{swapped}.gpkg").run_id
    assert names[False] != names[True]


def test_two_runs_at_once_on_one_output_do_not_mix(tmp_path):
    out = tmp_path / "county.gpkg"
    with alone(out), pytest.raises(OutputError, match="另一个任务"):
        reconcile_files(INPUTS, out)
    assert list(tmp_path.glob("*")) == []


def test_another_countys_data_does_not_get_this_countys_codes(done, tmp_path):
    out = tmp_path / "county.gpkg"
    opened = workspace.open(done.out)
    tables = {layer: opened.read(layer) for layer in opened.layers}
    register = tables["code_register"]
    tables["code_register"] = register.assign(group_code="15" + register["group_code"].str[2:])
    workspace.write(out, tables, crs=opened.crs)
    before = digest(out)
    with pytest.raises(OutputError, match="换一个文件名"):
        reconcile_files(INPUTS, out)
    assert digest(out) == before


def test_a_checkpoint_that_a_power_cut_damaged_is_done_again(done, tmp_path):
    out = tmp_path / "county.gpkg"

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reconcile_files(INPUTS, out, progress=stop)
    for path in (tmp_path / "county.gpkg.part").glob("*/pieces.parquet"):
        path.write_bytes(path.read_bytes()[:100])
    assert digest(reconcile_files(INPUTS, out, resume=True).out) == digest(done.out)


def test_a_workspace_of_another_version_is_refused_and_left_alone(tmp_path):
    out = tmp_path / "county.gpkg"
    gpd.GeoDataFrame(geometry=[shapely.Point(0, 0)], crs=4490).to_file(out, layer="other")
    before = digest(out)
    with pytest.raises(WorkspaceError):
        reconcile_files(INPUTS, out)
    assert digest(out) == before


def test_a_failure_in_writing_leaves_the_good_workspace_and_the_checkpoint(done, tmp_path, monkeypatch):
    out = tmp_path / "county.gpkg"
    out.write_bytes(done.out.read_bytes())

    def full(*_args, **_more):
        raise OutputError("磁盘已满")

    with monkeypatch.context() as patched:
        patched.setattr(workspace, "write", full)
        with pytest.raises(OutputError):
            reconcile_files(INPUTS, out)
    assert digest(out) == digest(done.out)
    assert (tmp_path / "county.gpkg.part").exists()
    assert digest(reconcile_files(INPUTS, out, resume=True).out) == digest(done.out)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_one_clear_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError):
        reconcile_files(INPUTS, tmp_path / "county.gpkg")


MOVED = "140725101200"  # lies 60 m off in the shifted county


def deciding(*given, **more):
    return Settings(align=AlignSettings(given=given, **more))


def test_a_table_of_shifts_taken_as_it_is_moves_every_vertex_by_its_numbers(shifted, tmp_path):
    with pytest.raises(ShiftError, match=r"w\.shifts\.csv") as stopped:
        reconcile_files(shifted, tmp_path / "w.gpkg")
    waiting = stopped.value.shifts["reason"].str.contains("待确认")
    # The village, and what of its file lies in the other one.
    assert list(stopped.value.shifts.loc[waiting, "shift_key"]) == ["140725100200/DK140725101.shp", MOVED]
    table = tmp_path / "w.shifts.csv"
    assert [path.name for path in tmp_path.iterdir()] == [table.name], "nothing else is left behind"
    text = table.read_text(encoding="utf-8-sig").splitlines()
    (at,) = [number for number, line in enumerate(text) if line.startswith(f"\t{MOVED},")]
    cells = text[at].split(",")
    cells[text[0].split(",").index("采用")] = "是"
    text[at] = ",".join(cells)
    table.write_text("\n".join(text), encoding="utf-8")

    done = reconcile_files(shifted, tmp_path / "w.gpkg", settings=deciding(*read_shifts(table)))
    opened = workspace.open(done.out)
    shift = opened.read("shifts").set_index("shift_key").loc[MOVED]
    before = opened.read("parcels_original").set_index("parcel_code").geometry.sort_index()
    after = opened.read("parcels").set_index("parcel_code").geometry.loc[before.index]
    moved = shapely.transform(before.to_numpy(), movement_of(shift))
    assert shapely.get_num_coordinates(moved).sum() > 1000
    apart = np.hypot(*(shapely.get_coordinates(moved) - shapely.get_coordinates(after.to_numpy())).T)
    assert apart.max() < 1e-6


def test_one_village_decided_and_the_other_waiting_keeps_the_decision_in_the_new_table(shifted, tmp_path):
    refused = GivenShift(shift_key="140725100200", accepted=False)
    with pytest.raises(ShiftError):
        reconcile_files(shifted, tmp_path / "w.gpkg", settings=deciding(refused))
    assert read_shifts(tmp_path / "w.shifts.csv") == (refused,)


def test_a_stop_leaves_a_good_workspace_as_it_was(shifted, tmp_path):
    out = tmp_path / "w.gpkg"
    reconcile_files(shifted, out, settings=deciding(mode="none"))
    before = digest(out)
    with pytest.raises(ShiftError):
        reconcile_files(shifted, out)
    assert digest(out) == before


def test_the_run_is_named_by_what_the_decisions_say_not_by_the_file_that_says_it(shifted, tmp_path):
    def run(name, text, encoding="utf-8"):
        path = tmp_path / f"{name}.csv"
        path.write_text(text, encoding=encoding)
        return reconcile_files(
            shifted, tmp_path / f"{name}.gpkg", settings=deciding(*read_shifts(path), accept_far=True)
        )

    plain = run("a", f"村代码,采用\n{MOVED},否\n")
    same = run("b", f"说明,采用,偏移号\n无,不移动,{MOVED}\n", encoding="gbk")
    other = run("c", f"偏移号,采用,东移改正,北移改正\n{MOVED},是,-48,-36\n")
    assert plain.run_id == same.run_id != other.run_id
    assert digest(plain.out) == digest(same.out)


def test_a_run_decided_upon_otherwise_does_not_go_on_from_the_checkpoint(shifted, tmp_path):
    out = tmp_path / "w.gpkg"

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reconcile_files(
            shifted, out, settings=deciding(GivenShift(shift_key=MOVED, accepted=True)), progress=stop
        )
    stays = deciding(GivenShift(shift_key=MOVED, accepted=False))
    resumed = reconcile_files(shifted, out, settings=stays, resume=True)
    plain = reconcile_files(shifted, tmp_path / "plain.gpkg", settings=stays)
    assert digest(resumed.out) == digest(plain.out)
    assert len(workspace.open(out).read("parcels_original")) == 0
