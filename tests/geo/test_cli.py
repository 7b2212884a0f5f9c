import csv
import json
import shutil
import subprocess
import sys
from io import StringIO

import geopandas as gpd
import pytest
from shapely import box

from geo import workspace
from tests.helpers import ROOT

SAMPLE = next((ROOT / "data_samples").glob("**/三调")).parent
HELD = next(SAMPLE.glob("*/矢量数据")).parent
SURVEY = SAMPLE / "三调" / "DLTB.shp"


def taotu(*words, cwd=ROOT):
    command = [sys.executable, "-m", "geo.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, check=False, encoding="utf-8", cwd=cwd, timeout=300)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A workspace made by the command, and what the command said."""
    out = tmp_path_factory.mktemp("cli") / "county.gpkg"
    said = taotu("reconcile", "--survey", SAMPLE / "三调", "--parcels", HELD, "--out", out, "--json")
    return out, said


def test_reconcile_prints_a_summary_that_balances_and_says_that_there_are_errors(work):
    out, said = work
    assert said.returncode == 1
    summary = json.loads(said.stdout)
    (county,) = summary["balance"]
    parts = sum(county[name] for name in ("covered_m2", "block_m2", "strip_m2", "sliver_m2"))
    assert round(parts, 2) == round(county["farmland_m2"], 2) > 0
    assert summary["findings"]["error"] > 0
    assert out.exists()


def test_without_a_baseline_no_class_is_guessed(work):
    pieces = gpd.read_file(work[0], layer="pieces")
    assert set(pieces["class_source"]) <= {"NONE", "PARCEL_EVIDENCE"}
    assert set(pieces.loc[pieces["class_source"] == "NONE", "piece_class"]) == {"UNDETERMINED"}


def test_report_map_and_ledger_come_from_the_workspace(work, tmp_path):
    said = taotu("report", work[0])
    assert (said.returncode, "面积平衡" in said.stdout) == (0, True)
    assert json.loads(taotu("report", work[0], "--json").stdout)
    assert taotu("map", work[0], "--out", tmp_path / "map.html").returncode == 0
    assert "leaflet" in (tmp_path / "map.html").read_text(encoding="utf-8").lower()
    assert taotu("ledger", work[0], "--out", tmp_path / "台账").returncode == 0
    assert (tmp_path / "台账" / "全县汇总.xlsx").exists()


def test_check_lists_findings_and_writes_no_workspace(tmp_path):
    said = taotu("check", SURVEY, HELD, "--out", tmp_path / "findings.csv")
    assert said.returncode == 1
    assert "错误" in said.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["findings.csv"]


def broken(kind, folder):
    """Arguments of a run that cannot be: what is wrong, and what the line must name."""
    survey, parcels, out, word = SURVEY, HELD, folder / "w.gpkg", ""
    if kind == "no such file":
        survey, word = folder / "没有.shp", "没有.shp"
    elif kind == "missing column":
        layer = gpd.read_file(SURVEY, encoding="GBK").drop(columns="DLBM")
        survey, word = folder / "缺列.gpkg", "DLBM"
        layer.to_file(survey, layer="DLTB")
    elif kind == "empty layer":
        survey, word = folder / "空.gpkg", "空.gpkg"
        gpd.read_file(SURVEY, encoding="GBK").iloc[:0].to_file(survey, layer="DLTB")
    elif kind == "another county":
        layer = gpd.read_file(SURVEY, encoding="GBK")
        far = gpd.GeoDataFrame(
            {"DKBM": ["3213241002020100001"], "DKLB": ["10"]},
            geometry=[box(38_700_000, 3_700_000, 38_700_100, 3_700_100)],
        ).set_crs(layer.crs)
        parcels, word = folder / "外县.gpkg", "外县.gpkg"
        far.to_file(parcels, layer="DK")
    elif kind == "corrupt zip":
        survey, word = folder / "坏.zip", "坏.zip"
        survey.write_bytes(b"PK\x03\x04 no more of it")
    elif kind == "corrupt shp":
        survey, word = folder / "DLTB.shp", "DLTB.shp"
        for suffix in (".shp", ".shx", ".dbf", ".prj"):
            shutil.copy(SURVEY.with_suffix(suffix), folder / f"DLTB{suffix}")
        survey.write_bytes(survey.read_bytes()[:500])
    elif kind == "not a workspace name":
        out, word = folder / "w.shp", ".gpkg"
    elif kind == "out in a file":
        (folder / "f").write_text("")
        out, word = folder / "f" / "w.gpkg", "f"
    return ["reconcile", "--survey", survey, "--parcels", parcels, "--out", out], word


@pytest.mark.parametrize(
    "kind",
    [
        "no such file",
        "missing column",
        "empty layer",
        "another county",
        "corrupt zip",
        "corrupt shp",
        "not a workspace name",
        "out in a file",
    ],
)
def test_bad_input_is_one_clear_line_and_status_2(kind, tmp_path):
    words, named = broken(kind, tmp_path)
    said = taotu(*words)
    assert said.returncode == 2, said.stderr
    errors = [line for line in said.stderr.splitlines() if line.startswith("错误：")]
    assert len(errors) == 1, said.stderr
    assert named in errors[0]
    assert "Traceback" not in said.stderr
    assert not (tmp_path / "w.gpkg").exists()


def test_wrong_use_is_status_2():
    assert taotu("reconcile").returncode == 2
    assert taotu("no-such-command").returncode == 2


def test_a_workspace_that_is_none_is_one_line(tmp_path):
    path = tmp_path / "x.gpkg"
    path.write_text("no")
    said = taotu("report", path)
    assert (said.returncode, said.stderr.count("\n")) == (2, 1)


MOVED = "140725101200"  # the village of the shifted county that lies 60 m to the north-east


def reconciled(inputs, out, *words):
    files = ["--survey", inputs.survey, "--parcels", inputs.parcels, "--baseline", inputs.baseline]
    return taotu("reconcile", *files, "--out", out, *words)


def rows_of(path):
    return list(csv.DictReader(StringIO(path.read_text(encoding="utf-8-sig"))))


def shifts_of(out):
    return workspace.open(out).read("shifts").set_index("shift_key")


def test_a_village_far_off_stops_the_run_with_one_line_and_a_table_to_decide_on(shifted, tmp_path):
    out = tmp_path / "w.gpkg"
    said = reconciled(shifted, out)
    assert said.returncode == 2, said.stderr
    (line,) = [line for line in said.stderr.splitlines() if line.startswith("错误：")]
    assert f"（{MOVED}）偏东北 60.0 m" in line
    assert "w.shifts.csv" in line
    assert "Traceback" not in said.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["w.shifts.csv"]

    table = tmp_path / "w.shifts.csv"
    rows = rows_of(table)
    (waiting,) = [row for row in rows if row["偏移号"].strip() == MOVED]
    assert waiting["采用"] == ""
    waiting["采用"] = "是"
    with table.open("w", encoding="gbk", newline="") as file:  # as Excel in a Chinese office saves it
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)

    said = reconciled(shifted, out, "--align", table)
    assert said.returncode in {0, 1}, said.stderr
    row = shifts_of(out).loc[MOVED]
    assert (row["confidence"], row["accepted"]) == ("given", True)
    assert [row["dx_m"], row["dy_m"]] == [float(waiting[name]) for name in ("东移改正", "北移改正")]
    assert f"（{MOVED}）确权地块整体偏东北 60.0 m，按给定参数已改正" in said.stdout
    parcels = workspace.open(out).read("parcels")
    keys = parcels[parcels["parcel_code"].str.startswith(MOVED)].groupby("source_file")["shift_key"].agg(set)
    # Six of its parcels came in the other village's file, which lies right.
    assert keys.to_dict() == {"DK140725100.shp": {""}, "DK140725101.shp": {MOVED}}
    others = (
        parcels[~parcels["parcel_code"].str.startswith(MOVED)].groupby("source_file")["shift_key"].agg(set)
    )
    # And what of the far file lies in the other village goes with that file.
    strays = {"140725100200/DK140725101.shp"}
    assert others.to_dict() == {"DK140725100.shp": {""}, "DK140725101.shp": strays}


def test_shifts_accepted_at_once_need_no_table(shifted, tmp_path):
    said = reconciled(shifted, tmp_path / "w.gpkg", "--accept-shifts")
    assert said.returncode in {0, 1}, said.stderr
    row = shifts_of(tmp_path / "w.gpkg").loc[MOVED]
    assert row["accepted"]
    assert (row["dx_m"], row["dy_m"]) == (pytest.approx(-48, abs=0.2), pytest.approx(-36, abs=0.2))
    assert {path.suffix for path in tmp_path.iterdir()} == {".gpkg"}


def test_align_none_looks_for_no_shift_and_says_so(shifted, tmp_path):
    said = reconciled(shifted, tmp_path / "w.gpkg", "--align", "none")
    assert said.returncode in {0, 1}, said.stderr
    opened = workspace.open(tmp_path / "w.gpkg")
    assert len(opened.read("shifts")) == len(opened.read("parcels_original")) == 0
    assert "套合偏移\n未判断" in said.stdout


def test_a_village_decided_to_stay_stays(shifted, tmp_path):
    decisions = tmp_path / "d.csv"
    decisions.write_text(f"村代码,采用\n{MOVED},否\n", encoding="utf-8")
    said = reconciled(shifted, tmp_path / "w.gpkg", "--align", decisions)
    assert said.returncode in {0, 1}, said.stderr
    assert not shifts_of(tmp_path / "w.gpkg").loc[MOVED, "accepted"]
    assert f"（{MOVED}）确权地块依据 --align 文件不移动" in said.stdout


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "--align 应为 auto、none 或偏移表文件；没有文件"),
        ("村代码,采用\n149999999999,是\n", "149999999999 不在本次数据中"),
        ("村名,采用\n甲,是\n", "应有“偏移号”（或“村代码”）和“采用”两列"),
        ("村代码,采用\n1.40725E+11,是\n", "代码列请存为文本"),
    ],
)
def test_a_word_or_a_file_that_decides_nothing_here_is_one_line(shifted, tmp_path, content, told):
    path = tmp_path / "nosuch"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    said = reconciled(shifted, tmp_path / "w.gpkg", "--align", path)
    assert said.returncode == 2
    (line,) = [line for line in said.stderr.splitlines() if line.startswith("错误：")]
    assert told in line
    assert not (tmp_path / "w.gpkg").exists()


def test_check_lists_the_shift_and_goes_on(shifted, tmp_path):
    said = taotu("check", shifted.survey, shifted.parcels, "--out", tmp_path / "f.csv")
    assert said.returncode == 1, said.stderr
    assert "村地块整体偏移超过 10 米待确认" in said.stdout
    (found,) = [
        row for row in rows_of(tmp_path / "f.csv") if row["规则名称"] == "村地块整体偏移超过 10 米待确认"
    ]
    assert "偏东北 60.0" in found["说明"]
    assert "整体偏移" not in taotu("check", shifted.survey, shifted.parcels, "--align", "none").stdout
