"""A whole page looks the same in every viewer: poppler, pdfium, and mupdf where it is installed."""

import io
import shutil
import subprocess

import numpy as np
import pypdfium2
import pytest
from PIL import Image, ImageFilter
from shapely.geometry import box

from geo.sheets.compose import PHOTO, compose
from geo.sheets.draw import pdf
from geo.sheets.layout import LayoutSettings, layout
from geo.sheets.page import Photo
from tests.geo.sheets.scene import OTHER, frame, layers, piece

DPI = 72
APART = 90  # of 255: viewers smooth letters in their own ways (up to 63); a lost photo or fill is farther off
PIECES = [
    piece(1, box(100, 100, 200, 180)),
    piece(2, box(250, 100, 330, 160), letter="X"),
    piece(3, box(250, 200, 300, 260), letter="D"),
    piece(4, box(100, 190, 200, 194), kind="STRIP"),
]


@pytest.fixture(scope="module")
def document():
    land = layers(*PIECES, parcels=[(OTHER, box(320, 180, 480, 400))])
    shown = frame([row["piece_code"] for row in PIECES])
    page = layout(shown, land, settings=LayoutSettings(county_name="寿阳县", producer="某测绘院"))
    file = io.BytesIO()
    tones = np.add.outer(np.arange(220), np.arange(250)) // 3 + 90
    Image.fromarray(tones.astype("uint8")).save(file, "JPEG")
    west, south, east, north = [*page.place.frame_mm.min(axis=0), *page.place.frame_mm.max(axis=0)]
    corners = np.array([[west, north], [east, north], [west, south]])
    return pdf(compose(shown, page, Photo(layer=PHOTO, jpeg=file.getvalue(), corners_mm=corners)))


def in_pdfium(document):
    return pypdfium2.PdfDocument(document)[0].render(scale=DPI / 72).to_pil()


def in_poppler(document):
    if not shutil.which("pdftoppm"):
        pytest.skip("poppler is not installed")
    command = ["pdftoppm", "-r", str(DPI), "-f", "1", "-l", "1", "-png", "-singlefile", "-"]
    return Image.open(
        io.BytesIO(subprocess.run(command, input=document, capture_output=True, check=True).stdout)
    )


def in_mupdf(document):
    page = pytest.importorskip("pymupdf").open(stream=document)[0].get_pixmap(dpi=DPI)
    return Image.frombytes("RGB", (page.width, page.height), page.samples)


def blurred(image):
    """Without the edges, which every viewer smooths in its own way."""
    return np.asarray(image.convert("L").filter(ImageFilter.GaussianBlur(3))).astype(int)


@pytest.mark.parametrize("viewer", [in_poppler, in_mupdf])
def test_a_page_looks_the_same_in_every_viewer(document, viewer):
    one, other = blurred(in_pdfium(document)), blurred(viewer(document))
    assert one.shape == other.shape
    assert np.abs(one - other).max() < APART
    assert np.abs(one - other).mean() < 8
    assert one.std() > 20  # there is something to be seen
