"""The set as a whole: it lists what the ledger lists, goes on after faults, is the same at any number of workers."""

import json
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import openpyxl
import pandas as pd
import pyogrio
import pytest
import shapely
from shapely import affinity
from shapely.geometry import box

from benchmarks.orthophoto import write_orthophoto
from geo import ledger, schema, workspace
from geo.errors import InputError, MissingToolError, OutputError
from geo.sheets import fonts
from geo.sheets.run import SheetSettings, formats, make_sheets
from geo.sheets.unit import VOLUME
from tests.geo.county import CRS, LOWER, UPPER, W_CODE, X0, Y0, county_tables
from tests.geo.sheets.painters import Plain
from tests.helpers import ROOT

BARE = f"{LOWER}03"  # a group without pieces


def tables(**changed):
    made = county_tables()
    row = made["balance"].iloc[[-1]].assign(code=BARE, name="第三村民小组")
    row[row.columns[row.columns.str.endswith("_m2")]] = 0.0
    made["balance"] = pd.concat([made["balance"], row], ignore_index=True)
    return made | changed


def put(path, **changed):
    workspace.write(path, tables(**changed), crs=CRS)
    return workspace.open(path)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return put(tmp_path_factory.mktemp("sheets") / "w.gpkg")


def plain(**how):
    return SheetSettings(painting=Plain(**how))


def made(work, out, **asked):
    return make_sheets(work, out, **({"settings": plain()} | asked))


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def text_of(path):
    return subprocess.run(
        ["pdftotext", "-layout", path, "-"], capture_output=True, text=True, check=True
    ).stdout


needs_poppler = pytest.mark.skipif(not shutil.which("pdftotext"), reason="poppler is not installed")


# The ledger, the manifest and the sheets are one


@pytest.mark.parametrize("by", ["group", "village", "sheet"])
def test_pieces_and_areas_of_ledger_manifest_and_sheets_are_the_same(work, tmp_path, by):
    outcome = made(work, tmp_path / "out", by=by)
    rows = pd.read_csv(outcome.manifest_path, dtype=str, encoding="utf-8-sig")
    home = rows[(rows["行类"] == "图块") & (rows["登记页"] == "是")]
    listed = {code: float(area) for code, area in zip(home["图块编号"], home["面积"], strict=True)}
    assert len(listed) == len(home)
    booked = {}
    for book in ledger.write_ledger(work, tmp_path / "台账")[1:]:
        file = openpyxl.load_workbook(book, data_only=True)
        for name, at in (("图块台账", 5), ("细条碎屑", 6)):
            for row in file[name].iter_rows(min_row=4, values_only=True):
                if row[0] != "合计":
                    booked[row[0]] = row[at]
    assert listed == booked
    pages = outcome.sheets
    assert pages["home_count"].sum() == len(booked)
    assert round(pages["area_m2"].sum(), 2) == round(sum(booked.values()), 2)
    assert outcome.sheets.crs == CRS


def test_every_page_is_a_row_with_its_file_and_a_group_without_pieces_has_one(work, tmp_path):
    outcome = made(work, tmp_path, formats=("pdf", "geopdf", "png", "dxf"), by="group", resume=False)
    sheets = outcome.sheets
    assert set(sheets["unit_code"]) == {f"{UPPER}01", f"{LOWER}02", BARE}
    assert sheets.loc[sheets["unit_code"] == BARE, "sheet_kind"].tolist() == ["empty"]
    for files, key in zip(sheets["file"], sheets["sheet_key"], strict=True):
        paths = [tmp_path / name for name in files.split(";")]
        assert all(path.is_file() for path in paths)
        assert sorted(path.suffix for path in paths) == [".dxf", ".pdf", ".pdf", ".png"]
        assert sum(path.stem == key for path in paths) == 2


@needs_poppler
def test_every_code_is_on_the_unit_it_is_listed_for(work, tmp_path):
    outcome = made(work, tmp_path)
    rows = outcome.manifest
    for code, unit in rows[rows["is_home"] == "是"][["piece_code", "unit_code"]].itertuples(index=False):
        (file,) = set(rows.loc[(rows["unit_code"] == unit) & (rows["row_kind"] == "图幅"), "file"])
        assert text_of(tmp_path / file).count(code) == 1


def test_sheets_lie_where_their_pieces_are(work, tmp_path):
    sheets = made(work, tmp_path, by="sheet").sheets
    pieces = work.read("pieces")
    land = shapely.union_all(sheets.geometry.to_numpy())
    assert shapely.covers(land, pieces.geometry.to_numpy()).all()


# Any number of workers, the same files


@pytest.mark.parametrize("by", ["group", "sheet"])
def test_two_workers_make_the_same_bytes_as_one(work, tmp_path, by):
    for folder, jobs in (("one", 1), ("two", 2)):
        make_sheets(work, tmp_path / folder, by=by, formats=("pdf", "dxf", "shp"), jobs=jobs)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert len(contents(tmp_path / "one")) > 10


def test_a_worker_that_is_killed_is_one_clear_error_and_what_was_done_stays(work, tmp_path):
    settings = plain(dies=(f"{LOWER}02-02",))
    with pytest.raises(OutputError, match="--resume"):
        made(work, tmp_path, jobs=2, settings=settings)
    outcome = made(work, tmp_path, jobs=2, resume=True)
    assert outcome.errors.empty
    assert len(outcome.sheets) == 5


@pytest.mark.skipif(not Path("/proc").exists(), reason="processes are looked up in /proc")
def test_a_run_that_is_killed_leaves_no_worker_behind_and_is_gone_on_with(work, tmp_path):
    out = tmp_path / "out"
    words = [sys.executable, "-m", "geo.cli", "sheets", work.path, "--out", out, "--jobs", "2"]
    run = subprocess.Popen([str(word) for word in words], cwd=ROOT, stderr=subprocess.DEVNULL)
    wait_for(lambda: (len(workers_of(run.pid)) == 2 and list(out.rglob("*.pdf"))) or run.poll() is not None)
    workers = workers_of(run.pid)
    run.kill()
    run.wait()
    wait_for(lambda: not any(alive(worker) for worker in workers))
    assert make_sheets(work, out, resume=True).errors.empty
    make_sheets(work, tmp_path / "fresh")
    for left in out.rglob(".*.unfinished-*"):  # of a worker that fell while writing; swept when it is old
        shutil.rmtree(left)
    assert contents(out) == contents(tmp_path / "fresh")


def workers_of(pid):
    told = [path.parent for path in Path("/proc").glob("[0-9]*/cmdline") if b"spawn_main" in read(path)]
    return [path for path in told if f"PPid:\t{pid}\n".encode() in read(path / "status")]


def alive(process):
    status = read(process / "status")
    return bool(status) and b"State:\tZ" not in status


def read(path):
    try:
        return path.read_bytes()
    except OSError:  # it has just ended
        return b""


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "too slow"
        time.sleep(0.05)


# Faults do not stop the rest, and resuming mends them


@pytest.mark.parametrize(("how", "word"), [("fails", "画不了"), ("breaks", "内部错误 ZeroDivisionError")])
def test_a_page_that_fails_is_a_row_and_the_others_are_made(work, tmp_path, how, word):
    bad = f"{UPPER}01-02"
    outcome = made(work, tmp_path, settings=plain(**{how: (bad,)}))
    assert outcome.errors["sheet_key"].tolist() == [bad]
    assert word in outcome.errors["message"].iloc[0]
    assert (outcome.sheets["status"] == "完成").sum() == len(outcome.sheets) - 1
    listed = outcome.manifest[outcome.manifest["row_kind"] == "图块"]
    assert set(listed["piece_code"]) == set(work.read("pieces")["piece_code"])  # none is lost from the list


def test_resuming_makes_only_what_failed(work, tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    first = made(work, tmp_path / "out", settings=plain(fails=(f"{UPPER}01-02",)))
    again = made(work, tmp_path / "out", settings=plain(marks=str(marks)), resume=True)
    assert (first.made, again.made, again.kept) == (3, 1, 2)
    assert {path.name for path in marks.iterdir()} == {f"{UPPER}01-01", f"{UPPER}01-02"}
    assert contents(tmp_path / "out") == contents_of_fresh(work, tmp_path / "fresh")


def contents_of_fresh(work, folder):
    made(work, folder)
    return contents(folder)


def test_resuming_makes_a_damaged_and_a_lost_file_again(work, tmp_path):
    before = contents_of_fresh(work, tmp_path / "out")
    pdfs = sorted((tmp_path / "out").rglob("*小组.pdf"))
    pdfs[0].write_bytes(b"%PDF")
    pdfs[1].unlink()
    assert made(work, tmp_path / "out", resume=True).made == 2
    assert contents(tmp_path / "out") == before


def test_resuming_after_the_land_changed_makes_the_changed_unit(tmp_path):
    first = put(tmp_path / "w.gpkg")
    made(first, tmp_path / "out")
    pieces = county_tables()["pieces"]
    pieces.loc[pieces["piece_code"] == W_CODE, "piece_class"] = "NEWLY_ADDED"
    changed = put(tmp_path / "w.gpkg", pieces=pieces)
    outcome = made(changed, tmp_path / "out", resume=True)
    assert (outcome.made, outcome.kept) == (1, 2)


def test_resuming_with_other_settings_makes_all_again(work, tmp_path):
    made(work, tmp_path)
    assert made(work, tmp_path, resume=True, settings=replace(plain(), scale=1000)).kept == 0


def test_another_format_is_added_to_what_is_there(work, tmp_path):
    made(work, tmp_path)
    outcome = made(work, tmp_path, formats=("pdf", "dxf"), resume=True)
    assert all(".pdf" in files and ".dxf" in files for files in outcome.sheets["file"])
    assert made(work, tmp_path, formats=("pdf", "dxf"), resume=True).made == 0


def test_a_unit_that_is_gone_takes_its_files_along_but_nobody_elses(tmp_path):
    made(put(tmp_path / "w.gpkg"), tmp_path / "out")
    gone = next((tmp_path / "out").rglob(f"{BARE}*.pdf"))
    mine = gone.with_name("我的.pdf")
    mine.write_text("x")
    made(put(tmp_path / "w.gpkg", balance=county_tables()["balance"]), tmp_path / "out")
    assert not gone.exists()
    assert mine.exists()


# Photos


@needs_poppler
def test_a_photo_that_covers_a_part_is_laid_under_it_and_the_list_says_what_is_bare(work, tmp_path):
    pieces = work.read("pieces")
    some = pieces[pieces["village_code"] == UPPER]
    write_orthophoto(some, tmp_path / "dom.tif", pixel_m=1.0, margin_m=20.0)
    outcome = make_sheets(work, tmp_path / "out", photo=tmp_path / "dom.tif")
    assert outcome.errors.empty
    maps = outcome.sheets[outcome.sheets["sheet_kind"] == "map"]
    notes = dict(zip(maps["unit_code"], maps["message"], strict=True))
    assert "2 页需要注意" in outcome.text()
    assert "影像只覆盖本幅的" in notes[f"{UPPER}01"]
    assert "影像不覆盖本幅" in notes[f"{LOWER}02"]
    listed = subprocess.run(
        ["pdfimages", "-list", next((tmp_path / "out").rglob(f"{UPPER}01*.pdf"))],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert listed.count("jpeg") == 1


def test_another_photo_makes_all_again(work, tmp_path):
    asked = {"by": "village", "resume": True, "photo": tmp_path / "dom.tif"}
    pieces = work.read("pieces")
    write_orthophoto(pieces, tmp_path / "dom.tif", pixel_m=4.0, overviews=False)
    assert make_sheets(work, tmp_path / "out", **asked).made == 2
    assert make_sheets(work, tmp_path / "out", **asked).made == 0
    write_orthophoto(pieces, tmp_path / "dom.tif", pixel_m=2.0, overviews=False)
    assert make_sheets(work, tmp_path / "out", **asked).made == 2


# Some units only


@pytest.mark.parametrize(
    ("by", "code", "units"),
    [
        ("group", f"{UPPER}01", {f"{UPPER}01"}),
        ("group", LOWER, {f"{LOWER}02", BARE}),
        ("group", f"{LOWER}02-02", {f"{LOWER}02"}),
        ("group", W_CODE, {f"{UPPER}01"}),
        ("village", W_CODE, {UPPER}),
        ("village", f"{UPPER}01", {UPPER}),
        ("group", [W_CODE, BARE], {f"{UPPER}01", BARE}),
    ],
)
def test_only_what_a_code_names_is_made(work, tmp_path, by, code, units):
    assert set(made(work, tmp_path, by=by, only=code).sheets["unit_code"]) == units


def test_only_a_sheet_by_its_number_or_a_village_on_it(work, tmp_path):
    every = made(work, tmp_path / "all", by="sheet").sheets
    number = every["sheet_number"].iloc[0]
    assert made(work, tmp_path / "a", by="sheet", only=number).sheets["sheet_number"].tolist() == [number]
    some = set(made(work, tmp_path / "b", by="sheet", only=UPPER).sheets["sheet_number"])
    assert some < set(every["sheet_number"])


def test_a_part_joins_what_was_made_before(work, tmp_path):
    made(work, tmp_path, only=f"{UPPER}01")
    outcome = made(work, tmp_path, only=BARE)
    assert set(outcome.sheets["unit_code"]) == {f"{UPPER}01", BARE}


@pytest.mark.parametrize("code", ["99", "", "J49I000000", "abc"])
def test_a_code_that_names_nothing_is_refused(work, tmp_path, code):
    with pytest.raises(InputError, match="--only"):
        made(work, tmp_path, only=code)
    assert not tmp_path.joinpath("图幅目录_按组.csv").exists()


# Tables and drawings


def test_a_village_has_its_shapefile_and_boundary_points(work, tmp_path):
    outcome = made(work, tmp_path, formats=("shp",))
    rows = outcome.manifest[outcome.manifest["row_kind"] == "村成果"]
    assert rows["unit_code"].tolist() == [UPPER, LOWER] or set(rows["unit_code"]) == {UPPER, LOWER}
    names = {file.rpartition("/")[2] for files in rows["file"] for file in files.split(";")}
    assert {f"TK{UPPER}.shp", f"TK{UPPER}.dbf", f"TK{UPPER}.cpg"} <= names
    assert sum(name.endswith(("界址点.txt", "界址点.csv", "界址点.xlsx")) for name in names) == 6
    table = pyogrio.read_dataframe(next(tmp_path.rglob(f"TK{UPPER}.shp")))
    pieces = work.read("pieces")
    assert set(table["TKBH"]) == set(pieces.loc[pieces["village_code"] == UPPER, "piece_code"])


def test_the_drawing_of_a_group_has_its_own_pieces(work, tmp_path):
    made(work, tmp_path, formats=("dxf",))
    table = pyogrio.read_dataframe(next(tmp_path.rglob(f"{UPPER}01*.dxf")))
    codes = {text for text in table["Text"].dropna() if re.fullmatch(r"\d{14}-[WXD]-\d{4}", text)}
    pieces = work.read("pieces")
    assert codes == set(pieces.loc[pieces["group_code"] == f"{UPPER}01", "piece_code"])


def test_a_drawing_has_the_land_of_its_maps_and_not_what_lies_between_them(tmp_path):
    county = county_tables()
    lost, between = f"{UPPER}01-W-0099", f"{UPPER}0199999"
    away = {"pieces": ("piece_code", lost, 8000), "parcels": ("parcel_code", between, 4000)}
    for name, (column, code, metres) in away.items():
        row = county[name].iloc[[0]].assign(**{column: code})
        row = row.set_geometry(row.geometry.translate(metres))
        county[name] = pd.concat([county[name], row], ignore_index=True)
    made(put(tmp_path / "w.gpkg", **county), tmp_path / "out", formats=("dxf",))
    drawing = next((tmp_path / "out").rglob(f"{UPPER}01*.dxf")).read_bytes()
    assert lost.encode() in drawing
    assert county["parcels"]["parcel_code"].iloc[0].encode() in drawing
    assert between.encode() not in drawing


# Bad input


def test_a_county_without_pieces_has_a_page_for_each_group_that_says_so(tmp_path):
    bare = put(tmp_path / "w.gpkg", pieces=county_tables()["pieces"].iloc[:0])
    outcome = made(bare, tmp_path / "out", formats=("pdf", "dxf", "shp"))
    assert set(outcome.sheets["sheet_kind"]) == {"empty"}
    assert outcome.errors.empty
    assert made(bare, tmp_path / "sheets", by="sheet").sheets.empty


def test_a_workspace_without_anything_gives_an_empty_list(tmp_path):
    workspace.write(tmp_path / "w.gpkg", {"balance": county_tables()["balance"].iloc[:1]}, crs=CRS)
    outcome = made(workspace.open(tmp_path / "w.gpkg"), tmp_path / "out")
    assert outcome.sheets.empty
    assert outcome.overview_path.exists()


def test_a_piece_larger_than_a_page_is_on_several_and_listed_once(tmp_path):
    pieces = county_tables()["pieces"]
    pieces.loc[pieces["piece_code"] == W_CODE, "geometry"] = box(X0, Y0, X0 + 3000, Y0 + 60)
    outcome = made(put(tmp_path / "w.gpkg", pieces=pieces), tmp_path / "out")
    rows = outcome.manifest[outcome.manifest["piece_code"] == W_CODE]
    pages = rows[rows["page"] > 1]  # the overview apart
    assert len(pages) >= 6
    assert rows["is_home"].tolist().count("是") == 1


def test_a_missing_font_is_told_before_anything_is_made(work, tmp_path, monkeypatch):
    def absent():
        raise MissingToolError("缺少中文字体包")

    monkeypatch.setattr(fonts, "files", absent)
    with pytest.raises(MissingToolError, match="字体"):
        made(work, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_character_that_no_font_has_is_told_in_the_list(work, tmp_path):
    outcome = made(work, tmp_path, settings=plain(word="张\U00031350沟"))
    assert outcome.sheets["message"].str.contains("字体缺字 \U00031350").all()
    assert set(outcome.sheets["status"]) == {"完成"}


def test_a_character_outside_gbk_is_told_where_the_tables_are_listed(tmp_path):
    villages = county_tables()["villages"]
    villages.loc[0, "village_name"] = "𬭎沟村"
    outcome = made(put(tmp_path / "w.gpkg", villages=villages), tmp_path / "out", formats=("shp",))
    rows = outcome.manifest[outcome.manifest["unit_code"] == UPPER]
    assert "GBK" in "".join(rows["message"].fillna(""))


def test_names_that_no_disk_takes_become_files(tmp_path):
    outcome = made(put(tmp_path / "w.gpkg"), tmp_path / "out")  # the lower village is called <i>柳沟</i>村
    assert outcome.errors.empty
    assert all(
        (tmp_path / "out" / file).is_file() for files in outcome.sheets["file"] for file in files.split(";")
    )


def test_ten_thousand_pieces_in_one_group_are_all_listed_and_split_into_volumes(tmp_path):
    one = county_tables()["pieces"].iloc[[0]]
    count = 10_000
    many = one.loc[one.index.repeat(count)].reset_index(drop=True)
    many["piece_code"] = [f"{UPPER}01-W-{at:05d}" for at in range(count)]
    small = box(X0, Y0, X0 + 20, Y0 + 20)
    places = [affinity.translate(small, 31 * (at % 200), 31 * (at // 200)) for at in range(count)]
    pieces = gpd.GeoDataFrame(many.drop(columns="geometry"), geometry=places, crs=CRS)
    outcome = made(put(tmp_path / "w.gpkg", pieces=pieces), tmp_path / "out", only=f"{UPPER}01")
    assert outcome.sheets["home_count"].sum() == count
    assert len(outcome.sheets) > VOLUME
    assert outcome.errors.empty
    assert len(outcome.sheets["file"].iloc[0].split(";")) == -(-len(outcome.sheets) // VOLUME)


def test_wrong_use_is_refused(work, tmp_path):
    with pytest.raises(InputError, match=r"没有格式 tiff.*pdf"):
        formats("pdf,tiff")
    with pytest.raises(InputError, match="空"):
        formats(" , ")
    assert formats(" PDF, dxf") == ("pdf", "dxf")
    with pytest.raises(InputError, match=r"没有\.tif"):
        make_sheets(work, tmp_path, photo=tmp_path / "没有.tif")
    with pytest.raises(InputError, match="进程数"):
        made(work, tmp_path, jobs=-1)
    (tmp_path / "f").write_text("")
    with pytest.raises(OutputError, match="f"):
        made(work, tmp_path / "f" / "out")


# The command


def taotu(*words):
    command = [sys.executable, "-m", "geo.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, check=False, encoding="utf-8", cwd=ROOT, timeout=300)


def test_the_command_makes_the_set_and_puts_the_layer_into_the_workspace(tmp_path):
    work = put(tmp_path / "w.gpkg")
    said = taotu(
        "sheets", work.path, "--out", tmp_path / "out", "--format", "pdf,dxf,shp", "--jobs", 1, "--json"
    )
    assert said.returncode == 0, said.stderr
    told = json.loads(said.stdout)
    layer = workspace.open(work.path).read("sheets")
    assert len(layer) == told["sheets"] == 5
    assert list(layer.columns[:-1]) == schema.column_names("sheets")
    assert told["pieces"] == len(work.read("pieces"))
    again = taotu("sheets", work.path, "--out", tmp_path / "out", "--format", "pdf,dxf,shp", "--resume")
    assert again.returncode == 0, again.stderr
    assert "本次出图 0 个单元" in again.stdout


def test_the_command_refuses_in_one_line(tmp_path):
    work = put(tmp_path / "w.gpkg")
    for words, named in (
        ((tmp_path / "没有.gpkg", "--out", tmp_path), "没有.gpkg"),
        ((work.path, "--out", tmp_path / "o", "--only", "999"), "999"),
        ((work.path, "--out", tmp_path / "o", "--format", "tiff"), "tiff"),
    ):
        said = taotu("sheets", *words)
        assert said.returncode == 2
        (line,) = [line for line in said.stderr.splitlines() if line.startswith("错误：")]
        assert named in line


@pytest.mark.parametrize("other", ["group", "village"])
def test_a_second_run_into_one_folder_is_refused_while_the_first_works(work, tmp_path, other):
    refused = []

    def meanwhile(_done, _total, _name):
        if not refused:
            with pytest.raises(OutputError, match="另一个任务正在写") as told:
                made(work, tmp_path, by=other)
            refused.append(told)

    first = made(work, tmp_path, progress=meanwhile)
    assert refused
    assert len(first.errors) == 0
    assert made(work, tmp_path, resume=True).made == 0


def test_a_volume_that_a_unit_no_longer_has_does_not_lie_beside_its_new_ones(work, tmp_path):
    made(work, tmp_path, settings=plain(pages=VOLUME + 1))
    before = {path.name for path in tmp_path.rglob("*.pdf")}
    made(work, tmp_path)
    after = {path.name for path in tmp_path.rglob("*.pdf")}
    assert any(name.endswith("_02.pdf") for name in before)
    assert not any(name.endswith(("_01.pdf", "_02.pdf")) for name in after)


def test_what_is_read_at_once_does_not_change_a_page(work, tmp_path, monkeypatch):
    made(work, tmp_path / "some", settings=None)
    monkeypatch.setattr("geo.sheets.unit._READ_MM2", 1.0)
    made(work, tmp_path / "one", settings=None)
    some, one = (
        {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.pdf")}
        for name in ("some", "one")
    )
    assert len(some) > 2
    assert some == one
