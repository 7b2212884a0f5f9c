"""The ledger: every figure is in it once, formulas agree with the values beside them, and text stays text."""

import re
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import openpyxl
import pandas as pd
import pytest

from geo import workspace
from geo.errors import BalanceError, OutputError
from geo.ledger import COUNTY_FILE, file_name, write_findings, write_ledger
from tests.geo.county import (
    CRS,
    D_CODE,
    DOUBT,
    LOWER,
    STRIP_CODE,
    UPPER,
    W_CODE,
    X_CODE,
    county_tables,
    moved_county_tables,
)

UPPER_FILE = f"{UPPER}上庄村.xlsx"
HEAD = 3  # row of the header in every sheet of rows


@pytest.fixture(scope="module")
def tables():
    tables = county_tables()
    runs = {"run_id": ["0f3a"], "inputs": ['{"survey": {"files": {"DLTB.shp": "ab12"}, "rows": 6}}']}
    runs |= {"settings": ['{"strip_width_m": 4.0}'], "versions": ['{"taotu": "0.1.0"}']}
    return tables | {"runs": pd.DataFrame(runs)}


@pytest.fixture(scope="module")
def folder(tables, tmp_path_factory):
    out = tmp_path_factory.mktemp("ledger") / "台账"
    write_ledger(tables, out)
    return out


def sheet(path, name, *, values=True):
    return openpyxl.load_workbook(path, data_only=values)[name]


def rows(path, name):
    """Rows between the header and the totals, as dicts; and the row of totals."""
    table = sheet(path, name)
    head = [cell.value for cell in table[HEAD]]
    every = [
        dict(zip(head, line, strict=True)) for line in table.iter_rows(min_row=HEAD + 1, values_only=True)
    ]
    at = [line[head[0]] for line in every].index("合计")
    return every[:at], every[at]


def test_the_county_and_every_village_have_a_workbook(tables, folder):
    names = [COUNTY_FILE, UPPER_FILE, f"{LOWER}_i_柳沟__i_村.xlsx"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    assert [path.name for path in write_ledger(tables, folder)] == names


def test_blocks_are_listed_with_code_class_reason_and_room_for_the_field(folder):
    listed, total = rows(folder / UPPER_FILE, "图块台账")
    assert [row["图块编号"] for row in listed] == [W_CODE, X_CODE]
    first = listed[0]
    assert first["分类"] == "未确权地"
    assert first["分类依据"].startswith("基期调查为旱地")
    assert (first["面积㎡"], first["净面积㎡"], first["面积亩"], first["净面积亩"]) == (4000, 3728, 6, 5.59)
    assert [first[name] for name in ("认定", "实测亩", "现使用人", "备注")] == [None] * 4
    assert (total["面积㎡"], total["净面积㎡"], total["面积亩"], total["净面积亩"]) == (
        11000,
        10252,
        16.5,
        15.38,
    )


def test_strips_and_slivers_are_listed_apart(folder):
    listed, total = rows(folder / UPPER_FILE, "细条碎屑")
    assert [(row["图块编号"], row["形状"]) for row in listed] == [(STRIP_CODE, "细条")]
    assert total["面积㎡"] == 500.01


def test_every_patch_shows_its_balance(folder):
    listed, total = rows(folder / UPPER_FILE, "图斑平衡")
    assert [row["图斑编码"] for row in listed] == [f"{UPPER}-00001", f"{UPPER}-00002"]
    second = listed[1]
    parts = [second[name] for name in ("已确权㎡", "图块㎡", "细条㎡", "碎屑㎡")]
    assert parts == [2499.99, 7000, 500.01, 0]
    assert (second["图斑面积㎡"], second["差值㎡"], second["核对"]) == (10_000, 0, "平衡")
    assert (total["图斑面积㎡"], total["差值㎡"], total["核对"]) == (20_000, 0, "平衡")
    beside = [row[0].value for row in sheet(folder / UPPER_FILE, "图斑平衡").iter_rows()]
    assert f"{UPPER}-00003" in beside, "state land is listed, outside the balance"


def test_groups_and_findings_of_the_village_are_there(folder):
    listed, total = rows(folder / UPPER_FILE, "组汇总")
    held = [(row["组代码"], row["组名称"], row["分类"], row["图块数"]) for row in listed]
    assert held == [
        (f"{UPPER}01", "第一村民小组", "未确权地", 1),
        (f"{UPPER}01", "第一村民小组", "新增地", 1),
    ]
    assert (total["合计㎡"], total["图块㎡"]) == (11_500.01, 11_000)
    found = [row[2].value for row in sheet(folder / UPPER_FILE, "问题清单").iter_rows(min_row=HEAD + 1)]
    assert sorted(found) == ["一地多证", "图形已修复"]


def test_the_notes_say_run_sources_and_settings(folder):
    text = "\n".join(
        str(cell.value) for row in sheet(folder / UPPER_FILE, "说明").iter_rows() for cell in row
    )
    for word in (
        "0f3a",
        "三调图斑：文件 DLTB.shp ab12，行数 6",
        "strip_width_m：4.0",
        "taotu：0.1.0",
        "2000/3",
    ):
        assert word in text


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    out = tmp_path_factory.mktemp("moved")
    write_ledger(moved_county_tables(), out)
    return out


def test_a_village_says_how_far_its_parcels_were_moved_before_anything_else(moved):
    first = [cell.value for cell in sheet(moved / UPPER_FILE, "说明")[2]]
    said = (
        "本村确权地块整体偏东南偏东 1.8 m，已改正（西移 1.66 m，北移 0.69 m）。以下面积均按改正后的位置计算。"
    )
    assert first == ["套合偏移", said]
    first = [cell.value for cell in sheet(moved / f"{LOWER}_i_柳沟__i_村.xlsx", "说明")[2]]
    assert first == ["套合偏移", f"本村确权地块{DOUBT}。以下面积按原位置计算。"]


def test_each_batch_of_a_village_is_said(tmp_path):
    tables = moved_county_tables()
    shifts = tables["shifts"].assign(village_code=UPPER, batch=["DK2.shp", "DK1.shp"])
    shifts["shift_key"] = UPPER + "/" + shifts["batch"]
    write_ledger(tables | {"shifts": shifts}, tmp_path)
    said = [row[1].value for row in sheet(tmp_path / UPPER_FILE, "说明").iter_rows(min_row=2, max_row=3)]
    assert said[0].startswith("本村（DK1.shp）确权地块整体偏东南偏东 1.8 m，已改正")
    assert said[1].startswith(f"本村（DK2.shp）确权地块{DOUBT}")


def test_the_county_lists_every_shift_and_stands_it_before_any_area(moved):
    book = openpyxl.load_workbook(moved / COUNTY_FILE)
    assert book.sheetnames[:3] == ["说明", "套合偏移", "乡镇汇总"]
    table = book["套合偏移"]
    head = [cell.value for cell in table[HEAD]]
    upper, lower = (dict(zip(head, [cell.value for cell in row], strict=True)) for row in table[HEAD + 1 : 5])
    assert (upper["村代码"], upper["偏移量m"], upper["偏移方向"]) == (UPPER, 1.8, "东南偏东")
    assert (upper["东移改正m"], upper["北移改正m"], upper["旋转改正°"]) == (-1.66, 0.69, 0)
    assert (upper["中误差m"], upper["可信度"], upper["采用"]) == (0.05, "高", "是")
    assert (lower["可信度"], lower["采用"], lower["说明"]) == ("低", "否", DOUBT)
    assert sheet(moved / COUNTY_FILE, "说明")["B2"].value == (
        "2 个村（批次）中，1 个的确权地块已整体改正，1 个存疑未动；逐村见“套合偏移”。"
    )


def test_a_county_in_which_nothing_was_looked_for_has_an_empty_sheet_and_no_note(folder):
    assert sheet(folder / COUNTY_FILE, "套合偏移").max_row == HEAD
    assert sheet(folder / COUNTY_FILE, "说明")["A2"].value == "成果名称"


def test_county_totals_are_the_sums_of_stored_m2(folder):
    listed, total = rows(folder / COUNTY_FILE, "村汇总")
    assert len(listed) == 4  # two classes in each village
    assert (total["图块㎡"], total["图块亩"], total["碎屑㎡"], total["合计㎡"]) == (
        16_000,
        24,
        120,
        16_620.01,
    )
    towns, same = rows(folder / COUNTY_FILE, "乡镇汇总")
    assert {row["乡镇代码"] for row in towns} == {"140725100"}
    assert same["合计㎡"] == total["合计㎡"]
    areas = sheet(folder / COUNTY_FILE, "面积平衡")
    assert [cell.value for cell in areas["I"][HEAD:]] == [0] * 5
    counts, all_found = rows(folder / COUNTY_FILE, "问题汇总")
    assert all_found["条数"] == sum(row["条数"] for row in counts) == 4
    elsewhere = [row[4].value for row in sheet(folder / COUNTY_FILE, "其他问题").iter_rows(min_row=HEAD + 1)]
    assert elsewhere == ["第 7 行没有图形", "由带号坐标转换"]


def test_mu_of_a_total_comes_from_its_m2_not_from_rounded_rows(tmp_path, tables):
    cents = np.full(100, 333)  # 3.33 m² is 0.004995 mu: 0.00 in its row
    pieces = (
        tables["pieces"]
        .iloc[[0] * 100]
        .assign(
            patch_code=[f"{UPPER}-{n:05d}" for n in range(100)], area_m2=cents / 100, net_area_m2=cents / 100
        )
    )
    patches = (
        tables["patches"]
        .iloc[[0] * 100]
        .assign(patch_code=pieces["patch_code"].to_numpy(), patch_area_m2=3.33, covered_area_m2=0.0)
    )
    write_ledger({"pieces": pieces, "patches": patches}, tmp_path)
    listed, total = rows(tmp_path / f"{UPPER}.xlsx", "图块台账")
    assert {row["面积亩"] for row in listed} == {0.0}
    assert (total["面积㎡"], total["面积亩"]) == (333.0, 0.5)


def test_totals_and_differences_are_live_formulas(folder):
    blocks = sheet(folder / UPPER_FILE, "图块台账", values=False)
    assert blocks["F6"].value == "=SUM(F4:F5)"
    assert blocks["H6"].value == "=ROUND(F6*3/2000,2)"
    balance = sheet(folder / UPPER_FILE, "图斑平衡", values=False)
    assert balance["H4"].value == "=ROUND(C4-D4-E4-F4-G4,2)"
    assert balance["I4"].value == '=IF(H4=0,"平衡","不平衡")'


def computed(table, cell):
    """What a formula of the ledger comes to, in exact decimals; each of its four forms."""

    def value(place):
        there = table[place]
        return computed(table, there) if there.data_type == "f" else Decimal(str(there.value))

    formula = cell.value
    if match := re.fullmatch(r"=SUM\((\w+:\w+)\)", formula):
        return sum((value(one.coordinate) for row in table[match[1]] for one in row), Decimal(0))
    if match := re.fullmatch(r"=ROUND\((\w+)\*3/2000,2\)", formula):
        return (value(match[1]) * 3 / 2000).quantize(Decimal("0.01"), ROUND_HALF_UP)
    if match := re.fullmatch(r"=ROUND\((\w+)((?:-\w+)+),2\)", formula):
        return value(match[1]) - sum(value(place) for place in match[2][1:].split("-"))
    match = re.fullmatch(r'=IF\((\w+)=0,"(\w+)","(\w+)"\)', formula)
    return match[2] if value(match[1]) == 0 else match[3]


def test_formulas_come_to_the_values_written_beside_them(folder):
    count = 0
    for path in folder.iterdir():
        beside = openpyxl.load_workbook(path, data_only=True)
        for table in openpyxl.load_workbook(path):
            for cell in (cell for row in table.iter_rows() for cell in row if cell.data_type == "f"):
                told = beside[table.title][cell.coordinate].value
                told = told if isinstance(told, str) else Decimal(str(told))
                assert computed(table, cell) == told, (path.name, table.title, cell.coordinate)
                count += 1
    assert count > 60


def test_pages_are_a4_landscape_with_a_repeated_header(folder):
    for table in openpyxl.load_workbook(folder / UPPER_FILE).worksheets[1:]:
        assert (table.page_setup.paperSize, table.page_setup.orientation) == (9, "landscape")
        assert table.sheet_properties.pageSetUpPr.fitToPage
        assert table.page_setup.fitToHeight == 0  # one page wide, as many high as it takes
        assert table.print_title_rows == "$1:$3"
        assert table.freeze_panes == "B4"


def test_text_never_runs_as_a_formula(tmp_path, tables):
    words = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", '=HYPERLINK("http://example.invalid")']
    findings = tables["findings"].iloc[[1] * 5].assign(message=words, village_code=UPPER)
    pieces = tables["pieces"].assign(class_reason="=1+1", village_name="=2+2")
    villages = tables["villages"].assign(village_name="=3+3")
    write_ledger({**tables, "findings": findings, "pieces": pieces, "villages": villages}, tmp_path)
    book = openpyxl.load_workbook(tmp_path / f"{UPPER}=3+3.xlsx")
    assert [cell.value for cell in book["问题清单"]["E"][HEAD:]] == words
    assert {cell.data_type for cell in book["问题清单"]["E"][HEAD:]} == {"s"}
    assert book["图块台账"]["C4"].data_type == "s"
    assert not any(cell.hyperlink for row in book["问题清单"].iter_rows() for cell in row)
    write_findings(findings, tmp_path / "list.csv")
    listed = pd.read_csv(tmp_path / "list.csv", encoding="utf-8-sig")
    assert listed["说明"].tolist() == [f"'{word}" for word in words]


def test_a_list_of_findings_is_written_as_csv_or_excel(tmp_path, tables):
    write_findings(tables["findings"], tmp_path / "问题.csv")
    listed = pd.read_csv(tmp_path / "问题.csv", encoding="utf-8-sig")
    assert listed["等级"].tolist() == ["错误", "警告", "警告", "提示"]
    assert listed["x"].notna().sum() == tables["findings"].geometry.notna().sum() == 2
    write_findings(tables["findings"], tmp_path / "问题.xlsx")
    assert sheet(tmp_path / "问题.xlsx", "问题清单").max_row == HEAD + 4


@pytest.mark.parametrize(
    ("village", "expected"),
    [
        ("上庄村", "140725100201上庄村.xlsx"),
        ("a/b\\c:d*e?f", "140725100201a_b_c_d_e_f.xlsx"),
        ("..", "140725100201.xlsx"),
        ("\n\t村", "140725100201__村.xlsx"),
        ("很长的村名" * 40, "140725100201" + ("很长的村名" * 40)[:48] + ".xlsx"),
    ],
)
def test_file_names_hold_what_a_disk_takes(village, expected):
    assert file_name("140725100201", village) == expected


def test_a_village_without_pieces_still_has_its_workbook(tmp_path, tables):
    bare = tables["villages"].iloc[[0]].assign(village_code="140725100299", village_name="空村")
    villages = pd.concat([tables["villages"], bare], ignore_index=True)
    write_ledger({**tables, "villages": villages}, tmp_path)
    listed, total = rows(tmp_path / "140725100299空村.xlsx", "图块台账")
    assert listed == []
    assert (total["面积㎡"], total["面积亩"]) == (0, 0)


def test_the_workspace_gives_the_same_bytes_each_time(tmp_path, tables):
    workspace.write(tmp_path / "w.gpkg", tables, crs=CRS)
    opened = workspace.open(tmp_path / "w.gpkg")
    first, second = write_ledger(opened, tmp_path / "a"), write_ledger(opened, tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_the_order_of_rows_does_not_matter(tmp_path, tables, folder):
    mixed = {layer: tables[layer].iloc[::-1] for layer in ("pieces", "patches", "villages", "balance")}
    for path in write_ledger({**tables, **mixed}, tmp_path):
        assert path.read_bytes() == (folder / path.name).read_bytes()


def test_nothing_is_written_when_a_patch_does_not_add_up(tmp_path, tables):
    off = tables["patches"].assign(covered_area_m2=tables["patches"]["covered_area_m2"] + 0.01)
    with pytest.raises(BalanceError, match=f"图斑 {UPPER}-00001"):
        write_ledger({**tables, "patches": off}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_where_the_folder_should_be_is_refused(tmp_path, tables):
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="out"):
        write_ledger(tables, tmp_path / "out")


def test_all_pieces_are_in_the_ledger_once(folder, tables):
    listed = [
        row["图块编号"]
        for path in folder.glob("1*.xlsx")
        for name in ("图块台账", "细条碎屑")
        for row in rows(path, name)[0]
    ]
    assert sorted(listed) == sorted(tables["pieces"]["piece_code"])
    assert D_CODE in listed
