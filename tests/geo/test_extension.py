"""The report before contracts are extended: a county counted by hand, and laws any county keeps."""

import json

import geopandas as gpd
import numpy as np
import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.affinity import translate
from shapely.geometry import Polygon, box
from typer.testing import CliRunner

from geo import schema, workspace
from geo.area import ellipsoidal_area
from geo.cli import app
from geo.errors import InputError
from geo.extension import SUBJECTS, ExtensionSettings, extension
from geo.extension_book import extension_json, extension_text, write_extension
from tests.geo.county import CRS, LOWER, UPPER, X0, Y0, county_tables, moved_county_tables

G1, G2 = f"{UPPER}01", f"{LOWER}02"


def parcel(number, shape, *, group=G1, household=1, contract=3000.0, surveyed=3000.0, **more):  # noqa: PLR0913 - a row reads as a row
    return {
        "parcel_code": f"{group}{number:05d}",
        "parcel_class": "10",
        "issuer_code": group,
        "contractor_code": f"{group}{household:04d}",
        "acquisition_kind": "110",
        "contract_area_m2": contract,
        "surveyed_area_m2": surveyed,
        "source_row": number,
        "geometry": translate(shape, X0, Y0),
        **more,
    }


def county(*rows):
    made = gpd.GeoDataFrame(list(rows), geometry="geometry", crs=CRS)
    return county_tables() | {"parcels": schema.conform(made, "parcels")}


ON_PATCH = box(100, 100, 160, 150)  # inside the first patch of the upper village
FALLOW = box(250, 250, 300, 300)  # on no patch


def test_a_parcel_on_no_farmland_is_told_and_one_that_only_overhangs_is_not():
    hang = box(80, 100, 120, 150)  # half of it on the patch
    rim = box(50, 160, 102, 200)  # 3.8 % of it on the patch: the drawn border errs
    found = extension(county(parcel(1, ON_PATCH), parcel(2, FALLOW), parcel(3, hang), parcel(4, rim))).bare
    assert found["parcel_code"].tolist() == [f"{G1}00002", f"{G1}00004"]
    assert found["farmland_m2"].tolist() == [0.0, pytest.approx(80, abs=0.2)]
    assert found["reason"][0] == "地块下没有三调耕地"


def test_the_tolerance_of_farmland_is_a_setting():
    rim = county(parcel(1, box(50, 160, 102, 200)))
    assert extension(rim, ExtensionSettings(farmland_share=0.03)).bare.empty


def test_two_rights_on_one_land_are_a_row_and_the_fringe_of_digitising_is_none():
    lie = [box(100, 100, 160, 150), box(140, 100, 200, 150), box(200 - 1, 100, 260, 150)]
    result = extension(county(*(parcel(n, shape, household=n) for n, shape in enumerate(lie, 1))))
    (row,) = result.overlaps.to_dict("records")
    assert (row["parcel_code"], row["other_parcel_code"]) == (f"{G1}00001", f"{G1}00002")
    common = gpd.GeoDataFrame(geometry=[translate(box(140, 100, 160, 150), X0, Y0)], crs=CRS)
    assert row["part_m2"] == pytest.approx(ellipsoidal_area(common).item(), abs=0.01)
    assert row["part_m2"] != pytest.approx(1000.0, abs=0.01), "a planar area is not the ellipsoid's"
    assert "两个承包方" in row["reason"]


def test_a_parcel_over_the_border_is_told_with_its_part_in_the_other_village():
    over = box(960, 100, 1060, 150)  # 60 m of 100 m beyond the border at 1000
    edge = box(900, 200, 1001, 250)  # a metre over: borders err by more
    away = box(1700, 700, 1750, 750)
    result = extension(county(parcel(1, over), parcel(2, edge), parcel(3, away), parcel(4, ON_PATCH)))
    found = result.crossing
    assert found["parcel_code"].tolist() == [f"{G1}00001", f"{G1}00003"]
    assert found["other_village_code"].tolist() == [LOWER, LOWER]
    assert found["share"].tolist() == [0.6, 1.0]
    assert found["reason"].tolist() == ["有 60.0% 在 <i>柳沟</i>村", "全部在 <i>柳沟</i>村"]


def test_a_parcel_on_its_own_village_s_enclave_is_at_home():
    tables = county(parcel(1, box(1110, 110, 1190, 190)))
    assert len(extension(tables).crossing) == 1
    tables["patches"].loc[tables["patches"]["patch_code"].eq(f"{LOWER}-00001"), "village_code"] = UPPER
    assert extension(tables).crossing.empty


def test_five_percent_itself_is_not_over_five_percent():
    areas = {1: (1000.0, 1050.0), 2: (1000.0, 1050.01), 3: (1000.0, 949.99), 4: (0.0, 10.0), 5: (None, 10.0)}
    rows = [
        parcel(n, ON_PATCH, contract=contract, surveyed=surveyed) for n, (contract, surveyed) in areas.items()
    ]
    result = extension(county(*rows))
    assert result.differing["parcel_code"].str[-1].tolist() == ["2", "3", "4"]
    assert result.differing["difference_m2"].tolist() == [50.01, -50.01, 10.0]
    assert result.differing["difference_mu"].tolist() == [0.08, -0.08, 0.02]
    assert result.differing["reason"][2] == "合同面积为 0"
    assert result.aside["缺合同面积或实测面积，未比较"] == 1
    assert len(extension(county(*rows), ExtensionSettings(area_share=0.06)).differing) == 1


@pytest.mark.parametrize(("reserve", "over"), [(1000.00, False), (1000.01, True)])
def test_reserve_land_is_held_against_the_collective_s_farmland_alone(reserve, over):
    # The upper village has 20,000 m² of its own, and 10,000 m² of the state's that do not count.
    kept = parcel(1, ON_PATCH, surveyed=reserve, parcel_class="22", contractor_code="")
    row = extension(county(kept)).reserve.set_index("village_code").loc[UPPER]
    assert (row["farmland_m2"], row["reserve_m2"], bool(row["over"])) == (20_000.0, reserve, over)
    assert row["share"] == pytest.approx(0.05, abs=1e-4)
    lower = extension(county(kept)).reserve.set_index("village_code").loc[LOWER]
    assert lower["farmland_m2"] == 30_000.0, "land held in shares is the collective's"


def test_a_household_s_parcels_are_one_holding():
    rows = [
        parcel(1, ON_PATCH, household=1, surveyed=1000.0),
        parcel(2, ON_PATCH, household=1, surveyed=1000.0),
        parcel(3, ON_PATCH, household=2, surveyed=4000.0),
        parcel(4, ON_PATCH, household=3, surveyed=9.0, acquisition_kind="120"),
        parcel(5, ON_PATCH, group=G2, household=1, surveyed=600.0),
        parcel(6, ON_PATCH, household=4, surveyed=9.0, share_based=True),
    ]
    result = extension(county(*rows))
    told = result.land.set_index(["level", "village_code"])
    upper = told.loc[("village", UPPER)]
    assert (upper["households"], upper["parcels"], upper["total_m2"]) == (2, 3, 6000.0)
    assert (upper["mean_m2"], upper["median_m2"], upper["mean_mu"]) == (3000.0, 3000.0, 4.5)
    assert (upper["least_m2"], upper["p10_m2"], upper["p90_m2"], upper["most_m2"]) == (2000, 2200, 3800, 4000)
    assert told.loc[("group", LOWER)]["group_code"] == G2
    assert result.aside["以其他方式承包（非家庭承包），未计入户均"] == 1
    assert result.aside["确权确股，不入各项"] == 1
    assert result.villages.set_index("village_code").loc[UPPER, "share_based_m2"] == 9.0


def test_an_issuer_of_another_year_s_code_is_the_village_its_land_lies_in():
    old = "14072510299901"
    result = extension(county(parcel(1, ON_PATCH, group=old), parcel(2, FALLOW, group=old)))
    assert result.crossing.empty
    assert result.bare["village_code"].tolist() == [UPPER]
    assert result.land["village_code"].unique().tolist() == [UPPER]


def test_parcels_without_geometry_and_villages_without_borders_break_nothing():
    tables = county(parcel(1, ON_PATCH), parcel(2, ON_PATCH))
    tables["parcels"].loc[1, "geometry"] = None
    tables["villages"] = tables["villages"].iloc[:0]
    result = extension(tables)
    assert result.aside["没有图形，未查耕地、重叠、跨村"] == 1
    assert result.overlaps.empty
    assert result.crossing.empty
    assert result.villages["households"].sum() == 1


def test_a_village_border_that_crosses_itself_is_no_reason_to_stop():
    tables = county(parcel(1, box(960, 100, 1060, 150)))
    ring = [(1000, 0), (2000, 0), (2000, 1000), (1900, 1000), (2000, 900), (1000, 1000)]
    tables["villages"].loc[1, "geometry"] = translate(Polygon(ring), X0, Y0)
    assert extension(tables).crossing["share"].tolist() == [0.6]


@st.composite
def counties(draw):
    rows = []
    for number in range(1, draw(st.integers(1, 7)) + 1):
        x, y = draw(st.integers(60, 1500)), draw(st.integers(60, 600))
        shape = box(x, y, x + draw(st.integers(5, 120)), y + draw(st.integers(5, 120)))
        rows.append(
            parcel(
                number,
                shape,
                group=draw(st.sampled_from([G1, f"{UPPER}02", G2])),
                household=draw(st.integers(1, 3)),
                contract=draw(st.integers(0, 500_000)) / 100,
                surveyed=draw(st.integers(1, 500_000)) / 100,
                parcel_class=draw(st.sampled_from(["10", "10", "10", "22"])),
                share_based=draw(st.sampled_from([False, False, False, True])),
            )
        )
    return county(*rows), draw(st.permutations(range(len(rows))))


@settings(max_examples=10, deadline=None)
@given(counties())
def test_sums_agree_at_every_level_and_the_order_of_rows_does_not_matter(made):
    tables, order = made
    result = extension(tables)
    parcels = tables["parcels"]
    counted = parcels[parcels["parcel_class"].eq("10") & ~parcels["share_based"]]
    land = result.land.assign(cents=np.rint(result.land["total_m2"] * 100).astype("int64"))
    levels = land.groupby("level")["cents"].sum()
    assert set(levels) <= {round(counted["surveyed_area_m2"].mul(100).sum())}
    assert land.loc[land["level"].eq("group"), "households"].sum() == counted["contractor_code"].nunique()
    assert result.villages["households"].sum() == counted["contractor_code"].nunique()
    for name in ("bare", "overlaps", "crossing", "differing"):
        assert result.villages[f"{name}_count"].sum() == len(getattr(result, name))
    mixed = {layer: table.iloc[::-1] for layer, table in tables.items()} | {
        "parcels": parcels.iloc[list(order)]
    }
    assert extension_json(extension(mixed)) == extension_json(result)


def test_the_workbook_has_a_sheet_a_subject_and_is_the_same_twice(tmp_path):
    tables = county(parcel(1, box(960, 100, 1060, 150), surveyed=5000.0), parcel(2, box(970, 100, 1060, 150)))
    book, data = write_extension(extension(tables), tmp_path / "a")
    again, _ = write_extension(extension(tables), tmp_path / "b")
    assert book.read_bytes() == again.read_bytes()
    sheets = openpyxl.load_workbook(book, data_only=True)
    assert sheets.sheetnames == ["说明", "分村汇总", *SUBJECTS.values()]
    assert all(int(sheet.page_setup.paperSize) == 9 for sheet in sheets)
    heads = [cell.value for cell in sheets["跨村地块"][3]]
    row = dict(zip(heads, [cell.value for cell in sheets["跨村地块"][4]], strict=True))
    told = json.loads(data.read_text(encoding="utf-8"))["crossing"][0]
    assert (row["地块编码"], row["在他村㎡"], row["在他村亩"]) == (
        told["parcel_code"],
        told["part_m2"],
        told["part_mu"],
    )
    assert row["事由"] == told["reason"]
    assert "第六十七条" in str([cell.value for row in sheets["说明"] for cell in row])


def test_a_shift_is_said_before_any_area():
    text = extension_text(extension(moved_county_tables()))
    assert 0 < text.index("已改正") < text.index("无耕地地块")


def test_no_name_of_a_person_comes_out():
    tables = county(parcel(1, ON_PATCH))
    tables["parcels"]["contractor_name"] = "张三"
    assert "张三" not in extension_json(extension(tables))


def test_a_share_beyond_the_whole_is_refused():
    with pytest.raises(InputError, match="area_share"):
        extension(county_tables(), ExtensionSettings(area_share=1.5))


def test_the_command_prints_and_writes(tmp_path):
    path = tmp_path / "w.gpkg"
    workspace.write(path, county(parcel(1, ON_PATCH), parcel(2, FALLOW)), crs=CRS)
    run = CliRunner().invoke(app, ["extension", str(path), "--out", str(tmp_path / "延包"), "--json"])
    assert run.exit_code == 0, run.output
    assert [row["parcel_code"] for row in json.loads(run.stdout)["bare"]] == [f"{G1}00002"]
    assert sorted(file.name for file in (tmp_path / "延包").iterdir()) == ["延包核查.json", "延包核查.xlsx"]
    shown = CliRunner().invoke(app, ["extension", str(path)])
    assert "上庄村" in shown.stdout
