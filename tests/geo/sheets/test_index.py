from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.errors import CodeError
from geo.sheets import sheet_code, sheet_frame
from geo.sheets.index import SERIES

POINTS = Path(__file__).parents[3].parent / "shared" / "data" / "sheet_numbers_gb13989"
WORKED = {  # (lon, lat): published and hand-worked numbers; the first lies on corners of every scale
    (114 + 33.75 / 60, 39 + 22.5 / 60): "J50 J50B001001 J50C001001 J50D002002 J50E004003 J50F008005 "
    "J50G015010 J50H030019 J50I090055 J50J01800109 J50K03600217",
    (113.2, 37.9): "J49 J49B002002 J49C003004 J49D007011 J49E013021 J49F026042 "
    "J49G051084 J49H101167 J49I303500 J49J06050999 J49K12101997",
    (116 + 28.25 / 60, 39 + 54.5 / 60): "J50 J50B001001 J50C001002 J50D001005 J50E001010 J50F002020 "
    "J50G003040 J50H005080 J50I014238 J50J00270475 J50K00530949",
}


@pytest.mark.parametrize(("point", "numbers"), WORKED.items())
def test_worked_examples_at_every_scale(point, numbers):
    got = [sheet_code([point[0]], [point[1]], scale)[0] for scale in SERIES]
    assert got == numbers.split()


def test_the_frame_of_a_shouyang_sheet():
    west, south, east, north = sheet_frame("J49I303500")
    assert (west, east) == (113 + 11 / 60 + 52.5 / 3600, 113 + 12.5 / 60)
    assert (south, north) == (37 + 53.75 / 60, pytest.approx(37 + 54 / 60 + 10 / 3600, abs=1e-12))


@given(lon=st.floats(73, 135.9), lat=st.floats(3, 53), scale=st.sampled_from(list(SERIES)))
def test_a_sheet_holds_the_point_that_named_it(lon, lat, scale):
    west, south, east, north = sheet_frame(sheet_code([lon], [lat], scale)[0])
    assert west - 2e-8 <= lon < east + 2e-8
    assert south - 2e-8 <= lat < north + 2e-8


@given(row=st.integers(1, 576), column=st.integers(1, 576))
def test_the_south_west_corner_belongs_to_its_own_sheet(row, column):
    code = f"J49I{row:03d}{column:03d}"
    west, south, _, _ = sheet_frame(code)
    assert sheet_code([west], [south])[0] == code


def test_a_missing_coordinate_has_no_sheet():
    assert sheet_code([113.2, np.nan], [37.9, 37.9]).tolist() == ["J49I303500", None]


@pytest.mark.parametrize("code", ["J49I577001", "J49I000001", "J49J303500", "K2", "J49X001001"])
def test_what_is_no_sheet_number_is_refused(code):
    with pytest.raises(CodeError):
        sheet_frame(code)


@pytest.mark.skipif(not POINTS.exists(), reason="the shared sheet-number table is not here")
def test_every_row_of_the_independent_table():
    for path in sorted(POINTS.glob("*.csv")):
        rows = pd.read_csv(path)
        scale = {s.letter: k for k, s in SERIES.items()}
        for letter, part in rows.groupby(rows["sheet_exact"].str[3:4]):
            got = sheet_code(part["lon_deg"], part["lat_deg"], scale[letter])
            assert got.tolist() == part["sheet_exact"].tolist()
