"""The page of grids before and after: what it draws, what it leaves to the table, and that it is whole by itself."""

import json

import geopandas as gpd
import pytest
from shapely.geometry import box

from geo import workspace
from geo.grid_page import before_after
from geo.grids.compare import compare
from geo.grids.profiles import profile_of
from tests.geo.grid_files import written
from tests.geo.grids.lands import CODE, CRS, X0, Y0, homes_at
from tests.geo.test_grid_cli import QUICK, refused, taotu

OTHER = "140725100299"


def rows_of_two(*cuts, names=("一", "二")):
    """Grids of 100 m height that end at the cuts, in one village; in another, 500 m north, two that stay."""
    parts = zip((0, *cuts), cuts, strict=False)
    own = [box(X0 + a, Y0, X0 + b, Y0 + 100) for a, b in parts]
    stay = [box(X0, Y0 + 500, X0 + 100, Y0 + 600), box(X0 + 100, Y0 + 500, X0 + 200, Y0 + 600)]
    codes = [f"{CODE}{k + 1:03d}" for k in range(len(own))] + [f"{OTHER}00{k}" for k in (1, 2)]
    return gpd.GeoDataFrame(
        {
            "grid_code": codes,
            "grid_name": [*names[: len(own)], "三", "四"],
            "village_code": [code[:12] for code in codes],
        },
        geometry=[*own, *stay],
        crs=CRS,
    )


def homes():
    """Ten homes in each village; the third of the first is of four households."""
    here = homes_at([(X0 + x, Y0 + 50) for x in range(10, 200, 20)], [1, 1, 4, 1, 1, 1, 1, 1, 1, 1])
    there = homes_at([(X0 + x, Y0 + 550) for x in range(10, 200, 20)], [1] * 10).assign(village_code=OTHER)
    return gpd.GeoDataFrame(gpd.pd.concat([here, there], ignore_index=True), crs=CRS)


def page(before, after):
    return before_after(compare(before, after, homes(), profile=profile_of("3-7")), {CODE: "上庄<村>"})


def test_homes_that_moved_are_marked_in_both_pictures():
    text = page(rows_of_two(80, 200), rows_of_two(40, 200))
    assert text.count('class="m"') == 2 * 2  # at 50 and 70 m
    assert text.count('class="h"') == 2 * 8
    assert "换了网格的住户 5 户" in text


def test_a_village_in_which_nothing_changed_is_a_row_and_no_picture():
    text = page(rows_of_two(80, 200), rows_of_two(40, 200))
    assert text.count("<svg") == 2
    assert f'<td class="t">{OTHER}</td><td>2 → 2</td>' in text
    assert "<svg" not in page(rows_of_two(80, 200), rows_of_two(80, 200))


def test_a_dissolved_grid_is_drawn_before_and_gone_after():
    text = page(rows_of_two(40, 200), rows_of_two(200))
    before, after = text.split("<figcaption>")[1:]
    assert (before.count("<path"), after.count("<path")) == (2, 1)
    assert "撤销的网格 1 个" in text


def test_grids_that_name_no_village_are_drawn_in_that_of_the_new_ones_where_they_lie():
    bare = rows_of_two(80, 200).drop(columns="village_code")
    assert page(bare, rows_of_two(40, 200)) == page(rows_of_two(80, 200), rows_of_two(40, 200))


def test_the_page_does_not_hang_on_the_order_of_rows_and_names_no_outside_address():
    before, after = rows_of_two(80, 200), rows_of_two(40, 200)
    text = page(before, after)
    assert text == page(before.iloc[::-1], after.iloc[::-1])
    assert "http://" not in text
    assert "https://" not in text
    assert "上庄&lt;村&gt;" in text


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return written(tmp_path_factory.mktemp("page_county"))


def test_adjust_draws_what_it_changed(files, tmp_path):
    work, out = tmp_path / "w.gpkg", tmp_path / "pages" / "对照.html"
    assert taotu("partition", work, *files.words(), "--profile", "6/8/14", *QUICK)[0] == 0
    code, said, _ = taotu("adjust", work, "--profile", "8-12", *QUICK, "--json", "--map", out)
    assert code == 0
    text = out.read_text(encoding="utf-8")
    assert f"换了网格的住户 {json.loads(said)['moved']} 户" in text
    assert len(workspace.open(work).read("grids")) > 0


def test_grids_without_polygons_cannot_be_drawn_and_nothing_is_written(files, tmp_path):
    line = refused("adjust", tmp_path / "w.gpkg", *files.words(), "--map", tmp_path / "x.html", *QUICK)
    assert "没有面" in line
    assert not (tmp_path / "w.gpkg").exists()
    assert not (tmp_path / "x.html").exists()
