"""Pages to one PDF file.

The file's own grammar (objects, streams, cross references) is qpdf's, through
pikepdf; what a page shows is `geo.sheets.content`, where it lies on the earth
`geo.sheets.geopdf`. Nothing in a file tells the time or the machine: the same
pages make the same bytes.

Source: ISO 32000-1:2008, 8.9.5 (images), 8.11 (optional content), 9.7 and 9.10 (fonts, ToUnicode).
"""

import hashlib
import io
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pikepdf
from pikepdf import Array, Dictionary, Name, Pdf, Stream, String
from PIL import Image, UnidentifiedImageError

from geo.errors import GeoError, InputError
from geo.sheets import fonts
from geo.sheets.content import PT_PER_MM, Used, content, halo_name
from geo.sheets.fonts import Glyph
from geo.sheets.geopdf import viewport
from geo.sheets.page import Page

_SPACES: Final = {"L": Name.DeviceGray, "RGB": Name.DeviceRGB, "CMYK": Name.DeviceCMYK}


def pdf(pages: Page | Iterable[Page], *, title: str = "") -> bytes:
    """Pages as one PDF 1.7 file, true to scale.

    Parameters
    ----------
    pages : Page or iterable of Page
        In order; fonts and images are kept once for all of them. Of a page that
        was taken only its operators are kept, a tenth of what its items hold.
    title : str
        The document's; that of the first page if empty.

    Returns
    -------
    bytes
        The same for the same pages: text selectable, images as they came,
        layers that can be switched, and where a page has a registration, the earth under it.

    Raises
    ------
    GeoError
        If there is no page, or a coordinate is not a number.
    InputError
        If an image is no JPEG of eight bits a channel.
    MissingToolError
        If a font is absent.
    """
    file = io.BytesIO()
    with whole_document((pages,) if isinstance(pages, Page) else pages, title) as document:
        save(document, file)
    return file.getvalue()


@contextmanager
def whole_document(pages: Iterable[Page], title: str = "") -> Iterator[Pdf]:
    """The document of some pages, to be saved by `save`; errors as of `pdf`.

    Raises
    ------
    GeoError
        If there is no page, or a coordinate is not a number.
    """
    names: dict[str, None] = {}
    drawn: list[tuple[Page, bytes, Used]] = []
    with pikepdf.new() as document:
        photos: list[Stream] = []
        numbers: dict[bytes, int] = {}

        def number(jpeg: bytes) -> int:
            key = hashlib.sha256(jpeg).digest()  # the image itself is held by the document alone
            if key not in numbers:
                numbers[key] = len(photos)
                photos.append(_photo(document, jpeg))
            return numbers[key]

        for page in pages:
            names |= dict.fromkeys(page.layers)
            operators, used = content(page, list(names), number)
            # Level 4 takes a third of the time of level 6 for a twentieth more bytes.
            drawn.append((replace(page, items=()), zlib.compress(operators, 4), used))
        if not drawn:
            raise GeoError("没有页面可画；请至少给一页")
        faces = _faces(document, {glyph for *_, used in drawn for glyph in used.glyphs})
        halos = _halos(document, {glyph for *_, used in drawn for glyph in used.halos})
        layers = _layers(document, list(names))
        for page, operators, used in drawn:
            resources = _resources(used, faces, halos, photos, layers)
            document.pages.append(_page(document, page, operators, resources))
        _describe(document, [page for page, *_ in drawn], title or drawn[0][0].title)
        yield document


def save(document: Pdf, file: Path | io.BytesIO) -> None:
    """Write a document; a path spares the memory of its bytes."""
    document.save(
        file,
        min_version="1.7",
        deterministic_id=True,
        object_stream_mode=pikepdf.ObjectStreamMode.generate,
    )


def _page(document: Pdf, page: Page, operators: bytes, resources: Dictionary) -> pikepdf.Page:
    paper = f"[0 0 {page.width_mm * PT_PER_MM:.4f} {page.height_mm * PT_PER_MM:.4f}]"
    made = Dictionary(
        Type=Name.Page,
        MediaBox=pikepdf.Object.parse(paper.encode("ascii")),
        Resources=resources,
        Contents=Stream(document, operators, Filter=Name.FlateDecode),
    )
    if page.registration is not None:
        made.VP = Array([viewport(page.registration)])
    return pikepdf.Page(document.make_indirect(made))


def _deflated(document: Pdf, data: bytes, **entries: object) -> Stream:
    return Stream(document, zlib.compress(data, 4), Filter=Name.FlateDecode, **entries)


def _resources(
    used: Used,
    faces: dict[int, Dictionary],
    halos: dict[Glyph, Stream],
    photos: list[Stream],
    layers: list[Dictionary],
) -> Dictionary:
    images = {halo_name(glyph): halos[glyph] for glyph in used.halos}
    images |= {f"/P{number}": photos[number] for number in used.photos}
    return Dictionary(
        Font={f"/F{number}": faces[number] for number in {glyph.face for glyph in used.glyphs}},
        XObject=images,
        ExtGState={f"/A{part}": Dictionary(Type=Name.ExtGState, ca=part / 1000) for part in used.opacities},
        Properties={f"/L{number}": layers[number] for number in used.layers},
    )


def _photo(document: Pdf, jpeg: bytes) -> Stream:
    try:
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as image:
            width, height, space = image.width, image.height, _SPACES[image.mode]
            inverted = image.mode == "CMYK" and "adobe" in image.info
    except (UnidentifiedImageError, OSError, KeyError) as error:
        raise InputError(f"底图不是 8 位灰度、RGB 或 CMYK 的 JPEG（{error}）；请重新切取影像") from error
    stream = Stream(
        document,
        jpeg,
        Type=Name.XObject,
        Subtype=Name.Image,
        Width=width,
        Height=height,
        ColorSpace=space,
        BitsPerComponent=8,
        Filter=Name.DCTDecode,
    )
    if inverted:  # Adobe's programs write ink as its absence
        stream.Decode = Array([1, 0] * 4)
    return stream


def _layers(document: Pdf, names: list[str]) -> list[Dictionary]:
    if not names:
        return []
    layers = [document.make_indirect(Dictionary(Type=Name.OCG, Name=String(name))) for name in names]
    document.Root.OCProperties = Dictionary(
        OCGs=Array(layers), D=Dictionary(Name=String("图层"), BaseState=Name.ON, Order=Array(layers))
    )
    return layers


def _halos(document: Pdf, glyphs: set[Glyph]) -> dict[Glyph, Stream]:
    return {
        glyph: Stream(
            document,
            zlib.compress(fonts.outline(glyph.face, glyph.index) + b"\nS", 4),
            Type=Name.XObject,
            Subtype=Name.Form,
            BBox=Array([-4000, -4000, 8000, 8000]),  # clips nothing: no glyph with its halo reaches so far
            Matrix=pikepdf.Object.parse(b"[0.001 0 0 0.001 0 0]"),
            Resources=Dictionary(),
            Filter=Name.FlateDecode,
        )
        for glyph in sorted(glyphs, key=_order)
    }


def _order(glyph: Glyph) -> tuple[int, int, bool, str]:
    # Where two characters share a glyph, a text is read back as the one that stands for itself.
    alias = unicodedata.normalize("NFKC", glyph.character) != glyph.character
    return glyph.face, glyph.cid, alias, glyph.character


def _faces(document: Pdf, glyphs: set[Glyph]) -> dict[int, Dictionary]:
    numbers = sorted({glyph.face for glyph in glyphs})
    return {
        number: _face(document, number, [glyph for glyph in glyphs if glyph.face == number])
        for number in numbers
    }


def _face(document: Pdf, number: int, glyphs: list[Glyph]) -> Dictionary:
    face = fonts.face(number)
    by_cid: dict[int, Glyph] = {}
    for glyph in sorted(glyphs, key=_order):
        by_cid.setdefault(glyph.cid, glyph)
    program = fonts.program(number, frozenset(glyph.index for glyph in glyphs))
    # Six letters tell this subset from those of other files, as the standard asks.
    digest = hashlib.sha256(program).digest()
    name = Name("/" + "".join(chr(65 + byte % 26) for byte in digest[:6]) + "+" + face.name)
    descriptor = Dictionary(
        Type=Name.FontDescriptor,
        FontName=name,
        Flags=4,
        FontBBox=Array(list(face.box)),
        ItalicAngle=0,
        Ascent=round(1000 * fonts.ASCENT),
        Descent=round(-1000 * fonts.DESCENT),
        CapHeight=733,
        StemV=80,
    )
    if face.cff:
        descriptor.FontFile3 = _deflated(document, program, Subtype=Name.CIDFontType0C)
    else:
        descriptor.FontFile2 = _deflated(document, program, Length1=len(program))
    widths = " ".join(f"{cid}[{glyph.width:g}]" for cid, glyph in by_cid.items() if glyph.width != 1000)  # noqa: PLR2004 - DW
    descendant = Dictionary(
        Type=Name.Font,
        Subtype=Name.CIDFontType0 if face.cff else Name.CIDFontType2,
        BaseFont=name,
        CIDSystemInfo=Dictionary(Registry=String("Adobe"), Ordering=String("Identity"), Supplement=0),
        DW=1000,
        W=pikepdf.Object.parse(f"[{widths}]".encode("ascii")),
        FontDescriptor=document.make_indirect(descriptor),
    )
    if not face.cff:
        descendant.CIDToGIDMap = Name.Identity
    return document.make_indirect(
        Dictionary(
            Type=Name.Font,
            Subtype=Name.Type0,
            BaseFont=Name(f"{name}-Identity-H") if face.cff else name,
            Encoding=Name("/Identity-H"),
            DescendantFonts=Array([document.make_indirect(descendant)]),
            ToUnicode=_deflated(document, _to_unicode(by_cid)),
        )
    )


def _to_unicode(by_cid: dict[int, Glyph]) -> bytes:
    lines = [
        f"<{glyph.code}> <{glyph.character.encode('utf-16-be').hex().upper()}>" for glyph in by_cid.values()
    ]
    blocks = [lines[start : start + 100] for start in range(0, len(lines), 100)]  # a block holds a hundred
    return "\n".join(
        [
            "/CIDInit /ProcSet findresource begin 12 dict begin begincmap",
            "/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def",
            "/CMapName /Adobe-Identity-UCS def /CMapType 2 def",
            "1 begincodespacerange <0000> <FFFF> endcodespacerange",
            *(line for block in blocks for line in (f"{len(block)} beginbfchar", *block, "endbfchar")),
            "endcmap CMapName currentdict /CMap defineresource pop end end",
        ]
    ).encode("ascii")


def _describe(document: Pdf, pages: list[Page], title: str) -> None:
    document.docinfo["/Title"] = String(title)
    document.docinfo["/Creator"] = String("套图 Taotu")
    document.Root.Lang = String("zh-CN")
    # A sheet printed to fit the paper has lost its scale: viewers are asked to print it as it is.
    document.Root.ViewerPreferences = Dictionary(DisplayDocTitle=True, PrintScaling=Name("/None"))
    if any(page.registration is not None for page in pages):
        document.Root.Extensions = Dictionary(ADBE=Dictionary(BaseVersion=Name("/1.7"), ExtensionLevel=3))
    if len(pages) > 1:
        with document.open_outline() as outline:
            outline.root.extend(pikepdf.OutlineItem(page.title, number) for number, page in enumerate(pages))
