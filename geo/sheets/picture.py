"""Pages of a PDF as PNG pictures, drawn and packed strip by strip.

A page of A1 at 300 dots an inch is 210 MB of pixels; at no time is more than a
strip of them there.

Source: W3C, Portable Network Graphics (PNG) Specification, third edition, clauses 5 and 9.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

_STRIP_PX: Final = 2**19  # pixels drawn at a time; a page is gone through anew for each
_SEAM: Final = 3  # rows drawn beyond a strip
_ROWS: Final = 32  # rows packed at a time
_LEVEL: Final = 4  # of zlib: 6 takes twice the time for a twentieth less
_MM_PER_INCH: Final = 25.4
_NONE, _SUB, _UP = 0, 1, 2  # filters of a row


def write_png(document: bytes, path: Path, *, dpi: float = 150) -> None:
    """The first page of a PDF as a PNG picture, RGB, with its resolution noted in the file.

    Not for several threads at once: PDFium has one state a process.

    Parameters
    ----------
    document : bytes
        A PDF file.
    path : Path
        File to write.
    dpi : float
        Pixels an inch.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    import pypdfium2  # noqa: PLC0415 - a set without pictures does without its memory

    with path.open("wb") as out:
        file = pypdfium2.PdfDocument(document)
        try:
            page = file[0]
            out.writelines(_picture(page, dpi))
            page.close()
        finally:
            file.close()


def _picture(page: Any, dpi: float) -> Iterator[bytes]:  # noqa: ANN401 - pypdfium2 has no types
    """The file, part by part."""
    scale = dpi / 72
    wide, high = (math.ceil(side * scale) for side in (page.get_width(), page.get_height()))
    each = round(dpi * 1000 / _MM_PER_INCH)  # pixels a metre
    packer = zlib.compressobj(_LEVEL)
    above = np.zeros((1, wide * 3), dtype=np.uint8)
    yield b"\x89PNG\r\n\x1a\n"
    yield _chunk(b"IHDR", _header(wide, high))
    yield _chunk(b"pHYs", struct.pack(">IIB", each, each, 1))
    for strip in _strips(page, scale, wide, high):
        for top in range(0, len(strip), _ROWS):
            rows = strip[top : top + _ROWS]
            if data := packer.compress(_filtered(rows, above)):
                yield _chunk(b"IDAT", data)
            above = rows[-1:].copy()
    yield _chunk(b"IDAT", packer.flush())
    yield _chunk(b"IEND", b"")


def _strips(page: Any, scale: float, wide: int, high: int) -> Iterator[Bytes]:  # noqa: ANN401 - as above
    """Rows of the page from its top, some at a time, three bytes a pixel."""
    step = max(_ROWS, _STRIP_PX // wide)
    for top in range(0, high, step):
        rows = min(step, high - top)
        # PDFium leaves out a letter that only its soft edge brings into the strip: it sees some rows more.
        above, below = min(_SEAM, top), min(_SEAM, high - top - rows)
        under = high - top - rows - below
        # Half a pixel less, for what is cut off is rounded up to whole ones.
        crop = (0, max(0, under - 0.5) / scale, 0, max(0, top - above - 0.5) / scale)
        bitmap = page.render(scale=scale, crop=crop, rev_byteorder=True)
        try:
            yield bitmap.to_numpy().reshape(-1, wide * 3)[above : above + rows]
        finally:
            bitmap.close()


def _filtered(rows: Bytes, above: Bytes) -> bytes:
    """Rows as differences: each from what stands left of it or above it, whichever leaves least."""
    left = np.zeros_like(rows)
    left[:, 3:] = rows[:, :-3]
    ways = np.stack([rows, rows - left, rows - np.vstack([above, rows[:-1]])])
    best = np.abs(ways.view(np.int8).astype(np.int16)).sum(axis=2, dtype=np.int64).argmin(axis=0)
    out = np.empty((len(rows), rows.shape[1] + 1), dtype=np.uint8)
    out[:, 0] = np.array([_NONE, _SUB, _UP])[best]
    out[:, 1:] = ways[best, np.arange(len(rows))]
    return out.tobytes()


def _header(wide: int, high: int) -> bytes:
    return struct.pack(">IIBBBBB", wide, high, 8, 2, 0, 0, 0)  # of 8 bits, colours without a palette


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
