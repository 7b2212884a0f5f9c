"""The commands of grids as a user types them: what they say, and what they refuse in one line."""

import json
import shutil

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from openpyxl import load_workbook
from typer.testing import CliRunner

from geo import grid_cli, workspace
from geo.cli import app
from geo.grid_pipeline import partition_files
from tests.geo.grid_files import drawn_file, listed, written
from tests.geo.grids.counties import FAST, LOWER, UPPER, source, villages
from tests.helpers import X0, Y0

BAND = ["--profile", "6/8/14"]
QUICK = ["--budget", "fast", "--jobs", "1"]


def taotu(*words):
    """What ``taotu grids`` says, its errors apart, and how it ends."""
    said = CliRunner().invoke(app, ["grids", *map(str, words)], catch_exceptions=False)
    return said.exit_code, said.stdout, said.stderr


def refused(*words):
    """The one line with which something is refused."""
    code, out, line = taotu(*words)
    assert (code, out) == (2, ""), line
    assert line.startswith("错误：")
    assert line.count("\n") == 1
    return line


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return written(tmp_path_factory.mktemp("cli_county"))


@pytest.fixture(scope="module")
def made(files, tmp_path_factory):
    out = tmp_path_factory.mktemp("cli_work") / "w.gpkg"
    partition_files(out, files.inputs(), settings=FAST, jobs=1)
    return out


@pytest.fixture
def work(made, tmp_path):
    return shutil.copy(made, tmp_path / "w.gpkg")


def test_partition_makes_a_workspace_and_tells_it_in_numbers(files, tmp_path):
    out = tmp_path / "w.gpkg"
    code, said, _ = taotu("partition", out, *files.words(), *BAND, "--micro", "2/3/5", *QUICK, "--json")
    told = json.loads(said)
    grids = workspace.open(out).read("grids")
    assert code == 0
    assert told["households"] == source()["households"].sum()
    assert told["grids"] == told["in_band"] == grids["grid_kind"].eq("ORDINARY").sum()
    assert told["micro_grids"] == grids["grid_kind"].eq("MICRO").sum() > 0
    assert 0 <= told["gap_median"] <= told["gap_worst"]


def test_what_is_out_of_the_band_is_said_village_by_village(files, tmp_path):
    code, said, _ = taotu("partition", tmp_path / "w.gpkg", *files.words(), "--profile", "80/90/95", *QUICK)
    assert code == 0
    lines = said.splitlines()
    assert lines[0].startswith(f"2 个村，{source()['households'].sum()} 户，划成")
    assert sum(line.startswith(("  上庄村", "  柳沟村")) for line in lines) >= 1


def test_adjust_tells_who_moved_and_a_curve_writes_nothing(work):
    before = work.read_bytes()
    code, said, _ = taotu("adjust", work, "--curve", "6/8/14,8-12", *QUICK)
    assert code == 0
    assert [line.split()[1] for line in said.splitlines()[1:]] == ["6-14", "8-12"]
    rows = json.loads(taotu("adjust", work, "--curve", "6/8/14,8-12", *QUICK, "--json")[1])
    assert [row["moved"] > 0 for row in rows] == [False, True]
    assert work.read_bytes() == before

    code, said, _ = taotu("adjust", work, "--profile", "8-12", *QUICK, "--json")
    assert code == 0
    assert json.loads(said)["moved"] == rows[1]["moved"]


def test_adjust_needs_no_polygons_where_homes_name_their_grid(made, tmp_path, files):
    homes = workspace.open(made).read("households")
    table = listed(tmp_path / "户.csv", 网格=dict(zip(homes["address"], homes["grid_code"], strict=True)))
    words = ["--villages", files.villages, "--households", table, *BAND, *QUICK, "--json"]
    code, said, _ = taotu("adjust", tmp_path / "w.gpkg", *words)
    assert code == 0
    assert json.loads(said)["moved"] == 0


def test_check_counts_sizes_and_flaws_and_writes_them_in_chinese(work, tmp_path):
    grids = gpd.GeoDataFrame(workspace.open(work).read("grids"))
    grids.loc[0, "geometry"] = grids.geometry[0].buffer(20)
    file = drawn_file(tmp_path / "g.gpkg", grids)
    code, said, _ = taotu("check", work, *BAND)
    assert (code, "超出 0" in said) == (0, True)
    out, table = tmp_path / "问题.csv", tmp_path / "清单.csv"
    code, said, _ = taotu("check", work, "--grids", file, *BAND, "--out", out, "--table", table)
    assert code == 1
    assert "网格重叠" in said
    assert "网格重叠" in out.read_text(encoding="utf-8-sig")
    rows = pd.read_csv(table, dtype=str, encoding="utf-8-sig")
    assert rows.columns[:3].tolist() == ["网格编码", "网格名称", "网格类型"]
    assert set(rows["规模"]) <= {"合格", "不足", "超出"}
    assert len(rows) == len(grids)
    assert json.loads(taotu("check", work, "--grids", file, *BAND, "--json")[1])["findings"]["error"] > 0


def test_compare_says_what_became_of_each_grid(work, made, tmp_path):
    grids = gpd.GeoDataFrame(workspace.open(made).read("grids"))
    file = drawn_file(tmp_path / "g.gpkg", grids)
    taotu("adjust", work, "--profile", "8-12", *QUICK)
    table = tmp_path / "对照.csv"
    code, said, _ = taotu("compare", work, "--grids", file, *BAND, "--out", table)
    assert code == 0
    assert "换了网格的住户" in said
    rows = pd.read_csv(table, dtype=str, encoding="utf-8-sig")
    titles = {"网格编码", "变动", "前身网格", "户数", "调整前户数", "调入户数", "边界变动"}
    assert titles <= set(rows.columns)
    assert not any(name.isascii() for name in rows.columns)
    assert set(rows["变动"]) <= {"新设", "不变", "调整", "合并", "拆分"}
    told = json.loads(taotu("compare", work, "--grids", file, *BAND, "--json")[1])
    assert f"换了网格的住户 {told['moved']} 户" in said


def test_roster_writes_a_workbook_a_village(made, tmp_path):
    code, said, _ = taotu("roster", made, "--out", tmp_path / "名册")
    assert code == 0
    names = [line.rsplit("/", 1)[-1] for line in said.split()]
    assert names == ["网格汇总.xlsx", f"网格{UPPER}上庄村.xlsx", f"网格{LOWER}柳沟村.xlsx"]
    sheet = load_workbook(tmp_path / "名册" / names[1])["住户"]
    titles = [cell.value for cell in sheet[3]]
    held = [row[titles.index("户数")].value for row in sheet.iter_rows(min_row=4, max_row=sheet.max_row - 1)]
    homes = workspace.open(made).read("households", where=f"village_code = '{UPPER}'")
    assert sum(held) == homes["households"].sum()


def test_whoever_waits_for_the_first_use_is_told(monkeypatch, capsys):
    monkeypatch.setattr("geo.grids.ready.is_compiled", lambda: False)
    grid_cli.tell_of_first_use()
    assert "首次使用" in capsys.readouterr().err
    monkeypatch.setattr("geo.grids.ready.is_compiled", lambda: True)
    grid_cli.tell_of_first_use()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("norm", ["农村", "50-30", "0-10", "20-", "30/20/50"])
def test_a_norm_that_is_none_is_refused(files, tmp_path, norm):
    assert norm in refused("partition", tmp_path / "w.gpkg", *files.words(), "--profile", norm)
    assert list(tmp_path.iterdir()) == []


WRONG = {
    "no villages": ("--villages", lambda f, _: ["partition", "w.gpkg", "--households", f.houses]),
    "no homes": ("--households", lambda f, _: ["partition", "w.gpkg", "--villages", f.villages]),
    "no such file": ("没有.shp", lambda f, _: ["partition", "w.gpkg", *f.words(), "--survey", "没有.shp"]),
    "no such houses": ("没有.xlsx", lambda f, _: [*land(f), "--households", "没有.xlsx"]),
    "line without kind": ("种类=文件", lambda f, _: ["partition", "w.gpkg", *f.words(), "--line", f.lanes]),
    "unknown line": ("城墙", lambda f, _: ["partition", "w.gpkg", *f.words(), "--line", f"城墙={f.lanes}"]),
    "not a workspace name": (".gpkg", lambda f, _: ["partition", "w.shp", *f.words()]),
    "another county": ("999999", lambda f, _: ["partition", "w.gpkg", *f.words(), "--only", "999999"]),
    "unknown system": ("EPSG:1", lambda f, _: ["partition", "w.gpkg", *f.words(), "--households-crs", "EPSG:1"]),
    "no grids to adjust": ("没有现有网格", lambda f, _: ["adjust", "w.gpkg", *f.words()]),
    "no grids to check": ("--grids", lambda f, _: ["check", *land(f)[1:], "--households", f.houses]),
    "homes far away": ("千米", lambda f, t: [*land(f), "--households", far(t)]),
    "damaged houses": ("坏.zip", lambda f, t: [*land(f), "--households", damaged(t)]),
    "no homes in the file": ("空", lambda f, t: [*land(f), "--households", empty(t)]),
    "grids elsewhere": ("没有", lambda f, t: ["adjust", "w.gpkg", *f.words(), "--grids", strange(t)]),
    "roster of nothing": ("w.gpkg", lambda _f, _t: ["roster", "w.gpkg"]),
}  # fmt: skip


def land(files):
    return ["partition", "w.gpkg", "--villages", files.villages]


def far(folder):
    houses = source()
    houses.set_geometry(houses.geometry.translate(90_000, 0)).to_file(folder / "远.gpkg", layer="住户")
    return folder / "远.gpkg"


def damaged(folder):
    (folder / "坏.zip").write_bytes(b"PK\x03\x04 no more of it")
    return folder / "坏.zip"


def empty(folder):
    source()[:0].to_file(folder / "空.gpkg", layer="住户")
    return folder / "空.gpkg"


def strange(folder):
    shape = shapely.box(X0 + 9e4, Y0, X0 + 9.1e4, Y0 + 100)
    table = gpd.GeoDataFrame({"网格名称": ["远处"]}, geometry=[shape], crs=villages().crs)
    table.to_file(folder / "别处.gpkg", layer="网格")
    return folder / "别处.gpkg"


@pytest.mark.parametrize("kind", WRONG)
def test_what_the_user_must_mend_is_one_line(files, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    word, words = WRONG[kind]
    line = refused(*words(files, tmp_path))
    assert word in line
    assert not list(tmp_path.glob("w.*")), "nothing is left behind"


def flawed(kind, folder):
    """A county with something wrong in its data, of which a run must tell and go on."""
    land, houses = villages(), source()
    if kind == "hole and island":
        island = shapely.box(X0 - 80, Y0 + 20, X0 - 40, Y0 + 60)
        land.loc[0, "geometry"] = shapely.MultiPolygon([land.geometry[0], island])
    elif kind == "home on the border":
        houses.loc[0, "geometry"] = shapely.Point(X0 + 600, Y0 + 200)
    elif kind == "home outside":
        houses.loc[0, "geometry"] = shapely.Point(X0 - 70, Y0 + 300)
    elif kind == "weights":
        houses["households"] = [0, -3, *[1] * (len(houses) - 2)]
    elif kind == "overlap":
        land.loc[1, "geometry"] = shapely.box(X0 + 560, Y0, X0 + 1200, Y0 + 600)
    elif kind == "one point":
        houses["geometry"] = shapely.Point(X0 + 50, Y0 + 50)
    elif kind == "no place":
        houses["geometry"] = houses.geometry.where(np.arange(len(houses)) > 0)
    elif kind == "crossing border":
        bow = [(X0, Y0), (X0 + 600, Y0 + 500), (X0 + 600, Y0), (X0, Y0 + 500)]
        land.loc[0, "geometry"] = shapely.Polygon(bow)
    return written(folder, land=land, houses=houses)


TOLD = {
    "hole and island": "grid_part_without_homes",
    "home on the border": "household_border",
    "home outside": "household_outside",
    "weights": "household_count_negative",
    "overlap": "grid_villages_overlap",
    "one point": "household_one_point",
    "no place": "household_no_village",
    "crossing border": "geometry_repaired",
}


@pytest.mark.parametrize("roads", [True, False], ids=["roads", "bare"])
@pytest.mark.parametrize("kind", TOLD)
def test_a_flaw_is_a_finding_and_no_household_is_lost(tmp_path, kind, roads):
    files = flawed(kind, tmp_path)
    words = files.words() if roads else files.words()[:4]
    work = tmp_path / "w.gpkg"
    code, said, line = taotu("partition", work, *words, *BAND, *QUICK, "--json")
    assert code in {0, 1}, line
    held = workspace.open(work)
    found = held.read("findings")
    if kind != "crossing border":
        assert TOLD[kind] in set(found["rule"])
    homes = held.read("households")
    assert len(homes) == len(source())
    assert homes["households"].sum() == json.loads(said)["households"]
    placed = homes[homes["village_code"].notna() & homes["village_code"].ne("")]
    assert placed["grid_code"].notna().all()
    assert code == (1 if found["severity"].eq("error").any() else 0)


def test_existing_grids_that_overlap_and_leave_gaps_are_told_and_adjusted(files, tmp_path):
    strips = [shapely.box(X0, Y0 + 70 * n + (n == 3) * 30, X0 + 1200, Y0 + 70 * n + 80) for n in range(8)]
    grids = gpd.GeoDataFrame(
        {"网格名称": [f"第{n}片" for n in range(8)]}, geometry=strips, crs=villages().crs
    )
    grids.to_file(tmp_path / "g.gpkg", layer="网格")
    work = tmp_path / "w.gpkg"
    code, said, line = taotu(
        "adjust", work, *files.words(), "--grids", tmp_path / "g.gpkg", *BAND, *QUICK, "--json"
    )
    assert code in {0, 1}, line
    told = json.loads(said)
    assert (told["households"], told["without_grid"]) == (source()["households"].sum(), 0)
    assert {"grid_old_overlap", "grid_old_gap"} <= set(workspace.open(work).read("findings")["rule"])
