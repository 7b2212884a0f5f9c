"""A drawing for CAD: coordinates exact, holes open, Chinese right in GDAL, codes as text and as data."""

import io
import os
import subprocess
import sys
from collections import Counter

import ezdxf
import geopandas as gpd
import pyogrio
import pytest
import shapely
from ezdxf.entities import Hatch, LWPolyline
from hypothesis import given, settings
from hypothesis import strategies as st

from geo.errors import GeometryTypeError
from geo.sheets.dxf import APP, DxfSettings, dxf, outside_gbk
from tests.geo.sheets.land_of_dxf import APART, CRS, GROUP, HOLED, X0, Y0, all_layers, pieces
from tests.helpers import ROOT


def drawing(data):
    text = data.decode("gbk") if b"AC1018" in data[:2000] else data.decode("utf-8")
    return ezdxf.read(io.StringIO(text))


def through_gdal(data, folder, **options):
    path = folder / "图.dxf"
    path.write_bytes(data)
    before = {name: pyogrio.get_gdal_config_option(name) for name in options}
    pyogrio.set_gdal_config_options(options)
    try:
        return pyogrio.read_dataframe(path)
    finally:
        pyogrio.set_gdal_config_options(before)


@pytest.mark.parametrize(("version", "options"), [("R2004", {}), ("R2010", {"DXF_ENCODING": "UTF-8"})])
def test_gdal_reads_layers_and_texts_in_chinese(version, options, tmp_path):
    table = through_gdal(dxf(all_layers(), settings=DxfSettings(version=version)), tmp_path, **options)
    assert {"村界", "图斑", "承包地块", "图块_未确权", "图块_新增_填充", "图块注记", "图廓", "界址点"} <= set(
        table["Layer"]
    )
    assert {f"{GROUP}-W-0001", f"{GROUP}-X-0002", "1.85亩", "柳沟村 第1页", "J1"} <= set(
        table["Text"].dropna()
    )


def test_a_filled_piece_comes_back_with_its_hole_and_its_exact_corners(tmp_path):
    table = through_gdal(dxf({"pieces": pieces(HOLED, APART)}), tmp_path)
    filled = table[table["Layer"].str.endswith("_填充")].geometry
    assert filled.iloc[0].equals_exact(shapely.force_2d(HOLED), 0.0) or shapely.equals_exact(
        shapely.normalize(filled.iloc[0]), shapely.normalize(HOLED), 0.0
    )
    assert shapely.equals_exact(shapely.normalize(filled.iloc[1]), shapely.normalize(APART), 0.0)


@given(
    x=st.floats(3e7, 4e7),
    y=st.floats(2e6, 6e6),
    size=st.floats(1e-3, 1e4),
)
@settings(max_examples=20)
def test_coordinates_are_written_to_the_last_bit(x, y, size):
    shape = shapely.box(x, y, x + size, y + size)
    read = drawing(dxf({"pieces": pieces(shape)}))
    (line,) = read.modelspace().query("LWPOLYLINE")
    assert isinstance(line, LWPolyline)
    assert list(line.get_points("xy")) == [tuple(point) for point in shapely.get_coordinates(shape)[:-1]]
    (hatch,) = read.modelspace().query("HATCH")
    assert isinstance(hatch, Hatch)
    assert [tuple(p[:2]) for p in hatch.paths.paths[0].vertices] == list(line.get_points("xy"))


@pytest.mark.parametrize("version", ["R2004", "R2010"])
def test_nothing_is_wrong_for_an_auditor(version):
    found = drawing(dxf(all_layers(), settings=DxfSettings(version=version))).audit()
    assert found.errors == []
    assert found.fixes == []


def test_the_code_stands_once_as_text_and_on_every_line_and_fill_as_data():
    space = drawing(dxf({"pieces": pieces(HOLED, APART)})).modelspace()
    code = f"{GROUP}-W-0001"
    assert [entity.dxf.text for entity in space.query("TEXT")].count(code) == 1
    told = Counter(entity.dxftype() for entity in space if entity.has_xdata(APP)
                   and entity.get_xdata(APP)[0].value == code)  # fmt: skip
    assert told == {"LWPOLYLINE": 2, "HATCH": 1, "TEXT": 1}  # a shell and a pond
    rings = [entity.get_xdata(APP)[-1].value for entity in space.query("LWPOLYLINE")]
    assert rings == ["ring=outer", "ring=hole", "ring=outer", "ring=outer"]
    values = {tag.value for entity in space.query("HATCH") for tag in entity.get_xdata(APP)}
    assert {"area_m2=1234.56", "piece_class=UNCONFIRMED"} <= values


@pytest.mark.parametrize("version", ["R2004", "R2010"])
def test_the_same_land_gives_the_same_bytes_in_any_order(version):
    layers = all_layers()
    turned = {name: table.iloc[::-1].reset_index(drop=True) for name, table in reversed(layers.items())}
    asked = DxfSettings(version=version)
    assert dxf(layers, settings=asked) == dxf(layers, settings=asked) == dxf(turned, settings=asked)


@pytest.mark.parametrize("version", ["R2004", "R2010"])
def test_every_process_gives_the_same_bytes(version):
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "import hashlib; from geo.sheets.dxf import DxfSettings, dxf\n"
        "from tests.geo.sheets.land_of_dxf import all_layers\n"
        f"print(hashlib.sha256(dxf(all_layers(), settings=DxfSettings(version='{version}'))).hexdigest())"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(told) == 1


def test_every_class_has_a_layer_of_its_own_also_in_plain_letters():
    shape = shapely.box(X0, Y0, X0 + 1, Y0 + 1)
    asked = DxfSettings(chinese_layers=False)
    space = drawing(dxf({"pieces": pieces(shape, shape, shape)}, settings=asked)).modelspace()
    drawn = {entity.dxf.layer for entity in space.query("LWPOLYLINE")}
    assert drawn == {"PIECE_W", "PIECE_X", "PIECE_D"}
    assert all(entity.dxf.layer.isascii() for entity in space)


def test_a_character_outside_gbk_is_escaped_or_marked_and_told():
    layers = {"frames": all_layers("柳𬭎䶮沟")["frames"]}
    texts = [entity.dxf.text for entity in drawing(dxf(layers)).modelspace().query("TEXT")]
    assert texts == ["柳〓\\U+4DAE沟 第1页"]  # CAD shows an escape as its character
    assert outside_gbk("柳𬭎䶮沟") == "䶮𬭎"
    newer = dxf(layers, settings=DxfSettings(version="R2010"))
    assert [e.dxf.text for e in drawing(newer).modelspace().query("TEXT")] == ["柳𬭎䶮沟 第1页"]


def test_a_drawing_without_land_is_a_drawing():
    assert drawing(dxf({})).audit().errors == []
    nothing = pieces().iloc[:0]
    assert drawing(dxf({"pieces": nothing})).audit().errors == []


def test_a_row_without_shape_is_left_out_and_a_point_among_areas_is_refused():
    land = pieces(shapely.box(X0, Y0, X0 + 1, Y0 + 1), None)
    assert len(drawing(dxf({"pieces": land})).modelspace().query("LWPOLYLINE")) == 1
    stray = gpd.GeoDataFrame({"piece_code": ["a"]}, geometry=[shapely.Point(X0, Y0)], crs=CRS)
    with pytest.raises(GeometryTypeError, match="pieces 第 0 行"):
        dxf({"pieces": stray})


def test_a_long_name_does_not_break_the_extended_data():
    layers = {"villages": all_layers("沟" * 400)["villages"]}
    assert drawing(dxf(layers)).audit().errors == []


def test_the_system_is_named_in_the_drawing():
    assert drawing(dxf(all_layers())).header.custom_vars.get("CRS") == CRS
