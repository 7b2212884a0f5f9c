"""Files that people send: looked through before anything reads them, kept under a number, never under their own path.

A zip is unpacked here, entry by entry, within bounds; what it holds beside maps
and tables is left out. An upload is there whole or not at all.

Source: OWASP File Upload Cheat Sheet; APPNOTE 6.3.10, .ZIP File Format.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from api.errors import ConflictError, MediaTypeError, NotFoundError, QueryError, TooLargeError
from api.limits import UploadSettings
from api.processes import OnServer, Uploaded
from geo.atomic import to_disk

_MIB: Final = 1024 * 1024
_CHUNK: Final = _MIB
_HEAD: Final = 4096
_ID_BYTES: Final = 8
_DATA: Final = "data"
_META: Final = "upload.json"
_UNFINISHED: Final = ".unfinished-"
_LONGEST_PART: Final = 200  # bytes of a name; most disks take 255
_UTF8: Final = 0x800
_ENCRYPTED: Final = 0x1
_ON_UNIX: Final = 3
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_RESERVED: Final = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
_FORBIDDEN: Final = re.compile(r'[<>:"|?*]')
_LITTER: Final = re.compile(r"(^|/)(__MACOSX/|\.|~\$|Thumbs\.db$|desktop\.ini$)", re.IGNORECASE)

# What may come by itself, and what a zip may hold beside; anything else in a zip is left out.
PLAIN: Final = frozenset({
    ".gpkg", ".xlsx", ".csv", ".tif", ".tiff", ".mdb", ".accdb", ".parquet", ".geoparquet", ".geojson", ".toml",
})  # fmt: skip
INSIDE: Final = PLAIN | {
    ".shp", ".shx", ".dbf", ".prj", ".cpg", ".sbn", ".sbx", ".qix", ".json", ".txt", ".tfw", ".ovr", ".jp2",
    ".gdbtable", ".gdbtablx", ".gdbindexes", ".atx", ".spx", ".freelist", ".horizon",
}  # fmt: skip
_ARCHIVES: Final = frozenset({
    ".zip", ".rar", ".7z", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".zst", ".cab", ".iso",
})  # fmt: skip
_ARCHIVE_MARKS: Final = (
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"Rar!",
    b"7z\xbc\xaf\x27\x1c",
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7zXZ",
)
_MARKS: Final = {
    ".gpkg": (b"SQLite format 3\x00",),
    ".xlsx": (b"PK\x03\x04",),
    ".tif": (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
    ".tiff": (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
    ".mdb": (b"\x00\x01\x00\x00Standard Jet DB", b"\x00\x01\x00\x00Standard ACE DB"),
    ".accdb": (b"\x00\x01\x00\x00Standard ACE DB", b"\x00\x01\x00\x00Standard Jet DB"),
    ".parquet": (b"PAR1",),
    ".geoparquet": (b"PAR1",),
    ".shp": (b"\x00\x00\x27\x0a",),
    ".shx": (b"\x00\x00\x27\x0a",),
    ".zip": (b"PK\x03\x04",),
}
_TEXTS: Final = frozenset([".csv", ".prj", ".cpg", ".json", ".geojson", ".txt", ".tfw", ".toml"])
_XML: Final = re.compile(rb"(\xef\xbb\xbf|\xff\xfe|\xfe\xff|\s)*<")
_GPKG_MARKS: Final = (b"GPKG", b"GP10", b"GP11")
_GPKG_MARK_AT: Final = 68


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What was sent, and what was kept of it."""

    id: str
    name: str
    bytes: int
    sha256: str  # of the file as it was sent
    files: tuple[dict[str, Any], ...]  # path and bytes of each file kept
    skipped: tuple[str, ...]  # names a zip held that are no map and no table
    created: str
    created_by: str


def receive(  # noqa: PLR0913 - what comes, from whom, and where to
    folder: Path, name: str, source: IO[bytes], *, by: str, at: str, settings: UploadSettings
) -> Upload:
    """Look through a file that was sent and keep it.

    Raises
    ------
    MediaTypeError
        If it is of a kind that is not read here, or not what its name says.
    TooLargeError
        If it, or what it unpacks to, is larger than the service takes.
    QueryError
        If its name, or one in it, leads elsewhere, or it is damaged.
    """
    plain = PurePosixPath(name.replace("\\", "/")).name
    _check_part(plain)
    suffix = PurePosixPath(plain).suffix.lower()
    if suffix not in PLAIN | {".zip"}:
        hint = "；请打包成 zip 再上传" if suffix in INSIDE else ""
        kinds = "、".join(sorted(PLAIN | {".zip"}))
        raise MediaTypeError(f"不能上传 {plain}：只收 {kinds}{hint}")
    folder.mkdir(parents=True, exist_ok=True)
    upload_id = secrets.token_hex(_ID_BYTES)
    scratch = folder / f"{_UNFINISHED}{upload_id}"
    try:
        data = scratch / _DATA
        data.mkdir(parents=True)
        sent = scratch / "sent"
        size, digest = _copy(source, sent, settings, plain)
        skipped: list[str] = []
        if suffix == ".zip":
            _check_content(sent, plain, suffix, settings)
            skipped = _unpack(sent, data, plain, settings)
            sent.unlink()
        else:
            _check_content(sent, plain, suffix, settings)
            sent.rename(data / plain)
        upload = Upload(
            id=upload_id,
            name=plain,
            bytes=size,
            sha256=digest,
            files=tuple(_listed(data)),
            skipped=tuple(skipped),
            created=at,
            created_by=by,
        )
        (scratch / _META).write_text(json.dumps(asdict(upload), ensure_ascii=False), encoding="utf-8")
        to_disk(scratch / _META)
        scratch.rename(folder / upload_id)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return upload


def uploads(folder: Path) -> list[Upload]:
    """All uploads, the newest first."""
    found = [one for path in _folders(folder) if (one := _read(path)) is not None]
    return sorted(found, key=lambda one: (one.created, one.id), reverse=True)


def upload(folder: Path, upload_id: str) -> Upload:
    """One upload.

    Raises
    ------
    NotFoundError
        If there is none of that number.
    """
    found = _read(folder / upload_id) if re.fullmatch(r"[0-9a-f]{16}", upload_id) else None
    if found is None:
        raise NotFoundError(f"没有编号为 {upload_id[:40]} 的上传；可能已被删除")
    return found


def delete(folder: Path, upload_id: str, *, used: bool) -> None:
    """Remove an upload.

    Raises
    ------
    NotFoundError
        If there is none of that number.
    ConflictError
        If a job that waits or runs needs it.
    """
    upload(folder, upload_id)
    if used:
        raise ConflictError("还有排队或运行中的任务要用这份上传；请等它结束，或先取消任务")
    gone = folder / f"{_UNFINISHED}{upload_id}"
    with suppress(FileNotFoundError):  # somebody else was faster
        (folder / upload_id).rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what uploads that were cut off left behind; called before the first one."""
    for path in folder.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(path, ignore_errors=True)


def named(asked: Any) -> set[str]:  # noqa: ANN401 - inputs of a job, as they came
    """Ids of the uploads that inputs name."""
    if isinstance(asked, dict):
        own = {asked["upload"]} if isinstance(asked.get("upload"), str) else set()
        return own.union(*map(named, asked.values()))
    return set().union(*map(named, asked)) if isinstance(asked, list) else set()


def place(reference: Uploaded | OnServer, folder: Path, inputs: Path | None) -> Path:
    """Where a file lies that a job names.

    Parameters
    ----------
    reference : Uploaded or OnServer
    folder : Path
        Of the uploads.
    inputs : Path or None
        The server's folder of inputs.

    Raises
    ------
    NotFoundError
        If there is no such upload.
    QueryError
        If the path leads elsewhere, or nothing is there.
    """
    if isinstance(reference, Uploaded):
        upload(folder, reference.upload)
        root, path = folder / reference.upload / _DATA, reference.path
    elif inputs is None:
        raise QueryError("管理员没有设置服务器数据目录；请改用上传")
    else:
        root, path = inputs, reference.server
    return within(root, path)


def within(root: Path, path: str) -> Path:
    """A path below a folder, links followed.

    Raises
    ------
    QueryError
        If it leads out of the folder, or nothing is there.
    """
    parts = PurePosixPath(path.replace("\\", "/"))
    home = root.resolve()
    if parts.is_absolute() or ".." in parts.parts or _CONTROL.search(path) or re.match(r"[A-Za-z]:", path):
        raise QueryError(f"路径 {path[:80]} 不可用：应为相对路径，且不含 ..")
    try:
        target = (home / parts).resolve()
        there = target.is_relative_to(home) and target.exists()
    except (OSError, RuntimeError):  # a name too long, a circle of links
        there = False
    if not there:
        raise QueryError(f"没有文件 {path[:80] or '（整个文件夹）'}；请核对路径")
    return target


def _copy(source: IO[bytes], target: Path, settings: UploadSettings, name: str) -> tuple[int, str]:
    size, digest = 0, hashlib.sha256()
    with target.open("wb") as file:
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            if size > settings.max_bytes:
                raise TooLargeError(f"{name} 超过 {settings.max_bytes // _MIB} MB；请分开上传")
            _check_free(target, settings, len(chunk))
            digest.update(chunk)
            file.write(chunk)
    if not size:
        raise QueryError(f"{name} 是空文件")
    return size, digest.hexdigest()


def _check_free(place_: Path, settings: UploadSettings, more: int) -> None:
    if shutil.disk_usage(place_.parent).free - more < settings.min_free:
        raise TooLargeError("服务器磁盘空间不足；请联系管理员清理")


def _unpack(archive: Path, folder: Path, name: str, settings: UploadSettings) -> list[str]:
    """Unpack what is wanted of a zip; the names of the rest."""
    try:
        with zipfile.ZipFile(archive) as bundle:
            return _extract(bundle, folder, name, settings)
    except (RuntimeError, NotImplementedError) as error:
        raise QueryError(f"{name} 有密码，或压缩方法不支持；请用普通 zip 重新打包") from error
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, ValueError, OSError) as error:
        raise QueryError(f"{name} 不是完好的 zip 压缩包；请重新打包") from error


def _extract(bundle: zipfile.ZipFile, folder: Path, name: str, settings: UploadSettings) -> list[str]:
    entries = bundle.infolist()
    if len(entries) > settings.max_files:
        raise TooLargeError(f"{name} 内有 {len(entries)} 个文件，超过 {settings.max_files} 个；请分开上传")
    total = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    if total > settings.max_unpacked:
        raise TooLargeError(f"{name} 解压后超过 {settings.max_unpacked // _MIB} MB；请分开上传")
    if total > settings.ratio_from and total > packed * settings.max_ratio:
        raise TooLargeError(f"{name} 的压缩比 {total / max(packed, 1):.0f} 异常，疑似压缩炸弹；已拒收")
    _check_free(folder, settings, total)
    skipped: list[str] = []
    seen: dict[str, str] = {}  # what a disk without regard to case holds: file or folder
    for entry in entries:
        path = _checked(entry, seen)
        text = path.as_posix()
        if entry.is_dir() or _LITTER.search(text):
            continue
        suffix = path.suffix.lower()
        if suffix in _ARCHIVES:
            raise QueryError(f"{name} 内还有压缩包 {text}；请先解压再打包")
        if suffix not in INSIDE and not _of_geodatabase(path):
            skipped.append(text)
            continue
        target = folder.joinpath(*path.parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        with bundle.open(entry) as source, target.open("xb") as file:
            _pour(source, file, entry.file_size, text)
        _check_content(target, text, suffix, settings)
    if not any(path.is_file() for path in folder.rglob("*")):
        raise QueryError(f"{name} 里没有可用的数据文件")
    return skipped


def _pour(source: IO[bytes], target: IO[bytes], size: int, name: str) -> None:
    """Copy an entry, whose head may tell less than it holds."""
    left = size
    while chunk := source.read(_CHUNK):
        left -= len(chunk)
        if left < 0:
            raise QueryError(f"{name} 解压后比压缩包所记的大；已拒收")
        target.write(chunk)


def _of_geodatabase(path: PurePosixPath) -> bool:
    return any(part.lower().endswith(".gdb") for part in path.parts[:-1]) and path.name in {
        "gdb",
        "timestamps",
    }


def _checked(entry: zipfile.ZipInfo, seen: dict[str, str]) -> PurePosixPath:
    """Where an entry belongs, if that is a place of its own below the upload."""
    name = _entry_name(entry).replace("\\", "/")
    if entry.flag_bits & _ENCRYPTED:
        raise QueryError("压缩包有密码；请去掉密码重新打包")
    if entry.create_system == _ON_UNIX:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
            raise QueryError(f"压缩包内的 {name[:80]} 是链接或设备，不是文件；已拒收")
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        raise QueryError(f"压缩包内的文件名 {name[:80]} 是绝对路径；已拒收")
    path = PurePosixPath(name)
    if ".." in path.parts or not path.parts:
        raise QueryError(f"压缩包内的文件名 {name[:80]} 指向压缩包之外；已拒收")
    for part in path.parts:
        _check_part(part)
    keys = [_same(PurePosixPath(*path.parts[: at + 1])) for at in range(len(path.parts))]
    kind_of_entry = "folder" if name.endswith("/") else "file"
    twice = keys[-1] in seen and not (kind_of_entry == "folder" == seen[keys[-1]])
    if twice or any(seen.get(key) == "file" for key in keys[:-1]):
        raise QueryError(f"压缩包内有重名的 {name[:80]}；请改名后重新打包")
    seen.update(dict.fromkeys(keys[:-1], "folder"))
    seen[keys[-1]] = kind_of_entry
    return path


def _same(path: PurePosixPath) -> str:
    """A path as disks that know no case, and forms of Unicode, compare it."""
    return unicodedata.normalize("NFC", path.as_posix()).casefold()


def _entry_name(entry: zipfile.ZipInfo) -> str:
    """Name of an entry: UTF-8 if it says so or is, else GBK, as Windows writes it."""
    if entry.flag_bits & _UTF8:
        return entry.orig_filename
    try:
        raw = entry.orig_filename.encode("cp437")
    except UnicodeError:
        return entry.orig_filename
    for encoding in ("utf-8", "gb18030"):
        with suppress(UnicodeError):
            return raw.decode(encoding)
    return entry.orig_filename


def _check_part(part: str) -> None:
    """One name on the way to a file: of any disk, Windows' too."""
    bad = (
        _CONTROL.search(part)
        or _FORBIDDEN.search(part)
        or _RESERVED.fullmatch(part)
        or part.rstrip(". ") != part
        or len(part.encode("utf-8", "replace")) > _LONGEST_PART
        or any(unicodedata.category(sign) in {"Cf", "Cs"} for sign in part)  # turns or hides what is read
    )
    if bad or not part:
        shown = _CONTROL.sub("?", part)[:80]
        raise QueryError(f"文件名 {shown or '（空）'} 不可用；请改名后重新上传")


def _check_content(path: Path, name: str, suffix: str, settings: UploadSettings) -> None:
    """Refuse a file whose content is not what its name says."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    marks = _MARKS.get(suffix)
    good = True
    if marks is not None:
        good = head.startswith(marks)
    elif suffix in _TEXTS:
        wide = head.startswith((b"\xff\xfe", b"\xfe\xff"))
        # GDAL goes by content: an XML under any name may send it to other files, or hosts.
        good = (wide or b"\x00" not in head) and not _XML.match(head.replace(b"\x00", b""))
    elif head.startswith(_ARCHIVE_MARKS):
        good = False
    if suffix == ".gpkg":
        good = good and (head[_GPKG_MARK_AT : _GPKG_MARK_AT + 4] in _GPKG_MARKS)
    if not good:
        raise MediaTypeError(f"{name} 的内容与后缀不符；请重新导出")
    if suffix == ".xlsx":
        _check_book(path, name, settings)


def _check_book(path: Path, name: str, settings: UploadSettings) -> None:
    """A workbook is a zip itself: one that unpacks to no end is refused."""
    try:
        with zipfile.ZipFile(path) as book:
            entries = book.infolist()
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise MediaTypeError(f"{name} 不是完好的 Excel 工作簿；请重新保存") from error
    if "[Content_Types].xml" not in {entry.filename for entry in entries}:
        raise MediaTypeError(f"{name} 不是 Excel 工作簿；请另存为 .xlsx")
    total, packed = (sum(getattr(one, field) for one in entries) for field in ("file_size", "compress_size"))
    if total > settings.max_book or (total > settings.ratio_from and total > packed * settings.max_ratio):
        raise TooLargeError(f"{name} 解压后过大（{total // _MIB} MB），疑似压缩炸弹；已拒收")


def _listed(data: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(data.rglob("*")):
        if path.is_file():
            yield {"path": path.relative_to(data).as_posix(), "bytes": path.stat().st_size}


def _folders(folder: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except FileNotFoundError:
        return []


def _read(folder: Path) -> Upload | None:
    try:
        told = json.loads((folder / _META).read_text(encoding="utf-8"))
        return Upload(**{**told, "files": tuple(told["files"]), "skipped": tuple(told["skipped"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
