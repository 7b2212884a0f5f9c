import io
import json
import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pikepdf
import pypdfium2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pyproj import Transformer

from geo.errors import GeoError, InputError
from geo.sheets.draw import pdf
from geo.sheets.fonts import measure
from geo.sheets.page import PAPERS, Modules, Page, Photo, Registration, Shapes, Style, Text
from tests.helpers import ROOT

A3 = PAPERS["A3"]
PT_PER_MM = 72 / 25.4
BLACK = Style(stroke=(0, 0, 0), width_mm=0.1)
RED = Style(fill=(1, 0, 0))


def page(*items, size=A3, **more):
    return Page(width_mm=size[0], height_mm=size[1], title="测试", items=items, **more)


def line(*points, style=BLACK, **more):
    return Shapes(layer="线", rings=(np.array(points, dtype=float),), style=style, closed=False, **more)


def box(x, y, width, height):
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], dtype=float)


def area(*rings, style=RED, **more):
    return Shapes(layer="面", rings=rings, style=style, **more)


def text(words, x=100.0, y=100.0, size=9.0, **more):
    return Text(layer="字", text=words, x_mm=x, y_mm=y, size_pt=size, **more)


def jpeg(mode="RGB", size=(40, 30)):
    file = io.BytesIO()
    noise = np.random.default_rng(3).integers(0, 256, size=size[::-1], dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(file, "JPEG", quality=75)
    return file.getvalue()


def photo(data, width=80.0, height=60.0, **more):
    x, y = 100, 100
    corners = np.array([[x, y + height], [x + width, y + height], [x, y]])
    return Photo(layer="影像", jpeg=data, corners_mm=corners, **more)


def opened(data):
    return pikepdf.open(io.BytesIO(data))


def path_points_mm(data):
    """End points of all straight segments, as the file's own numbers say, mm."""
    points = []
    with opened(data) as document:
        for operands, operator in pikepdf.parse_content_stream(document.pages[0]):
            assert str(operator) != "cm", "a matrix would have to be applied first"
            if str(operator) in {"m", "l"}:
                points.append([float(value) / PT_PER_MM for value in operands])
    return np.array(points)


def read(data, number=0):
    """Text of a page as PDFium selects it."""
    document = pypdfium2.PdfDocument(data)
    return document[number].get_textpage().get_text_range()


def pixels(data, per_mm=4):
    """Grey values, row 0 at the lower edge, so that [y, x] counts from the paper's origin."""
    document = pypdfium2.PdfDocument(data)
    return document[0].render(scale=per_mm / PT_PER_MM, grayscale=True).to_numpy()[::-1].squeeze()


def objects(data, **entries):
    with opened(data) as document:
        return [
            item.objgen
            for item in document.objects
            if isinstance(item, pikepdf.Dictionary | pikepdf.Stream)
            and all(item.get(f"/{name}") == value for name, value in entries.items())
        ]


# --- scale ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAPERS)
def test_a_measure_on_paper_is_true_on_every_size(name):
    width, height = PAPERS[name]
    longest = min(500.0, width - 20)
    data = pdf(
        page(line([10.123, 10], [10.123 + longest, 10]), line([10, 20], [30, 20]), size=(width, height))
    )
    start, end, left, right = path_points_mm(data)
    assert np.hypot(*(end - start)) * 500 / longest == pytest.approx(500.0, abs=0.001)
    assert np.hypot(*(right - left)) == pytest.approx(20.0, abs=0.001), "40.0 m at 1:2000"
    with opened(data) as document:
        media = [float(value) / PT_PER_MM for value in document.pages[0].mediabox]
        assert "/UserUnit" not in document.pages[0]
    assert media == pytest.approx([0, 0, width, height], abs=0.0001)


@given(
    turn=st.floats(0, 2 * np.pi),
    length=st.floats(1, 500),
    at=st.tuples(st.floats(0, 841), st.floats(0, 594)),
)
def test_a_line_keeps_its_length_in_any_direction(turn, length, at):
    end = np.add(at, length * np.array([np.cos(turn), np.sin(turn)]))
    first, last = path_points_mm(pdf(page(line(at, end), size=PAPERS["A1"])))
    assert np.hypot(*(last - first)) == pytest.approx(length, abs=0.001)


def test_a_drawn_line_is_as_long_as_a_ruler_says():
    data = pdf(page(line([20.0, 50.0], [380.0, 50.0], style=Style(stroke=(0, 0, 0), width_mm=1))))
    dark = np.flatnonzero(pixels(data, per_mm=10)[500] < 128)
    assert [dark[0], dark[-1] + 1] == pytest.approx([200, 3800], abs=1)
    assert len(dark) == dark[-1] - dark[0] + 1


@pytest.mark.skipif(shutil.which("pdftocairo") is None, reason="poppler is not installed")
def test_poppler_draws_it_as_long(tmp_path):
    data = pdf(page(line([20.0, 50.0], [380.0, 50.0], style=Style(stroke=(0, 0, 0), width_mm=1))))
    (tmp_path / "a.pdf").write_bytes(data)
    subprocess.run(["pdftocairo", "-r", "127", "-png", "-singlefile", "a.pdf", "a"], cwd=tmp_path, check=True)
    grey = np.asarray(Image.open(tmp_path / "a.png").convert("L"))[::-1]
    dark = np.flatnonzero(grey[250] < 128)
    assert [dark[0], dark[-1] + 1] == pytest.approx([100, 1900], abs=1)


# --- text ----------------------------------------------------------------------------------------------

CODES = [f"WQ{number:05d}" for number in range(101, 141)]


def coded_page():
    labels = [
        text(code, x=20 + 40 * (n % 10), y=30 + 20 * (n // 10), halo_mm=0.4, anchor="middle", bold=n % 2 == 0)
        for n, code in enumerate(CODES)
    ]
    return page(photo(jpeg()), *labels, text("一社剩余图块外业调查图", x=200, y=280, size=20, bold=True))


def test_every_code_with_its_halo_is_found_once():
    found = read(pdf(coded_page()))
    assert [found.count(code) for code in CODES] == [1] * 40
    assert found.count("一社剩余图块外业调查图") == 1


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="poppler is not installed")
@pytest.mark.parametrize("order", [[], ["-raw"], ["-layout"]])
def test_poppler_finds_every_code_once(tmp_path, order):
    (tmp_path / "a.pdf").write_bytes(pdf(coded_page()))
    found = subprocess.run(["pdftotext", *order, "a.pdf", "-"], cwd=tmp_path, check=True, capture_output=True)
    assert [found.stdout.decode().count(code) for code in CODES] == [1] * 40


HANZI = [bytes([high, low]).decode("gb2312") for high in range(0xB0, 0xD7) for low in range(0xA1, 0xFA)]


@settings(max_examples=20)
@given(
    words=st.lists(
        st.text(st.sampled_from([*HANZI, *"0123456789ABC.()"]), min_size=1, max_size=12), max_size=5
    )
)
def test_text_reads_back_as_it_was_written(words):
    data = pdf(page(*(text(word, y=20 + 30 * n, halo_mm=0.3) for n, word in enumerate(words))))
    # Two single digits, one above the other, may read as one line.
    assert "".join(read(data).split()) == "".join(words)


def test_a_radical_that_looks_like_a_character_reads_back_as_itself():
    assert read(pdf(page(text("⼀")))) == "⼀"
    assert read(pdf(page(text("⼀社一社")))) == "一社一社", "two that share one glyph: the character in use"


def test_text_takes_as_much_room_as_was_measured():
    word = "WQ00101 某某村"
    data = pdf(page(text(word + "止", size=14)))
    document = pypdfium2.PdfDocument(data)
    selected = document[0].get_textpage()
    x, y = pypdfium2.raw.c_double(), pypdfium2.raw.c_double()
    assert pypdfium2.raw.FPDFText_GetCharOrigin(selected.raw, len(word), x, y)
    assert x.value / PT_PER_MM == pytest.approx(100 + measure(word, 14), abs=0.01)


@pytest.mark.parametrize(("anchor", "share"), [("start", 0), ("middle", 0.5), ("end", 1)])
@pytest.mark.parametrize("angle", [0, 90, 37.0])
def test_an_anchor_holds_at_any_angle(anchor, share, angle):
    word = "标注WQ1"
    data = pdf(page(text(word, size=12, anchor=anchor, angle_deg=angle)))
    document = pypdfium2.PdfDocument(data)
    selected = document[0].get_textpage()
    x, y = pypdfium2.raw.c_double(), pypdfium2.raw.c_double()
    assert pypdfium2.raw.FPDFText_GetCharOrigin(selected.raw, 0, x, y)
    back = share * measure(word, 12)
    expected = [100 - back * np.cos(np.radians(angle)), 100 - back * np.sin(np.radians(angle))]
    assert [x.value / PT_PER_MM, y.value / PT_PER_MM] == pytest.approx(expected, abs=0.01)


def test_a_halo_is_white_around_the_letters_and_no_further():
    dark = area(box(90, 90, 60, 30), style=Style(fill=(0, 0, 0)))
    word = text("口", size=28, colour=(0.5, 0.5, 0.5), halo_mm=1.0)
    plain, haloed = (pixels(pdf(page(dark, item))) for item in (text("口", size=28, colour=(0.5,) * 3), word))
    assert (plain > 200).sum() == (pixels(pdf(page(dark))) > 200).sum(), "no white without a halo"
    assert (haloed > 200).sum() > (plain > 200).sum() + 100
    assert haloed[4 * 92, 4 * 92] == 0


def test_a_character_no_font_has_is_a_sign_and_never_an_empty_box():
    assert read(pdf(page(text("\U00020bb7家")))) == "〓家"


def test_what_has_no_shape_is_passed_over():
    assert read(pdf(page(text("一\u200b社\ufe0f\n二\t组")))).split() == ["一社", "二", "组"]
    assert read(pdf(page(text("")))) == ""


# --- images --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "space"), [("L", "/DeviceGray"), ("RGB", "/DeviceRGB"), ("CMYK", "/DeviceCMYK")]
)
def test_a_jpeg_goes_in_as_it_is(mode, space):
    original = jpeg(mode)
    with opened(pdf(page(photo(original)))) as document:
        (image,) = document.pages[0].Resources.XObject.values()
        assert image.read_raw_bytes() == original
        assert (image.Filter, image.ColorSpace, image.Width, image.Height) == ("/DCTDecode", space, 40, 30)


def test_ink_of_a_cmyk_image_is_not_turned_into_its_absence():
    file = io.BytesIO()
    Image.new("CMYK", (20, 20), (0, 0, 0, 230)).save(file, "JPEG")
    assert pixels(pdf(page(photo(file.getvalue()))))[4 * 130, 4 * 140] < 80


@pytest.mark.parametrize("data", [b"", b"not an image", jpeg()[:10]])
def test_what_is_no_jpeg_is_refused(data):
    with pytest.raises(InputError, match="JPEG"):
        pdf(page(photo(data)))


def test_an_image_lies_where_its_corners_are():
    left_dark = Image.new("L", (40, 40), 255)
    left_dark.paste(0, (0, 0, 20, 20))  # upper left quarter
    file = io.BytesIO()
    left_dark.save(file, "JPEG", quality=95)
    grey = pixels(pdf(page(photo(file.getvalue(), width=40, height=40))))
    quarters = [grey[4 * y, 4 * x] for x, y in [(110, 130), (130, 130), (110, 110), (130, 110)]]
    assert [value < 128 for value in quarters] == [True, False, False, False]


# --- shapes --------------------------------------------------------------------------------------------


def test_a_hole_stays_open_whichever_way_it_runs():
    for hole in (box(110, 110, 20, 20), box(110, 110, 20, 20)[::-1]):
        grey = pixels(pdf(page(area(box(100, 100, 40, 40), hole))))
        assert grey[4 * 120, 4 * 120] == 255
        assert grey[4 * 105, 4 * 105] < 128


def test_nothing_is_drawn_outside_its_clip():
    clip = np.array([[100, 100], [140, 100], [140, 140], [100, 140.0]])
    grey = pixels(pdf(page(area(box(50, 50, 300, 200), clip=clip), line([0, 20], [400, 20]))))
    assert grey[4 * 120, 4 * 120] < 128
    assert (grey[4 * 45 :] < 128).sum() == pytest.approx((4 * 40) ** 2, rel=0.01)
    assert grey[4 * 20 - 1 : 4 * 20 + 2, 4 * 300].min() < 255, "the clip ends with the item that has it"


def test_a_fill_that_lets_through_does_not_change_what_follows():
    half = Style(fill=(0, 0, 0), opacity=0.5)
    grey = pixels(
        pdf(
            page(
                area(box(100, 100, 40, 40), style=half),
                area(box(200, 100, 40, 40), style=Style(fill=(0, 0, 0))),
            )
        )
    )
    assert grey[4 * 120, 4 * 120] == pytest.approx(128, abs=3)
    assert grey[4 * 120, 4 * 220] == 0


def test_dashes_end_with_their_line():
    dashed = line([100, 100], [200, 100], style=Style(stroke=(0, 0, 0), width_mm=1, dash_mm=(10, 10)))
    solid = line([100, 120], [200, 120], style=Style(stroke=(0, 0, 0), width_mm=1))
    grey = pixels(pdf(page(dashed, solid)))
    assert (grey[4 * 100, 400:800] < 128).mean() == pytest.approx(0.5, abs=0.02)
    assert (grey[4 * 120, 400:800] < 128).all()


def test_a_bar_code_is_its_modules():
    dark = np.random.default_rng(5).random((21, 21)) < 0.5
    grey = pixels(pdf(page(Modules(layer="码", dark=dark, x_mm=100, y_mm=100, size_mm=21))))
    middles = 4 * 100 + 4 * np.arange(21) + 2
    assert (grey[np.ix_(middles[::-1], middles)] < 128).tolist() == dark.tolist()


def test_a_page_of_nothing_is_an_empty_page():
    grey = pixels(pdf(page(area(), area(box(1, 1, 5, 5), style=Style()), line([5, 5], [9, 9], style=RED))))
    assert (grey == 255).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_coordinate_that_is_no_number_is_refused(bad):
    with pytest.raises(GeoError, match="不是数字"):
        pdf(page(line([1, 1], [bad, 5])))


def test_no_pages_are_refused():
    with pytest.raises(GeoError, match="没有页面"):
        pdf([])


# --- layers --------------------------------------------------------------------------------------------


def test_a_reader_may_switch_a_layer_off():
    data = pdf(page(area(box(100, 100, 40, 40)), line([10, 10], [90, 10]), layers=("面", "影像")))
    with opened(data) as document:
        names = [str(layer.Name) for layer in document.Root.OCProperties.D.Order]
        assert names == ["面", "影像"]
        assert pixels(data)[4 * 120, 4 * 120] < 128, "on unless switched"
        document.Root.OCProperties.D.OFF = pikepdf.Array([document.Root.OCProperties.OCGs[0]])
        file = io.BytesIO()
        document.save(file)
    hidden = pixels(file.getvalue())
    assert hidden[4 * 120, 4 * 120] == 255
    assert (hidden < 255).any(), "other layers stay"


def test_pages_share_layers_of_one_name():
    first, second = (
        page(area(box(1, 1, 5, 5)), layers=("面",)),
        page(area(box(1, 1, 5, 5)), layers=("线", "面")),
    )
    with opened(pdf([first, second])) as document:
        assert [str(layer.Name) for layer in document.Root.OCProperties.OCGs] == ["面", "线"]
        uses = [next(iter(one.Resources.Properties.values())).objgen for one in document.pages]
    assert uses[0] == uses[1]


# --- where it is ---------------------------------------------------------------------------------------

TURN = np.radians(0.8)


def registration(turn, epsg=4526):
    corners = np.array([[30, 30], [30, 270], [390, 270], [390, 30.0]])
    spin = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    frame = (corners - corners.mean(axis=0)) @ spin + corners.mean(axis=0)
    eastings = [38_500_000, 4_100_000] + frame * 2  # 1:2000
    lonlat = np.column_stack(Transformer.from_crs(epsg, 4490, always_xy=True).transform(*eastings.T))
    return Registration(epsg=epsg, frame_mm=frame, frame_map=eastings, frame_lonlat=lonlat)


@pytest.mark.parametrize("turn", [0.0, TURN, -TURN])
def test_the_file_says_where_its_corners_lie(turn):
    where = registration(turn)
    with opened(pdf(page(registration=where))) as document:
        (port,) = document.pages[0].VP
        left, low, right, high = (float(value) / PT_PER_MM for value in port.BBox)
        shares = np.array([float(value) for value in port.Measure.LPTS]).reshape(4, 2)
        latlon = np.array([float(value) for value in port.Measure.GPTS]).reshape(4, 2)
        assert int(port.Measure.GCS.EPSG) == 4526
        assert "Gauss" in str(port.Measure.GCS.WKT)
    assert [left, low] + shares * [right - left, high - low] == pytest.approx(where.frame_mm, abs=1e-4)
    assert latlon[:, ::-1] == pytest.approx(where.frame_lonlat, abs=1e-10)


@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="GDAL's programs are not installed")
@pytest.mark.parametrize("turn", [0.0, TURN])
def test_gdal_reads_back_where_it_lies(tmp_path, turn):
    where = registration(turn)
    (tmp_path / "a.pdf").write_bytes(pdf(page(text("图"), registration=where)))
    told = subprocess.run(["gdalinfo", "-json", "a.pdf"], cwd=tmp_path, check=True, capture_output=True)
    info = json.loads(told.stdout)
    x0, xx, xy, y0, yx, yy = info["geoTransform"]
    columns, rows = info["size"]
    across = where.frame_mm[:, 0] / A3[0] * columns
    down = (1 - where.frame_mm[:, 1] / A3[1]) * rows
    there = np.column_stack([x0 + xx * across + xy * down, y0 + yx * across + yy * down])
    assert there == pytest.approx(where.frame_map, abs=0.01)
    assert 'ID["EPSG",4526]' in info["coordinateSystem"]["wkt"]


def test_a_frame_without_area_is_refused():
    flat = registration(0.0)
    with pytest.raises(GeoError, match="图廓"):
        pdf(
            page(
                registration=Registration(
                    epsg=4526,
                    frame_mm=flat.frame_mm * [1, 0],
                    frame_map=flat.frame_map,
                    frame_lonlat=flat.frame_lonlat,
                )
            )
        )


# --- the file ------------------------------------------------------------------------------------------

DIGEST = """
import hashlib, pickle, sys
from geo.sheets.draw import pdf
print(hashlib.sha256(pdf(pickle.load(sys.stdin.buffer), title="甲")).hexdigest())
"""


def full_page():
    half = Style(stroke=(0, 0, 1), fill=(1, 1, 0), opacity=0.4)
    return page(
        photo(jpeg(), clip=box(100, 100, 50, 50)),
        area(box(100, 100, 40, 40), box(110, 110, 5, 5), style=half, clip=box(90, 90, 100, 100)),
        *coded_page().items,
        Modules(layer="码", dark=np.eye(21, dtype=bool), x_mm=10, y_mm=10, size_mm=21),
        layers=("影像", "面"),
        registration=registration(TURN),
    )


def test_the_same_pages_make_the_same_bytes():
    pages = pickle.dumps([full_page(), full_page()])
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            input=pages,
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1
    data = pdf([full_page(), full_page()])
    assert b"CreationDate" not in data
    assert b"ModDate" not in data


def test_the_file_is_sound():
    with opened(pdf([full_page(), full_page()], title="某县")) as document:
        assert document.check_pdf_syntax() == []
        assert document.pdf_version == "1.7"
        assert str(document.docinfo["/Title"]) == "某县"
        assert document.Root.ViewerPreferences.PrintScaling == "/None"


def test_many_pages_carry_fonts_and_images_once():
    data = pdf([full_page()] * 5)
    assert len(objects(data, Type="/FontDescriptor")) == 1
    assert len(objects(data, Subtype="/Image")) == 1
    with opened(data) as document, document.open_outline() as outline:
        assert [item.title for item in outline.root] == ["测试"] * 5
    assert len(data) < 3 * len(pdf(full_page()))


def test_only_the_glyphs_in_use_are_embedded():
    with opened(pdf(coded_page())) as document:
        font = document.pages[0].Resources.Font["/F0"]
        assert str(font.BaseFont)[7] == "+"
        program = font.DescendantFonts[0].FontDescriptor.FontFile3.read_bytes()
    assert len(program) < 20_000
