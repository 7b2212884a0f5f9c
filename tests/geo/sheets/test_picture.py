"""A picture of a page is the page as PDFium draws it, however many strips it was made of."""

import io

import numpy as np
import pypdfium2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from geo.sheets import picture
from geo.sheets.draw import pdf
from geo.sheets.page import Page, Photo, Shapes, Style, Text
from geo.sheets.picture import write_png

SQUARE = np.array([(10.0, 10.0), (60.0, 10.0), (60.0, 60.0), (10.0, 60.0)])


def document():
    tones = (np.add.outer(np.arange(300), np.arange(400)) // 3).astype("uint8")
    file = io.BytesIO()
    Image.fromarray(np.dstack([tones, tones[::-1], tones])).save(file, "JPEG")
    corners = np.array([(70.0, 90.0), (140.0, 90.0), (70.0, 20.0)])
    items = (
        Shapes(layer="a", rings=(SQUARE,), style=Style(fill=(0.8, 0.1, 0.1), stroke=(0, 0, 0), width_mm=0.3)),
        Photo(layer="b", jpeg=file.getvalue(), corners_mm=corners),
        Text(layer="a", text="图块 W-0001", x_mm=20, y_mm=75, size_pt=12),
    )
    return pdf(Page(title="样图", width_mm=150, height_mm=100, items=items))


def drawn(tmp_path, dpi=100):
    write_png(document(), tmp_path / "a.png", dpi=dpi)
    with Image.open(tmp_path / "a.png") as made:
        made.load()
        return made


@pytest.mark.parametrize("strip", [1, 30_000, 10**9])
def test_a_picture_is_what_pdfium_draws_whatever_its_strips(tmp_path, monkeypatch, strip):
    monkeypatch.setattr(picture, "_STRIP_PX", strip)
    made = np.asarray(drawn(tmp_path)).astype(int)
    whole = pypdfium2.PdfDocument(document())[0].render(scale=100 / 72, rev_byteorder=True).to_numpy()
    assert made.shape == whole.shape
    assert np.abs(made - whole).max() <= 3  # a photo is smoothed within its strip
    assert (made != whole).any(axis=2).mean() < 0.02
    assert made.std() > 20


def test_a_picture_has_the_resolution_asked_for(tmp_path):
    made = drawn(tmp_path, dpi=50)
    assert made.size == (296, 197)
    assert made.info["dpi"] == pytest.approx((50, 50), abs=0.1)
    assert made.mode == "RGB"


@settings(max_examples=60)
@given(
    pixels=arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 9), st.just(3))),
    first=st.integers(1, 40),
)
def test_filtered_rows_read_back_as_they_were_however_they_are_cut(pixels, first):
    high, wide, _ = pixels.shape
    rows = pixels.reshape(high, wide * 3)
    above = np.zeros((1, wide * 3), dtype=np.uint8)
    data = picture._filtered(rows[:first], above)
    if first < high:
        data += picture._filtered(rows[first:], rows[first - 1 : first])
    parts = (
        b"\x89PNG\r\n\x1a\n",
        picture._chunk(b"IHDR", picture._header(wide, high)),
        picture._chunk(b"IDAT", picture.zlib.compress(data)),
        picture._chunk(b"IEND", b""),
    )
    with Image.open(io.BytesIO(b"".join(parts))) as read:
        assert np.array_equal(np.asarray(read), pixels)
