"""The roster: every grid and home once, proofs in words, text that stays text, the same bytes each time."""

import openpyxl
import pandas as pd
import pytest

from geo import workspace
from geo.certificate import certificate_line, certificate_text
from geo.errors import InputError, OutputError
from geo.roster import COUNTY_FILE, write_roster
from tests.geo.county import CRS, LOWER, UPPER
from tests.geo.grid_tables import EVIL, SMALL_REASON, grid_tables

UPPER_FILE = f"网格{UPPER}上庄村.xlsx"
LOWER_FILE = f"网格{LOWER}_i_柳沟__i_村.xlsx"
HEAD = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("roster") / "网格名册"
    write_roster(grid_tables(), out)
    return out


def rows(path, name):
    """Rows between the header and the totals, as dicts; and the row of totals."""
    sheet = openpyxl.load_workbook(path, data_only=True)[name]
    head = [cell.value for cell in sheet[HEAD]]
    every = [
        dict(zip(head, line, strict=True)) for line in sheet.iter_rows(min_row=HEAD + 1, values_only=True)
    ]
    at = [line[head[0]] for line in every].index("合计")
    return every[:at], every[at]


def words(path, name):
    sheet = openpyxl.load_workbook(path)[name]
    return {row[0].value: row[1].value for row in sheet.iter_rows(min_row=2)}


def test_the_county_and_every_village_with_grids_have_a_workbook(folder):
    assert [path.name for path in write_roster(grid_tables(), folder)] == [
        COUNTY_FILE,
        UPPER_FILE,
        LOWER_FILE,
    ]
    assert openpyxl.load_workbook(folder / UPPER_FILE).sheetnames == [
        "网格名册",
        "微网格",
        "住户",
        "划分证明",
        "网格沿革",
    ]
    assert openpyxl.load_workbook(folder / LOWER_FILE).sheetnames == ["网格名册", "住户", "划分证明"]


def test_grids_are_listed_with_what_they_are_and_room_for_people(folder):
    listed, total = rows(folder / UPPER_FILE, "网格名册")
    assert [row["网格编码"] for row in listed] == [f"{UPPER}001", f"{UPPER}002"]
    first, second = listed
    assert (first["户数"], first["住处"], first["规模"], first["变动"]) == (27, 27, "合格", "调整")
    assert (second["户数"], second["规模"], second["超限原因"]) == (6, "不足", SMALL_REASON)
    assert first["相邻网格"] == f"第2网格、{EVIL}"
    assert first["涉及组"] == f"{UPPER}01、{UPPER}02"
    assert (first["面积㎡"], first["半径m"], first["平均距离m"]) == (500_000, 320.5, 150.25)
    assert [first[name] for name in ("网格长", "网格员", "党小组")] == [None] * 3
    assert (total["户数"], total["住处"]) == (33, 29)


def test_micro_grids_stand_apart_and_are_not_added_to_grids(folder):
    listed, total = rows(folder / UPPER_FILE, "微网格")
    assert [(row["微网格编码"][-2:], row["所属网格"]) for row in listed] == [
        ("01", "上庄村第1网格"),
        ("02", "上庄村第1网格"),
    ]
    assert total["户数"] == 27


def test_every_home_is_listed_once_those_in_no_grid_first(folder):
    tables = grid_tables()
    listed, total = rows(folder / UPPER_FILE, "住户")
    own = tables["households"][tables["households"]["village_code"] == UPPER]
    assert sorted(row["住户键"] for row in listed) == sorted(own["household_key"])
    assert total["户数"] == own["households"].sum()
    assert [row["网格名称"] for row in listed[:2]] == ["未入网格", "上庄村第1网格"]
    lost, _ = rows(folder / COUNTY_FILE, "未入网格")
    assert [row["户数"] for row in lost] == [3, 1]


def test_the_proof_is_said_in_words(folder):
    said = words(folder / UPPER_FILE, "划分证明")
    assert said["网格数"] == "33 户（29 处住房）划为 2 个网格。按户数与标准，只能设 1 个。"
    assert (
        "1 个合格，1 个不足，0 个超出，超出或不足标准的户数共 14 户；已证明任何划法不少于 3 户"
        in said["合格"]
    )
    assert "合计 8,000 米，平均每户 242.4 米" in said["集中程度"]
    assert "任何划法不短于 7,900 米，即与可能的最优相差至多 1.25%" in said["集中程度"]
    assert said["调整"] == "有 3 户换了网格，其余各户不动。已证明：按本标准至少须调整 2 户。"
    assert "93%" in said["界线"]
    assert said["超限原因"] == SMALL_REASON
    assert said["未入网格"] == "1 处住房 1 户不在任何网格内，见“住户”表。"
    other = words(folder / LOWER_FILE, "划分证明")
    assert "20 户；已证明：任何划法都不能更少" in other["合格"]
    assert "本划法为最优" in other["集中程度"]


def test_villages_are_summed_up_with_their_proof_in_a_line(folder):
    listed, total = rows(folder / COUNTY_FILE, "各村网格")
    assert [row["证明"] for row in listed] == [
        "超限 14 户，下界 3 户；距离至多可再省 1.25%；调整 3 户（下界 2）",
        "超限 20 户，已证明不能更少；距离已证明最短",
    ]
    assert [row["可设网格数"] for row in listed] == ["1", "2–3"]
    assert (total["户数"], total["网格数"], total["合格"]) == (103, 3, 1)


def test_lineage_is_listed_where_grids_have_a_history(folder):
    listed, total = rows(folder / UPPER_FILE, "网格沿革")
    assert [(row["原网格"][-3:], row["变动"]) for row in listed] == [("001", "调整"), ("009", "合并")]
    assert total["户数"] == 27


def test_a_text_that_begins_like_a_formula_stays_text(folder):
    for name, sheet in ((LOWER_FILE, "网格名册"), (UPPER_FILE, "住户"), (COUNTY_FILE, "全县网格")):
        cells = [cell for row in openpyxl.load_workbook(folder / name)[sheet].iter_rows() for cell in row]
        assert [cell.data_type for cell in cells if cell.value == EVIL] == ["s"], name


def test_the_same_tables_give_the_same_bytes_whatever_the_order_of_rows(folder, tmp_path):
    mixed = {name: table.iloc[::-1] for name, table in grid_tables().items()}
    for path in write_roster(mixed, tmp_path):
        assert path.read_bytes() == (folder / path.name).read_bytes()


def test_a_workspace_gives_the_same_roster_as_its_tables(folder, tmp_path):
    workspace.write(tmp_path / "w.gpkg", grid_tables(), crs=CRS)
    for path in write_roster(workspace.open(tmp_path / "w.gpkg"), tmp_path / "out"):
        assert [
            [cell.value for cell in row]
            for row in openpyxl.load_workbook(path).worksheets[0].iter_rows(min_row=2)
        ] == [
            [cell.value for cell in row]
            for row in openpyxl.load_workbook(folder / path.name).worksheets[0].iter_rows(min_row=2)
        ]


def test_without_grids_there_is_no_roster(tmp_path):
    with pytest.raises(InputError, match="taotu grids partition"):
        write_roster({"grids": grid_tables()["grids"].iloc[:0]}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_roster(grid_tables(), tmp_path / "file")


def test_grids_that_were_not_drawn_here_have_a_roster_and_no_proof(tmp_path):
    tables = grid_tables()
    tables = {"grids": tables["grids"], "households": tables["households"]}
    written = write_roster(tables, tmp_path)
    assert words(written[1], "划分证明")["说明"] == "本村网格不是由本软件划分，没有证明。"


def row(**more):
    return grid_tables()["grid_villages"].iloc[1].copy().to_frame().T.assign(**more).iloc[0]


def test_a_proof_claims_no_more_than_was_proved():
    good = row(misses=0, least_misses=0, under=0, in_band=1, moved=pd.NA, least_moved=pd.NA, reason="")
    assert certificate_line(good) == "全部合格；距离至多可再省 1.25%"
    said = dict(certificate_text(good))
    assert said["合格"] == "1 个网格全部合格。"
    assert "任何各网格都合格的划法不短于" in said["集中程度"]
    assert "调整" not in said
    unproved = dict(certificate_text(row(misses=14, least_misses=0)))
    assert "任何各网格都合格的划法" in unproved["集中程度"]
    assert "能否更少尚未证明" in unproved["合格"]
    exact = dict(certificate_text(row(exact=True)))
    assert "穷举" in exact["集中程度"]
    bare = dict(
        certificate_text(row(cost_m=float("nan"), bound_m=float("nan"), gap=float("nan"), natural_share=None))
    )
    assert "集中程度" not in bare
    assert "界线" not in bare
