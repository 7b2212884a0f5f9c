import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo import schema
from geo.errors import MissingColumnError
from geo.exchange import fields

ROLES = ["survey", "parcels", "rights", "issuers", "contractors", "villages", "groups", "baseline"]


@pytest.mark.parametrize("role", ROLES)
def test_the_standards_own_names_need_no_alias(role):
    names = [column.field for column in schema.columns(role) if column.field]
    found = fields.match(names, role)
    assert dict(found.fields) == {
        column.name: column.field for column in schema.columns(role) if column.field
    }
    assert (found.by_alias, found.missing) == ((), ())


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "turn",
    [str.lower, str.title, lambda name: " " + name, lambda name: "DLTB." + name],
    ids=["lower", "title", "blank", "joined"],
)
def test_names_in_any_case_are_found_and_told(role, turn):
    names = [column.field for column in schema.columns(role) if column.field]
    found = fields.match([turn(name) for name in names], role)
    assert [field for _, field in found.by_alias] == names


@pytest.mark.parametrize(
    ("role", "name", "column"),
    [
        ("survey", "TKXS", "ridge_ratio"),
        ("survey", "TKMJ", "ridge_area_m2"),
        ("survey", "GDPDJ", "slope_class"),
        ("survey", "GDZZSXDM", "planting_code"),
        ("survey", "图斑编号", "patch_number"),
        ("survey", "扣除地类系数", "ridge_ratio"),
        ("villages", "XZQDM", "village_code"),
        ("villages", "CJQYMC", "village_name"),
        ("baseline", "XZQDM", "location_unit_code"),
        ("parcels", "地块编码", "parcel_code"),
        ("parcels", "实测面积（亩）", "surveyed_area_mu"),
        ("rights", "承包经营权取得方式", "acquisition_kind"),
        ("issuers", "权属单位名称", "issuer_name"),
    ],
)
def test_other_names_of_a_field_are_known(role, name, column):
    assert fields.match([name], role).fields[column] == name


def test_chinese_names_cut_to_ten_bytes_are_known_where_only_one_can_be_meant():
    in_gbk, in_utf8 = "坐落单位代", "图斑编"  # of 坐落单位代码 and 图斑编号
    found = fields.match([in_gbk, in_utf8], "survey")
    assert found.fields == {"location_unit_code": in_gbk, "patch_number": in_utf8}


def test_a_cut_name_that_could_be_two_fields_is_left_alone():
    assert fields.match(["坐落单"], "survey").fields == {}  # 坐落单位代码 or 坐落单位名称


def test_the_standards_name_goes_before_an_alias():
    found = fields.match(["TKXS", "KCXS"], "survey")
    assert found.fields["ridge_ratio"] == "KCXS"


def test_a_field_is_used_once():
    found = fields.match(["BSM", "XZQDM"], "baseline")
    assert sorted(found.fields.values()) == ["XZQDM"]


@given(order=st.permutations(["dlbm", "图斑编号", "TKXS", "XZQDM", "坐落单位代码", "tbmj"]))
def test_the_order_of_fields_does_not_matter(order):
    expected = fields.match(["dlbm", "图斑编号", "TKXS", "XZQDM", "坐落单位代码", "tbmj"], "survey")
    assert fields.match(order, "survey") == expected


def test_a_missing_field_is_named_with_file_layer_and_those_there_are():
    with pytest.raises(
        MissingColumnError, match=r"a\.gdb 的图层 DLTB 缺少字段 DLBM；现有字段：TBBH、TBMJ；请补充"
    ):
        fields.require(
            fields.match(["TBBH", "TBMJ"], "survey"),
            ["DLBM"],
            file="a.gdb",
            layer="DLTB",
            present=["TBBH", "TBMJ"],
        )


@pytest.mark.parametrize(
    "name",
    ["ZJRXM", "zjrxm", "DKDZ", "CBFMC", "CBFZJHM", "LXDH", "指界人姓名", "联系电话", "承包方证件", "DK.DKBZ"],
)
def test_fields_that_tell_of_persons_are_known(name):
    assert fields.is_personal(name)


@pytest.mark.parametrize(
    "name", ["DKBM", "DKMC", "DLBM", "FBFMC", "SCMJ", "CBFBM", "CBFLX", "ZLDWMC", "承包方编码"]
)
def test_fields_that_tell_of_land_are_not_personal(name):
    assert not fields.is_personal(name)


def test_codes_come_out_as_text_whatever_they_came_in():
    assert fields.as_text(pd.Series([103.0, None, 12.0])).fillna("").tolist() == ["103", "", "12"]
    assert fields.as_text(pd.Series([" 0103 ", "", "  ", None, "a\0"])).fillna("-").tolist() == [
        "0103", "-", "-", "-", "a"
    ]  # fmt: skip
    assert fields.as_text(pd.Series([7, 8])).tolist() == ["7", "8"]
    assert fields.as_text(pd.Series([0.5, 1.0, None, 1e300])).fillna("").tolist() == [
        "0.5",
        "1",
        "",
        "1e+300",
    ]


def test_numbers_are_read_from_text_and_nonsense_is_missing():
    values = fields.as_number(pd.Series(["1,234.50", " 6 ", "无", None]))
    assert values.tolist()[:2] == [1234.5, 6.0]
    assert values.isna().tolist() == [False, False, True, True]


def test_one_is_yes_and_two_is_no():
    assert fields.as_flag(pd.Series(["1", "2", "是", "否", None, "0", "Y"])).tolist() == [
        True, False, True, False, False, False, True
    ]  # fmt: skip
