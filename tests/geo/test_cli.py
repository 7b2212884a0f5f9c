import json
import shutil
import subprocess
import sys

import geopandas as gpd
import pytest
from shapely import box

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
