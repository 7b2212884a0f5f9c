"""Decisions on shifts as a file: what goes out comes back, in any editor, and what cannot be meant is refused."""

import csv
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geo import schema
from geo.errors import GeoError, InputError, MissingColumnError
from geo.exchange.shift_file import read_shifts, write_shifts
from geo.movement import GivenShift, Movement
from tests.geo.county import LOWER, UPPER, moved_county_tables

HEAD = "偏移号,采用,东移改正,北移改正,旋转改正,缩放改正,原点东坐标,原点北坐标"


def saved(folder, *rows, head=HEAD, encoding="utf-8"):
    path = folder / "shifts.csv"
    path.write_text("\n".join([head, *rows]) + "\n", encoding=encoding)
    return path


def movement(east=0.0, north=0.0, *, degrees=0.0, ppm=0.0, origin=(0.0, 0.0)):
    return Movement(
        dx_m=east,
        dy_m=north,
        rotation_rad=float(np.deg2rad(degrees)),
        scale=1 + ppm / 1e6,
        origin_x=origin[0],
        origin_y=origin[1],
    )


def edited(path, key, **cells):
    """The file with cells of one row changed, as someone does in a text editor."""
    rows = list(csv.DictReader(StringIO(path.read_text(encoding="utf-8-sig"))))
    for row in rows:
        if row["偏移号"].strip() == key:
            row.update(cells)
    out = StringIO()
    writer = csv.DictWriter(out, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(out.getvalue(), encoding="utf-8", newline="")


@pytest.fixture
def shifts():
    return moved_county_tables()["shifts"]


# What goes out comes back


def test_a_file_no_one_edited_says_again_what_was_done(shifts, tmp_path):
    write_shifts(shifts, tmp_path / "s.csv")
    (given_again,) = read_shifts(tmp_path / "s.csv")
    row = shifts.set_index("shift_key").loc[UPPER]
    origin = (row["origin_x_m"], row["origin_y_m"])
    assert given_again == GivenShift(
        shift_key=UPPER, accepted=True, movement=movement(-1.66, 0.69, origin=origin)
    )


@pytest.mark.parametrize("word", ["是", "采用", "1", "TRUE", "yes"])
def test_a_village_said_yes_to_is_moved_by_the_very_numbers_of_its_row(shifts, tmp_path, word):
    east = -48.047084372417274
    exact = shifts.assign(accepted=False, dx_m=east, rotation_deg=0.1 + 0.2, direction="东", model="rigid")
    exact["distance_m"] = np.hypot(east, exact["dy_m"])
    write_shifts(exact, tmp_path / "s.csv")
    assert read_shifts(tmp_path / "s.csv") == ()
    edited(tmp_path / "s.csv", LOWER, 采用=word)
    (decision,) = read_shifts(tmp_path / "s.csv")
    assert decision.shift_key == LOWER
    assert decision.movement.dx_m == -48.047084372417274
    assert decision.movement.rotation_rad == float(np.deg2rad(0.1 + 0.2))


@pytest.mark.parametrize("word", ["否", "不移动", "0", "No"])
def test_a_village_said_no_to_stays_whatever_numbers_stand_in_its_row(shifts, tmp_path, word):
    write_shifts(shifts, tmp_path / "s.csv")
    edited(tmp_path / "s.csv", UPPER, 采用=word)
    assert read_shifts(tmp_path / "s.csv") == (GivenShift(shift_key=UPPER, accepted=False),)


def test_a_no_is_written_again_when_the_next_run_stops_too(shifts, tmp_path):
    refused = GivenShift(shift_key=LOWER, accepted=False)
    write_shifts(shifts, tmp_path / "s.csv", decided=[refused])
    assert refused in read_shifts(tmp_path / "s.csv")
    write_shifts(shifts, tmp_path / "s.csv")
    assert refused not in read_shifts(tmp_path / "s.csv")


def test_what_was_left_open_beside_a_village_told_no_is_left_open_again(shifts, tmp_path):
    batch = shifts[shifts["shift_key"].eq(LOWER)].assign(shift_key=f"{LOWER}/a.shp", accepted=False)
    more = pd.concat([shifts, batch], ignore_index=True)
    decided = (
        GivenShift(shift_key=LOWER, accepted=False),
        GivenShift(shift_key=f"{LOWER}/a.shp", accepted=None),
    )
    write_shifts(more, tmp_path / "s.csv", decided=iter(decided))
    assert set(decided) <= set(read_shifts(tmp_path / "s.csv"))


def test_yes_without_numbers_accepts_what_will_be_found(tmp_path):
    assert read_shifts(saved(tmp_path, f"{UPPER},是,,,,,,")) == (GivenShift(shift_key=UPPER, accepted=True),)


@given(
    st.tuples(
        st.floats(-999, 999),
        st.floats(-999, 999),
        st.floats(-4.9, 4.9),
        st.floats(-4999, 4999),
        st.floats(3.8e7, 3.9e7),
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_movement_comes_back_to_the_last_bit(tmp_path, numbers):
    east, north, degrees, ppm, x = numbers
    row = {
        "shift_key": UPPER, "village_code": UPPER, "accepted": True, "confidence": "high", "dx_m": east,
        "dy_m": north, "rotation_deg": degrees, "scale_ppm": ppm, "origin_x_m": x, "origin_y_m": 4.19e6,
    }  # fmt: skip
    write_shifts(schema.conform(pd.DataFrame([row]), "shifts"), tmp_path / "s.csv")
    (decision,) = read_shifts(tmp_path / "s.csv")
    assert decision.movement == movement(east, north, degrees=degrees, ppm=ppm, origin=(x, 4.19e6))


def test_the_file_is_the_same_each_time_and_its_words_are_chinese(shifts, tmp_path):
    for name in ("a.csv", "b.csv"):
        write_shifts(shifts, tmp_path / name)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    rows = list(csv.DictReader(StringIO((tmp_path / "a.csv").read_text(encoding="utf-8-sig"))))
    assert list(rows[0]) == list(schema.titles("shifts").values())
    assert {(row["采用"], row["可信度"], row["模型"]) for row in rows} == {
        ("是", "高", "平移"),
        ("", "低", "平移"),
    }


def test_codes_go_out_so_that_excel_takes_them_for_text_and_nothing_runs(shifts, tmp_path):
    write_shifts(shifts.assign(village_name="=1+1"), tmp_path / "s.csv")
    rows = list(csv.DictReader(StringIO((tmp_path / "s.csv").read_text(encoding="utf-8-sig"))))
    assert {row["偏移号"] for row in rows} == {f"\t{UPPER}", f"\t{LOWER}"}
    assert {row["村名称"] for row in rows} == {"'=1+1"}


# Numbers without a word


@pytest.mark.parametrize(
    "cells",
    [
        {"东移改正": "-5.25"},
        {"东移改正": "7", "北移改正": "-8"},
        {"东移改正": "2.0", "北移改正": "-1.0"},
        {"旋转改正": "0.3", "原点东坐标": "38420000", "原点北坐标": "4190000"},
    ],
    ids=str,
)
def test_numbers_edited_in_a_row_without_a_decision_are_not_lost_in_silence(shifts, tmp_path, cells):
    found = shifts.assign(accepted=False, dx_m=1.0, dy_m=2.0, distance_m=2.236, direction="西南偏南")
    write_shifts(found, tmp_path / "s.csv")
    assert read_shifts(tmp_path / "s.csv") == ()
    edited(tmp_path / "s.csv", UPPER, **cells)
    with pytest.raises(InputError, match=r"填有改正数.*但“采用”留空"):
        read_shifts(tmp_path / "s.csv")


def test_numbers_that_a_spreadsheet_has_cut_are_not_taken_for_edited(shifts, tmp_path):
    found = shifts.assign(
        accepted=False, dx_m=1.004999, dy_m=2.004999, distance_m=2.243, direction="西南偏南"
    )
    write_shifts(found, tmp_path / "s.csv")
    edited(tmp_path / "s.csv", UPPER, 东移改正="1.00", 北移改正="2.00")
    assert read_shifts(tmp_path / "s.csv") == ()


def test_numbers_of_ones_own_without_a_decision_are_refused(tmp_path):
    with pytest.raises(InputError, match="第 2 行：填有改正数（东移 1 m，北移 2 m），但“采用”留空"):
        read_shifts(saved(tmp_path, f"{UPPER},,1,2,,,,"))


# As officers may hand it in


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk"])
def test_the_encoding_does_not_matter(tmp_path, encoding):
    path = saved(tmp_path, f"{UPPER},是,1.5,-2.5,,,,", encoding=encoding)
    assert read_shifts(path) == (GivenShift(shift_key=UPPER, accepted=True, movement=movement(1.5, -2.5)),)


def test_english_headers_and_a_village_with_its_batch_are_read(tmp_path):
    head = "batch,village_code,accepted,dx_m,dy_m,rotation_deg,origin_x_m,origin_y_m,remark"
    path = saved(
        tmp_path,
        f"DK2.shp,{UPPER},yes,1,2,0.1,100,200,anything",
        f",{LOWER},no,,,,,,",
        head=head,
    )
    assert read_shifts(path) == (
        GivenShift(
            shift_key=f"{UPPER}/DK2.shp",
            accepted=True,
            movement=movement(1, 2, degrees=0.1, origin=(100, 200)),
        ),
        GivenShift(shift_key=LOWER, accepted=False),
    )


def test_the_order_of_rows_and_empty_lines_do_not_matter(tmp_path):
    rows = [f"{UPPER},是,1,2,,,,", ",,,,,,,", f"{LOWER},否,,,,,,"]
    forward = read_shifts(saved(tmp_path, *rows))
    assert forward == read_shifts(saved(tmp_path, *rows[::-1]))
    assert [shift.shift_key for shift in forward] == sorted([UPPER, LOWER])


# What cannot be meant


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (f"{UPPER},也许,,,,,,", "“采用”应为 是、否或留空，现为“也许”"),
        (f"{UPPER},是,1.5,,,,,", "“东移改正”和“北移改正”应同时给出"),
        (f"{UPPER},是,,2,,,,", "“东移改正”和“北移改正”应同时给出"),
        (f"{UPPER},是,1.5米,2,,,,", "“东移改正”应为数字，现为“1.5米”"),
        (f"{UPPER},是,1,nan,,,,", "“北移改正”应为数字，现为“nan”"),
        (f"{UPPER},是,1,inf,,,,", "“北移改正”应为数字，现为“inf”"),
        (f"{UPPER},是,1,2,0.1,,,", "“原点东坐标”和“原点北坐标”必须给出"),
        (f"{UPPER},是,1,2,,30,100,", "“原点东坐标”和“原点北坐标”必须给出"),
        (f"{UPPER},是,38420000,2,,,,", "改正数过大"),
        (f"{UPPER},是,1,-1001,,,,", "改正数过大"),
        (f"{UPPER},是,1,2,45,,0,0", "改正数过大"),
        (f"{UPPER},是,1,2,,1000000,0,0", "改正数过大"),
        ("1.40725E+11,是,,,,,,", "“1.40725E+11”不是 12 位村代码（或 村代码/批次）；代码列请存为文本"),
        ("上庄村,是,,,,,,", "“上庄村”不是 12 位村代码"),
        (",是,,,,,,", "“”不是 12 位村代码"),
        ("14072510020,否,,,,,,", "“14072510020”不是 12 位村代码"),
    ],
)
def test_a_row_that_cannot_be_meant_is_refused_by_its_number(tmp_path, row, told):
    path = saved(tmp_path, f"{LOWER},否,,,,,,", row)
    with pytest.raises(InputError) as caught:
        read_shifts(path)
    assert str(caught.value).startswith("shifts.csv 第 3 行")
    assert told in str(caught.value)


def test_two_rows_of_one_village_are_refused(tmp_path):
    with pytest.raises(InputError, match=f"第 3 行：{UPPER} 前面已经有一行"):
        read_shifts(saved(tmp_path, f"{UPPER},是,,,,,,", f"{UPPER},否,,,,,,"))


@pytest.mark.parametrize("head", ["偏移号,东移改正,北移改正", "村名称,采用", "点名,X,Y"])
def test_a_missing_column_is_named_with_those_that_are_there(tmp_path, head):
    with pytest.raises(MissingColumnError, match="应有“偏移号”（或“村代码”）和“采用”两列"):
        read_shifts(saved(tmp_path, "a,b,c", head=head))


def test_a_file_without_a_row_is_refused(tmp_path):
    with pytest.raises(MissingColumnError, match="至少一行"):
        read_shifts(saved(tmp_path))
    (tmp_path / "empty.csv").touch()
    with pytest.raises(MissingColumnError, match="至少一行"):
        read_shifts(tmp_path / "empty.csv")


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(InputError, match="打不开"):
        read_shifts(tmp_path / "none.csv")


@given(content=st.binary(max_size=300) | st.text(max_size=200).map(lambda text: f"{HEAD}\n{text}".encode()))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_in_a_file_it_is_read_or_refused_in_words(tmp_path, content):
    path = tmp_path / "any.csv"
    path.write_bytes(content)
    try:
        read = read_shifts(path)
    except GeoError as error:
        read = str(error)
    assert "any.csv" in read if isinstance(read, str) else all(isinstance(one, GivenShift) for one in read)


def test_a_cell_longer_than_any_decision_is_refused_in_words(tmp_path):
    with pytest.raises(InputError, match=r"shifts\.csv 第 3 行起不是 CSV 表格"):
        read_shifts(saved(tmp_path, f"{LOWER},否,,,,,,", f"{UPPER},{'是' * 200_000},,,,,,"))


def test_lines_are_counted_as_an_editor_counts_them(tmp_path):
    with pytest.raises(InputError, match="第 5 行"):
        read_shifts(saved(tmp_path, "", f"{LOWER},否,,,,,,", "", f"{UPPER},也许,,,,,,"))


def test_a_batch_listed_undecided_beside_its_decided_village_is_kept_open(tmp_path):
    text = f"偏移号,采用\n{UPPER},是\n{UPPER}/a.shp,\n{LOWER},\n{LOWER}/b.shp,\n"
    (tmp_path / "s.csv").write_text(text, encoding="utf-8")
    assert read_shifts(tmp_path / "s.csv") == (
        GivenShift(shift_key=UPPER, accepted=True),
        GivenShift(shift_key=f"{UPPER}/a.shp", accepted=None),
    )
