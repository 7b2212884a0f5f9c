"""Photos, signatures and papers that bear a decision out: checked by their content, kept as they came.

A file is known by the SHA-256 of its content. The original stays as evidence,
with all a camera wrote into it; what is shown is a copy without any of that,
for a photo tells where and by whose phone it was taken.
"""

import datetime as dt
import hashlib
import io
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from geo.atomic import whole_file
from geo.errors import FactError

KINDS: Final = {"photo": "照片", "signature": "签名", "document": "文件"}
LARGEST: Final = {"photo": 25 * 2**20, "signature": 5 * 2**20, "document": 30 * 2**20}  # bytes
MOST_PIXELS: Final = 80_000_000  # of a large phone
_SHOWN_SIDE: Final = 2048  # pixels of the copy that is shown
_IMAGES: Final = {"JPEG": "image/jpeg", "MPO": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
_PDF: Final = "application/pdf"
_PDF_HEAD: Final = b"%PDF-"
_PDF_END: Final = b"%%EOF"
_TAIL: Final = 2048  # bytes in which a PDF says that it ends
_KEY: Final = re.compile(r"[0-9a-f]{64}")
_LONGEST_NAME: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A file that was checked: what a row of ``attachments`` says of it."""

    attachment_key: str  # SHA-256 of the content
    kind: str
    file_name: str
    media_type: str
    byte_count: int
    taken_on: str | None  # of a photo, as its camera says


def evidence(content: bytes, kind: str, file_name: str = "") -> Evidence:
    """What a file is, by its content alone: neither its name nor what was said of it is believed.

    Raises
    ------
    FactError
        If the kind is unknown, the file too large, no image that can be drawn (photo:
        JPEG, PNG, WebP; signature: PNG, JPEG, WebP) or no whole PDF.
    """
    if kind not in KINDS:
        listed = "、".join(f"{code} {title}" for code, title in KINDS.items())
        raise FactError(f"没有附件类型“{kind[:20]}”；可用：{listed}")
    if not content:
        raise FactError("附件是空的")
    if len(content) > LARGEST[kind]:
        raise FactError(f"{KINDS[kind]}太大：{len(content) / 2**20:.1f} MB，最多 {LARGEST[kind] // 2**20} MB")
    taken = None
    if kind == "document":
        if not content.startswith(_PDF_HEAD) or _PDF_END not in content[-_TAIL:]:
            raise FactError("文件不是完整的 PDF")
        media_type = _PDF
    else:
        image = _image(content)
        media_type, taken = _IMAGES[str(image.format)], _taken_on(image)
    return Evidence(
        attachment_key=hashlib.sha256(content).hexdigest(),
        kind=kind,
        file_name=_name(file_name, media_type),
        media_type=media_type,
        byte_count=len(content),
        taken_on=taken,
    )


def kept(folder: Path, content: bytes, found: Evidence) -> Path:
    """Keep a checked file under ``folder``, and beside it the copy that is shown; the same file twice is kept once.

    Raises
    ------
    FactError
        If an image cannot be drawn to its end.
    OutputError
        If it cannot be written.
    """
    place = _place(folder, found.attachment_key)
    shown = _shown_place(place)
    if found.media_type != _PDF and not shown.is_file():
        copy = _shown(content, found.kind)
        with whole_file(shown) as scratch:
            scratch.write_bytes(copy)
    if not place.is_file():
        with whole_file(place) as scratch:
            scratch.write_bytes(content)
    return place


def served(folder: Path, row: Mapping[str, Any], *, original: bool = False) -> tuple[Path, str]:
    """The file to show for a row of ``attachments`` and its media type.

    Of an image that is the copy without what its camera wrote into it, unless the
    ``original`` is asked for.

    Raises
    ------
    FactError
        If the row's key is none.
    """
    place = _place(folder, str(row["attachment_key"]))
    if original or row["media_type"] == _PDF:
        return place, str(row["media_type"])
    return _shown_place(place), "image/png" if row["kind"] == "signature" else "image/jpeg"


def _place(folder: Path, key: str) -> Path:
    if not _KEY.fullmatch(key):  # it becomes part of a path
        raise FactError("附件键应为 64 位十六进制数")
    return folder / "attachments" / key[:2] / key


def _shown_place(place: Path) -> Path:
    return place.with_name(f"{place.name}.shown")


def _image(content: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "WEBP"))
    except (UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise FactError("照片读不了：只收 JPEG、PNG、WebP，且像素不能过多") from error
    except (OSError, ValueError, SyntaxError) as error:  # what damaged headers make pillow say
        raise FactError("照片已损坏") from error
    if image.width * image.height > MOST_PIXELS:
        raise FactError(
            f"照片太大：{image.width} × {image.height} 像素，最多 {MOST_PIXELS // 10**6} 百万像素"
        )
    return image


def _shown(content: bytes, kind: str) -> bytes:
    image = _image(content)
    try:
        image.draft("RGB", (_SHOWN_SIDE, _SHOWN_SIDE))  # a JPEG is read at the size it is needed in
        upright = ImageOps.exif_transpose(image) or image
        upright.thumbnail((_SHOWN_SIDE, _SHOWN_SIDE))
        bare = upright.convert("RGBA" if kind == "signature" else "RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise FactError("照片已损坏，读不到底") from error
    # Only what is drawn goes on: neither place nor phone, neither profile nor thumbnail.
    clean = Image.frombytes(bare.mode, bare.size, bare.tobytes())
    out = io.BytesIO()
    if kind == "signature":
        clean.save(out, "PNG", optimize=False)
    else:
        clean.save(out, "JPEG", quality=85)
    return out.getvalue()


def _taken_on(image: Image.Image) -> str | None:
    try:
        told = image.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal)
        return dt.date.fromisoformat(str(told)[:10].replace(":", "-")).isoformat()
    except (ValueError, OSError, SyntaxError, KeyError, TypeError):
        return None  # a camera may say nothing, or nonsense


def _name(text: str, media_type: str) -> str:
    """A name for people: without folders and without what cannot be seen, its ending that of the content."""
    last = re.split(r"[\\/]", unicodedata.normalize("NFC", text))[-1]
    clean = "".join(letter for letter in last if letter.isprintable() and letter not in '<>:"|?*').strip(". ")
    stem = clean.rpartition(".")[0] if "." in clean else clean
    ending = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", _PDF: "pdf"}[media_type]
    return f"{stem[:_LONGEST_NAME] or '附件'}.{ending}"
