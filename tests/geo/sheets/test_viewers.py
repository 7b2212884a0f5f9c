"""A whole page looks the same in every viewer: pdfium, and poppler and mupdf where they are installed."""

import io
import shutil
import subprocess
import tempfile

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
    return run(
        "poppler-utils", "pdftoppm", "-r", DPI, "-f", 1, "-l", 1, "-png", "-singlefile", stdin=document
    )


def in_mupdf(document):
    with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
        file.write(document)
        file.flush()
        return run(
            "mupdf-tools",
            "mutool",
            "draw",
            "-q",
            "-r",
            DPI,
            "-c",
            "rgb",
            "-F",
            "png",
            "-o",
            "-",
            file.name,
            1,
        )


def run(package, *words, stdin=None):
    if not shutil.which(words[0]):
        pytest.skip(f"{words[0]} of {package} is not installed")
    done = subprocess.run([*map(str, words)], input=stdin, capture_output=True, check=True)
    assert b"error" not in done.stderr
    assert b"warning" not in done.stderr.replace(
        b"warning: ICC support is not available", b""
    )  # Debian's mupdf
    return Image.open(io.BytesIO(done.stdout))


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


@pytest.mark.parametrize("viewer", [in_poppler, in_mupdf])
def test_a_page_that_lost_its_photo_or_its_fills_would_not_pass(document, viewer):
    bare = np.full_like(blurred(in_pdfium(document)), 255)
    assert np.abs(bare - blurred(viewer(document))).max() > APART


@pytest.mark.parametrize("viewer", ["pdftotext -", "mutool"])
def test_every_code_is_found_once_in_every_viewer(document, viewer, tmp_path):
    (tmp_path / "a.pdf").write_bytes(document)
    tool = {"mutool": ["mutool", "draw", "-q", "-F", "txt", "-o", "-", "a.pdf", "1"]}.get(
        viewer, ["pdftotext", "-l", "1", "a.pdf", "-"]
    )
    if not shutil.which(tool[0]):
        pytest.skip(f"{tool[0]} is not installed")
    said = subprocess.run(tool, cwd=tmp_path, capture_output=True, check=True).stdout.decode()
    assert [said.count(row["piece_code"]) for row in PIECES] == [1] * len(PIECES)
