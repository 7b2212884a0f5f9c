"""The same page by other drawing libraries, as well as each can: what they cannot is told in `LACKS`."""

import base64
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from geo.sheets import fonts
from geo.sheets.page import Floats, Modules, Page, Photo, Shapes, Text

PT: Final = 72 / 25.4
LACKS: Final = {
    "cairo": "no GeoPDF, no layers; needs the system's libcairo and font by name",
    "reportlab": "no CFF fonts, no GeoPDF, no layers; halo is text a second time (mupdf finds it)",
    "typst": "no GeoPDF, no layers; page goes in as SVG; halo is text a second time (mupdf finds it)",
}


def cairo(pages: list[Page]) -> list[bytes]:
    """By cairocffi, a thin binding of the system's cairo."""
    import cairocffi  # noqa: PLC0415 - only where it is installed

    return [_cairo(cairocffi, page) for page in pages]


def _cairo(lib: Any, page: Page) -> bytes:  # noqa: ANN401 - a module
    file = io.BytesIO()
    surface = lib.PDFSurface(file, page.width_mm * PT, page.height_mm * PT)
    pen = lib.Context(surface)
    pen.translate(0, page.height_mm * PT)
    pen.scale(PT, -PT)
    pen.set_fill_rule(lib.FILL_RULE_EVEN_ODD)
    for item in page.items:
        pen.save()
        if isinstance(item, Shapes | Photo) and item.clip is not None:
            _trace(pen, item.clip, closed=True)
            pen.clip()
        if isinstance(item, Shapes):
            _cairo_shapes(pen, item)
        elif isinstance(item, Text):
            _cairo_text(lib, pen, item)
        elif isinstance(item, Photo):
            _cairo_photo(lib, pen, item)
        else:
            for x, y, side in _squares(item):
                pen.rectangle(x, y, side, side)
            pen.set_source_rgb(0, 0, 0)
            pen.fill()
        pen.restore()
    surface.finish()
    return file.getvalue()


def _trace(pen: Any, ring: Floats, *, closed: bool) -> None:  # noqa: ANN401 - a cairo context
    points = ring.tolist()
    pen.move_to(*points[0])
    for x, y in points[1:]:
        pen.line_to(x, y)
    if closed:
        pen.close_path()


def _cairo_shapes(pen: Any, item: Shapes) -> None:  # noqa: ANN401
    for ring in item.rings:
        _trace(pen, ring, closed=item.closed)
    style = item.style
    if style.fill is not None:
        pen.set_source_rgba(*style.fill, style.opacity)
        pen.fill_preserve()
    if style.stroke is not None:
        pen.set_source_rgb(*style.stroke)
        pen.set_line_width(style.width_mm)
        pen.set_dash(list(style.dash_mm))
        pen.stroke()
    pen.new_path()


def _cairo_text(lib: Any, pen: Any, item: Text) -> None:  # noqa: ANN401
    pen.select_font_face("Noto Sans CJK SC", lib.FONT_SLANT_NORMAL, lib.FONT_WEIGHT_BOLD if item.bold else 0)
    pen.translate(item.x_mm - _back(item), item.y_mm)
    pen.scale(1, -1)
    pen.set_font_size(item.size_pt / PT)
    if item.halo_mm:
        pen.move_to(0, 0)
        pen.text_path(item.text)
        pen.set_source_rgb(1, 1, 1)
        pen.set_line_width(2 * item.halo_mm)
        pen.stroke()
    pen.move_to(0, 0)
    pen.set_source_rgb(*item.colour)
    pen.show_text(item.text)


def _cairo_photo(lib: Any, pen: Any, item: Photo) -> None:  # noqa: ANN401
    from PIL import Image  # noqa: PLC0415

    width, height = Image.open(io.BytesIO(item.jpeg)).size
    picture = lib.ImageSurface(lib.FORMAT_RGB24, width, height)
    picture.set_mime_data("image/jpeg", item.jpeg)
    (left, top), (right, _), (_, low) = item.corners_mm
    pen.translate(left, top)
    pen.scale((right - left) / width, -(top - low) / height)
    pen.set_source_surface(picture)
    pen.paint()


def _back(item: Text) -> float:
    share = {"start": 0.0, "middle": 0.5, "end": 1.0}[item.anchor]
    return share * fonts.measure(item.text, item.size_pt, bold=item.bold)


def _squares(item: Modules) -> Iterator[tuple[float, float, float]]:
    side = item.size_mm / len(item.dark)
    for row, column in np.argwhere(item.dark).tolist():
        yield item.x_mm + side * column, item.y_mm + side * (len(item.dark) - 1 - row), side


def reportlab(pages: list[Page], font: Path) -> list[bytes]:
    """By reportlab, with a TrueType font made of ours beforehand."""
    from reportlab.pdfbase import pdfmetrics  # noqa: PLC0415
    from reportlab.pdfbase.ttfonts import TTFont  # noqa: PLC0415

    pdfmetrics.registerFont(TTFont("Sheet", str(font)))
    return [_reportlab(page) for page in pages]


def _reportlab(page: Page) -> bytes:
    from reportlab.pdfgen.canvas import Canvas  # noqa: PLC0415

    file = io.BytesIO()
    pen = Canvas(file, pagesize=(page.width_mm * PT, page.height_mm * PT), invariant=1, pageCompression=1)
    for item in page.items:
        pen.saveState()
        if isinstance(item, Shapes | Photo) and item.clip is not None:
            pen.clipPath(_reportlab_path(pen, (item.clip,), closed=True), stroke=0, fill=0)
        if isinstance(item, Shapes):
            style = item.style
            if style.fill is not None:
                pen.setFillColorRGB(*style.fill, alpha=style.opacity)
            if style.stroke is not None:
                pen.setStrokeColorRGB(*style.stroke)
                pen.setLineWidth(style.width_mm * PT)
                pen.setDash([part * PT for part in style.dash_mm])
            path = _reportlab_path(pen, item.rings, closed=item.closed)
            pen.drawPath(path, stroke=style.stroke is not None, fill=style.fill is not None, fillMode=0)
        elif isinstance(item, Text):
            pen.setFont("Sheet", item.size_pt)
            for mode in (1, 2 if item.bold else 0) if item.halo_mm else (2 if item.bold else 0,):
                words = pen.beginText((item.x_mm - _back(item)) * PT, item.y_mm * PT)
                words.setTextRenderMode(mode)
                pen.setLineWidth(2 * item.halo_mm * PT if mode == 1 else 0.03 * item.size_pt)
                pen.setStrokeColorRGB(*((1, 1, 1) if mode == 1 else item.colour))
                words.setFillColorRGB(*item.colour)
                words.textOut(item.text)
                pen.drawText(words)
        elif isinstance(item, Photo):
            _reportlab_photo(pen, item)
        else:
            pen.setFillColorRGB(0, 0, 0)
            path = pen.beginPath()
            for x, y, side in _squares(item):
                path.rect(x * PT, y * PT, side * PT, side * PT)
            pen.drawPath(path, stroke=0, fill=1)
        pen.restoreState()
    pen.showPage()
    pen.save()
    return file.getvalue()


def _reportlab_path(pen: Any, rings: tuple[Floats, ...], *, closed: bool) -> Any:  # noqa: ANN401
    path = pen.beginPath()
    for ring in rings:
        points = (ring * PT).tolist()
        path.moveTo(*points[0])
        for x, y in points[1:]:
            path.lineTo(x, y)
        if closed:
            path.close()
    return path


def _reportlab_photo(pen: Any, item: Photo) -> None:  # noqa: ANN401
    from reportlab import rl_config  # noqa: PLC0415
    from reportlab.lib.utils import ImageReader  # noqa: PLC0415

    rl_config.useA85 = 0
    (left, top), (right, _), (_, low) = item.corners_mm * PT
    pen.drawImage(ImageReader(io.BytesIO(item.jpeg)), left, low, right - left, top - low)


def typst(pages: list[Page]) -> list[bytes]:
    """By typst, the page as one SVG picture."""
    from typst import Compiler  # noqa: PLC0415

    made = []
    compiler = Compiler(font_paths=[str(fonts.files()[0].parent)], ignore_system_fonts=True)
    for page in pages:
        source = (
            f"#set page(width: {page.width_mm}mm, height: {page.height_mm}mm, margin: 0mm)\n"
            f'#image(bytes({_quoted(_svg(page))}), format: "svg", width: 100%)'
        )
        made.append(compiler.compile(input=source.encode(), format="pdf"))
    return made


def _quoted(words: str) -> str:
    return '"' + words.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _svg(page: Page) -> str:
    width, height = page.width_mm, page.height_mm
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}mm" height="{height}mm" viewBox="0 0 {width} {height}">'
    ]
    edges = {item.clip.tobytes(): item.clip for item in page.items if _is_cut(item)}
    for name, edge in enumerate(edges.values()):
        out.append(f'<clipPath id="c{name}"><path d="{_svg_path((edge,), height, closed=True)}"/></clipPath>')
    numbers = {edge: name for name, edge in enumerate(edges)}
    for item in page.items:
        clip = f' clip-path="url(#c{numbers[item.clip.tobytes()]})"' if _is_cut(item) else ""
        out.append(_svg_item(item, height, clip))
    return "".join([*out, "</svg>"])


def _is_cut(item: Shapes | Text | Photo | Modules) -> bool:
    return isinstance(item, Shapes | Photo) and item.clip is not None


def _svg_path(rings: tuple[Floats, ...], height: float, *, closed: bool) -> str:
    flipped = (np.column_stack([ring[:, 0], height - ring[:, 1]]) for ring in rings)
    return "".join(
        "M" + "L".join(f"{x:.4f} {y:.4f}" for x, y in ring.tolist()) + ("Z" if closed else "")
        for ring in flipped
    )


def _svg_item(item: Shapes | Text | Photo | Modules, height: float, clip: str) -> str:
    if isinstance(item, Shapes):
        style = item.style
        dash = " ".join(map(str, style.dash_mm)) or "none"
        look = f'fill="{_hex(style.fill)}" fill-opacity="{style.opacity}" fill-rule="evenodd" '
        look += f'stroke="{_hex(style.stroke)}" stroke-width="{style.width_mm}" stroke-dasharray="{dash}"'
        return f'<path d="{_svg_path(item.rings, height, closed=item.closed)}" {look}{clip}/>'
    if isinstance(item, Text):
        x, y = item.x_mm - _back(item), height - item.y_mm
        look = f'x="{x:.4f}" y="{y:.4f}" font-family="Noto Sans SC" font-size="{item.size_pt / PT:.4f}"'
        under = f'<text {look} fill="none" stroke="#fff" stroke-width="{2 * item.halo_mm}">{item.text}</text>'
        return (under if item.halo_mm else "") + f'<text {look} fill="{_hex(item.colour)}">{item.text}</text>'
    if isinstance(item, Photo):
        (left, top), (right, _), (_, low) = item.corners_mm
        data = base64.b64encode(item.jpeg).decode()
        box = f'x="{left}" y="{height - top}" width="{right - left}" height="{top - low}" preserveAspectRatio="none"'
        return f'<image {box} href="data:image/jpeg;base64,{data}"{clip}/>'
    squares = "".join(
        f"M{x:.4f} {height - y:.4f}h{side:.4f}v{-side:.4f}h{-side:.4f}z" for x, y, side in _squares(item)
    )
    return f'<path d="{squares}"/>'


def _hex(colour: tuple[float, float, float] | None) -> str:
    return (
        "none" if colour is None else "#" + "".join(f"{math.floor(part * 255 + 0.5):02x}" for part in colour)
    )


def truetype(characters: set[str], path: Path) -> None:
    """Write a TrueType font with these characters of our CFF font: reportlab takes no other."""
    from fontTools.fontBuilder import FontBuilder  # noqa: PLC0415
    from fontTools.pens.cu2quPen import Cu2QuPen  # noqa: PLC0415
    from fontTools.pens.ttGlyphPen import TTGlyphPen  # noqa: PLC0415
    from fontTools.ttLib import TTFont  # noqa: PLC0415

    with TTFont(fonts.files()[0]) as whole:
        names, outlines = whole.getBestCmap(), whole.getGlyphSet()
        codes = {
            ord(character): names[ord(character)]
            for character in sorted(characters)
            if ord(character) in names
        }
        order = [".notdef", *dict.fromkeys(codes.values())]
        drawn = {}
        for name in order:
            pen = TTGlyphPen(None)
            outlines[name].draw(Cu2QuPen(pen, 1.0, reverse_direction=True))
            drawn[name] = pen.glyph()
        widths = {name: (whole["hmtx"][name][0], 0) for name in order}
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(order)
    builder.setupCharacterMap(codes)
    builder.setupGlyf(drawn)
    builder.setupHorizontalMetrics(widths)
    builder.setupHorizontalHeader(ascent=880, descent=-120)
    builder.setupNameTable({"familyName": "Sheet", "styleName": "Regular", "psName": "Sheet"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
