"""The report: figures that were counted by hand, and a refusal of any that do not add up."""

import json

import pandas as pd
import pytest

from geo import workspace
from geo.errors import BalanceError
from geo.report import patch_balance, report, report_json, report_text
from tests.geo.county import CRS, DOUBT, LOWER, UPPER, county_tables, moved_county_tables


@pytest.fixture
def tables():
    return county_tables()


def test_each_patch_is_the_sum_of_its_parts_in_cents(tables):
    proof = patch_balance(tables["patches"], tables["pieces"])
    assert proof.loc[f"{UPPER}-00002"].to_dict() == {
        "area": 1_000_000,
        "covered": 249_999,
        "BLOCK": 700_000,
        "STRIP": 50_001,
        "SLIVER": 0,
    }
    assert len(proof) == 4, "state land and share-based villages stand beside the balance"


@pytest.mark.parametrize(
    ("layer", "column", "told"),
    [
        ("pieces", "area_m2", f"图斑 {UPPER}-00001 面积不平衡：相差 -0.01"),
        ("patches", "covered_area_m2", f"图斑 {UPPER}-00001 面积不平衡：相差 -0.01"),
        ("balance", "block_m2", "县 140725 面积不平衡：相差 -0.01"),
    ],
)
def test_a_cent_too_many_anywhere_is_refused(tables, layer, column, told):
    tables[layer].loc[0, column] += 0.01
    with pytest.raises(BalanceError, match=told):
        report(tables)


def test_a_balance_that_forgets_pieces_is_refused(tables):
    county = tables["balance"]["level"] == "county"
    tables["balance"].loc[county, ["strip_m2", "sliver_m2"]] = [620.01, 0.0]
    with pytest.raises(BalanceError, match=r"细条面积之和与面积平衡表不等：相差 120\.00"):
        report(tables)


def test_villages_must_make_up_their_township(tables):
    town = tables["balance"].iloc[[0]].assign(level="township", code="140725100", name="某镇")
    tables["balance"] = pd.concat([tables["balance"], town], ignore_index=True)
    assert report(tables).areas["level"].tolist()[:2] == ["county", "township"]
    lower = tables["balance"]["code"] == LOWER
    tables["balance"].loc[lower, ["farmland_m2", "covered_m2"]] += 1
    with pytest.raises(BalanceError, match="各村面积之和不等于乡镇的面积"):
        report(tables)


def test_a_piece_on_no_farmland_patch_is_refused(tables):
    tables["pieces"].loc[0, "patch_code"] = f"{UPPER}-00003"  # state land
    with pytest.raises(BalanceError, match="不在任何集体耕地图斑上"):
        report(tables)


def test_a_split_piece_counts_by_its_children_only(tables):
    parent = tables["pieces"].iloc[[0]].assign(state="superseded")
    tables["pieces"] = pd.concat([tables["pieces"], parent], ignore_index=True)
    assert report(tables).classes["count"].sum() == 5


def test_classes_are_sums_of_stored_m2(tables):
    table = report(tables).classes.set_index(["piece_class", "piece_shape"])
    assert len(table) == 9
    assert table.loc[("NEWLY_ADDED", "BLOCK")].to_dict() == {
        "count": 1, "area_m2": 7000.0, "net_area_m2": 6524.0, "area_mu": 10.5, "net_area_mu": 9.79,
    }  # fmt: skip
    assert table.loc[("UNDETERMINED", "STRIP"), "area_m2"] == 0


def test_findings_are_counted_worst_first(tables):
    result = report(tables)
    assert result.findings["severity"].tolist() == ["error", "warning", "warning", "info"]
    assert result.findings["count"].sum() == len(tables["findings"])


def test_the_text_runs_from_county_to_group(tables):
    text = report_text(tables)
    order = [text.index(name) for name in ("寿阳县", "上庄村", "第一村民小组", "柳沟", "第二村民小组")]
    assert order == sorted(order)
    assert "24.00" in text  # mu of 16,000 m² of blocks
    assert "第一村民小组" not in report_text(tables, level="village")


def test_every_village_that_was_moved_or_is_in_doubt_has_a_line_before_any_area():
    text = report_text(moved_county_tables())
    above = text[: text.index("面积平衡")].splitlines()
    (moved,) = [line for line in above if "上庄村" in line]
    assert (
        moved
        == f"上庄村（{UPPER}）确权地块整体偏东南偏东 1.8 m，已改正（西移 1.66 m，北移 0.69 m）  可信度：高"
    )
    (doubted,) = [line for line in above if "柳沟" in line]
    assert doubted == f"<i>柳沟</i>村（{LOWER}）确权地块{DOUBT}  可信度：低"


def test_a_movement_that_is_rough_says_how_rough():
    tables = moved_county_tables()
    tables["shifts"] = tables["shifts"].assign(confidence="medium", accepted=True, error_m=0.12)
    assert "南移 1.88 m），改正后仍可能偏 0.2 m  可信度：中" in report_text(tables)


def test_a_village_that_fits_has_no_line_of_its_own():
    tables = moved_county_tables()
    fits = {"confidence": "high", "distance_m": 0.11, "error_m": 0.05, "rotation_deg": 0.01}
    fits["reason"] = "整体偏东 0.11 m（中误差 0.05 m），在精度以内，不移动"
    tables["shifts"] = tables["shifts"].assign(**fits, accepted=False)
    text = report_text(tables)
    assert "2 个村（批次）与三调图斑相合，没有移动" in text
    assert "偏东" not in text


def test_a_village_that_was_decided_to_stay_has_its_line_however_little_it_lies_off():
    tables = moved_county_tables()
    stays = {"confidence": "high", "distance_m": 0.11, "reason": "依据 --align 文件不移动"}
    tables["shifts"] = tables["shifts"].assign(**stays, accepted=False)
    assert report_text(tables).count("确权地块依据 --align 文件不移动  可信度：高") == 2


def test_a_run_that_looked_for_no_shift_says_so():
    assert "套合偏移\n未判断" in report_text(county_tables())


def test_json_tells_each_shift_in_numbers():
    lower, upper = json.loads(report_json(moved_county_tables()))["shifts"][::-1]
    assert (upper["shift_key"], upper["accepted"], upper["dx_m"], upper["dy_m"]) == (UPPER, True, -1.66, 0.69)
    assert (lower["accepted"], lower["confidence"], lower["reason"]) == (False, "low", DOUBT)


def test_json_holds_the_stored_m2(tables):
    values = json.loads(report_json(tables))
    assert values["areas"][0]["code"] == "140725"
    assert values["areas"][0]["covered_m2"] == 23379.99
    assert values["findings"][0]["severity"] == "error"


def test_a_run_without_land_or_findings_has_a_report():
    text = report_text({})
    assert "（无）" in text
    assert json.loads(report_json({}))["areas"] == []


def test_the_workspace_tells_the_same_as_its_tables(tables, tmp_path):
    workspace.write(tmp_path / "w.gpkg", tables, crs=CRS)
    kept, in_hand = report(workspace.open(tmp_path / "w.gpkg")), report(tables)
    for name in ("shifts", "areas", "classes", "findings"):
        pd.testing.assert_frame_equal(getattr(kept, name), getattr(in_hand, name))
    assert kept.title == "寿阳县套图成果"
