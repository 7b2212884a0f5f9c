import io
import os
import sys

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont
from hypothesis import given
from hypothesis import strategies as st

from geo.errors import MissingToolError
from geo.sheets import fonts
from geo.sheets.fonts import MM_PER_PT, measure, missing
from tests.geo.sheets.test_draw import page, pdf, pixels, read, text

RARE = "\U00020bb7"  # 𠮷, in names and in neither font
LETTERS = st.text(st.sampled_from([*"0123456789ABCWQ().- 亩社组村某堃珺"]), max_size=20)
HANZI = [
    bytes([high, low]).decode("gb2312", "ignore") for high in range(0xB0, 0xF8) for low in range(0xA1, 0xFF)
]


@pytest.fixture
def other_fonts(monkeypatch):
    """Sets the fonts to ask after the package's own; what is remembered of fonts is forgotten before and after."""

    def forget():
        for remembered in (fonts.files, fonts.face, fonts.glyph, fonts.program, fonts.outline):
            remembered.cache_clear()

    def use(*paths):
        monkeypatch.setenv("TAOTU_FONTS", os.pathsep.join(str(path) for path in paths))
        forget()

    yield use
    monkeypatch.undo()
    forget()


def square_font(path, character):
    """A TrueType font of 2048 units an em with one character, a square."""
    pen = TTGlyphPen(None)
    pen.moveTo((200, 0))
    for point in [(200, 1600), (1800, 1600), (1800, 0)]:
        pen.lineTo(point)
    pen.closePath()
    builder = FontBuilder(2048, isTTF=True)
    builder.setupGlyphOrder([".notdef", "square"])
    builder.setupCharacterMap({ord(character): "square"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "square": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (2048, 0), "square": (2048, 200)})
    builder.setupHorizontalHeader(ascent=1800, descent=-248)
    builder.setupNameTable({"familyName": "Square", "styleName": "Regular", "psName": "Square-Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)


def test_every_character_of_the_national_set_can_be_printed():
    assert len("".join(HANZI)) == 6763
    assert missing(HANZI) == {}


def test_all_basic_and_first_extension_characters_can_be_printed():
    names = [chr(code) for code in [*range(0x4E00, 0x9FA6), *range(0x3400, 0x4DB6)]]
    assert missing(names) == {}


@pytest.mark.parametrize("sign", [*"垚㛃堃珺喆昇䶮曌𬭎𫍽𬱖", *"亩²μ°′″→△○●★①②—…“”（）、。：〓"])
def test_rare_names_and_map_signs_can_be_printed(sign):
    assert missing([sign]) == {}


def test_a_character_without_a_font_is_told_with_the_texts_it_stands_in():
    texts = [f"张{RARE}", f"{RARE}家庄", f"张{RARE}", "李四", "\U0001f600一", "\n\u200b"]
    assert missing(texts) == {"\U0001f600": ["\U0001f600一"], RARE: [f"张{RARE}", f"{RARE}家庄"]}
    assert missing(reversed(texts)) == missing(texts)


def test_a_chinese_character_is_as_wide_as_its_size():
    assert measure("亩", 72) == pytest.approx(25.4)
    assert measure("", 72) == measure("", 72, bold=True) == 0


@given(left=LETTERS, right=LETTERS, size=st.floats(1, 100))
def test_widths_add_up_and_grow_with_size(left, right, size):
    assert measure(left + right, size) == pytest.approx(measure(left, size) + measure(right, size))
    assert measure(left, 2 * size) == pytest.approx(2 * measure(left, size))
    assert measure(left, size, bold=True) >= measure(left, size)


def test_a_missing_character_is_as_wide_as_its_sign():
    assert measure(RARE, 10) == measure(fonts.ABSENT, 10) == pytest.approx(10 * MM_PER_PT)


def test_the_serif_lends_what_the_sans_lacks():
    lent = fonts.glyph("\u9ff0")
    assert lent.face == 1
    assert read(pdf(page(text("一\u9ff0二")))) == "一\u9ff0二"


def test_a_truetype_font_lends_what_both_lack(other_fonts, tmp_path):
    square_font(tmp_path / "square.ttf", RARE)
    other_fonts(tmp_path / "square.ttf")
    assert missing([RARE, "一"]) == {}
    assert measure(RARE, 72) == pytest.approx(25.4)
    data = pdf(page(text(RARE, size=72), text(f"甲{RARE}乙", y=50, halo_mm=0.3)))
    assert "".join(read(data).split()) == f"{RARE}甲{RARE}乙"
    grey = pixels(data)
    side = 1600 / 2048 * 25.4
    assert (grey[4 * 90 :] < 128).sum() == pytest.approx((4 * side) ** 2, rel=0.03)


def test_only_what_is_asked_for_is_in_the_font_program():
    two = [fonts.glyph(character).index for character in "一亩"]
    program = fonts.program(0, frozenset(two))
    assert len(program) < 2_000
    assert program == fonts.program(0, frozenset(two[::-1]))


def test_a_file_that_is_no_font_is_refused(other_fonts, tmp_path):
    (tmp_path / "bad.ttf").write_bytes(b"not a font")
    other_fonts(tmp_path / "bad.ttf")
    assert measure("一", 10) > 0, "a font is opened when it is needed"
    with pytest.raises(MissingToolError, match=r"bad\.ttf"):
        missing([RARE])


def test_a_font_that_is_not_there_is_told(other_fonts, tmp_path):
    other_fonts(tmp_path / "none.otf")
    with pytest.raises(MissingToolError, match=r"none\.otf"):
        missing([RARE])


def test_a_font_without_outlines_is_refused(other_fonts, tmp_path):
    square_font(tmp_path / "square.ttf", RARE)
    font = TTFont(tmp_path / "square.ttf")
    for table in ("glyf", "loca"):
        del font[table]
    stripped = io.BytesIO()
    font.save(stripped)
    (tmp_path / "bitmap.ttf").write_bytes(stripped.getvalue())
    other_fonts(tmp_path / "bitmap.ttf")
    with pytest.raises(MissingToolError, match="轮廓"):
        missing([RARE])


def test_without_the_font_package_one_line_says_so(other_fonts, monkeypatch):
    monkeypatch.setitem(sys.modules, "pylopdf_fonts_zh_cn", None)
    other_fonts()
    with pytest.raises(MissingToolError, match="pylopdf-fonts-zh-cn"):
        measure("一", 10)
