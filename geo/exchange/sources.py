"""From a path an officer gives to the layers behind it: file, folder, geodatabase or zip.

A layer is known by the standards' names (DLTB, DK + county + year, CJDCQ …), so
that in a folder or a geodatabase of many the right one is taken. Where none is,
the message says which there are.
"""

import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pyogrio

from geo.errors import InputError

SHAPEFILE: Final = ".shp"
CONTAINERS: Final = (".gdb", ".gpkg")
VECTORS: Final = (".gdb", ".gpkg", ".parquet", ".geoparquet", ".shp", ".geojson", ".json")

# Names of the layers that can play a role, best first; matched on the whole name, any case.
ROLES: Final = {
    "survey": (
        r"DLTB\d*(-\d+)?",
        r"(\d{6,12}|[\u4e00-\u9fff]+)[_-]?DLTB\d*",
        r"地类图斑.*",
        r"DLTB_[A-Z0-9]*\d.*",
    ),
    "parcels": (r"DK\d*([-_]\d+)?", r"DK[_-].*", r"(承包)?地块.*"),
    "villages": (
        r"CJDCQ\d*",
        r"(\d{6,12})[_-]?CJDCQ\d*",
        r"村级调查区.*",
        r"CJQY\d*([-_]\d+)?",
        r"XZQ\d*",
        r"村界.*",
    ),
    "groups": (r"ZJQY\d*([-_]\d+)?", r"组级区域.*", r"组界.*"),
    "grid_file": (r".*网格.*", r"grids?", r"WG\d*([-_]\d+)?"),
    "baseline": (r"DLTB\d*(-\d+)?", r"(\d{6,12}|[\u4e00-\u9fff]+)[_-]?DLTB\d*", r"地类图斑.*", r"DLTB[_-].*"),
}
ROLE_TITLES: Final = {
    "survey": "地类图斑 DLTB",
    "parcels": "承包地块 DK",
    "villages": "村级调查区 CJDCQ 或行政区 XZQ",
    "groups": "组级区域 ZJQY",
    "baseline": "基期地类图斑 DLTB",
    "grid_file": "网格",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One layer of one file."""

    file: Path  # what is opened: unpacked, where it came in a zip
    layer: str | None  # of a container of many
    label: str  # what the officer calls it: the file's name, under a zip's or a folder's
    origin: Path  # the file the officer gave: what is hashed


@contextmanager
def sources(path: Path | str, role: str | None, *, layer: str | None = None) -> Iterator[list[Source]]:
    """Layers behind a path that can play a role, in the order of their names; unpacked while in use.

    Parameters
    ----------
    path : Path
        A vector file, geodatabase, folder of files, or a zip of any of these.
    role : str, optional
        A key of `ROLES`; without it every layer counts.
    layer : str, optional
        Takes the layer of just this name.

    Raises
    ------
    InputError
        If there is nothing at ``path``, it cannot be opened, or no layer fits.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"找不到 {path}；请检查路径")
    if path.suffix.lower() != ".zip":
        yield _choose(_listed(path, path, ""), path, role, layer)
        return
    with TemporaryDirectory(prefix="taotu-") as folder:
        unpack(path, Path(folder))
        yield _choose(_listed(Path(folder), path, path.name), path, role, layer)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip into a folder; names written as GBK (as Windows does) come out right.

    Raises
    ------
    InputError
        If it is no zip, is damaged, or has a password.
    """
    try:
        with zipfile.ZipFile(archive) as bundle:
            for member in bundle.infolist():
                if member.is_dir():
                    continue
                target = (folder / _member_name(member)).resolve()
                if not target.is_relative_to(folder.resolve()):
                    raise InputError(
                        f"{archive.name} 内的文件名 {member.filename} 指向压缩包之外；请重新打包"
                    )
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(bundle.read(member))
    except RuntimeError as error:
        raise InputError(f"{archive.name} 有密码；请解压后再用") from error
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        ValueError,
        OSError,
    ) as error:
        raise InputError(f"{archive.name} 不是完好的 zip 压缩包（{error}）；请重新拷贝或重新打包") from error


def _member_name(member: zipfile.ZipInfo) -> str:
    if member.flag_bits & 0x800:  # the name is marked as UTF-8
        return member.filename
    try:
        return member.filename.encode("cp437").decode("gb18030")
    except UnicodeError:
        return member.filename


def vector_files(folder: Path) -> list[Path]:
    """Vector files and geodatabases anywhere under a folder, in the order of their paths."""
    found: list[Path] = []
    for child in sorted(folder.iterdir(), key=lambda p: p.name):
        if child.name.startswith((".", "~")):
            continue
        if child.suffix.lower() in VECTORS and (child.is_file() or child.suffix.lower() == ".gdb"):
            found.append(child)
        elif child.is_dir():
            found += vector_files(child)
    return found


def _listed(path: Path, origin: Path, prefix: str) -> list[Source]:
    """Every layer behind a path, of any name."""
    if path.is_dir() and path.suffix.lower() != ".gdb":
        files = vector_files(path)
        if not files:
            kinds = "、".join(VECTORS)
            raise InputError(f"{origin} 里没有矢量文件（可读 {kinds}）；请检查路径")
        inside_zip = bool(prefix)
        return [
            source
            for file in files
            for source in _listed(
                file,
                origin if inside_zip else file,
                "/".join(part for part in (prefix, file.relative_to(path).as_posix()) if part),
            )
        ]
    if path.suffix.lower() not in VECTORS:
        hint = "；rar、7z 请先解压" if path.suffix.lower() in (".rar", ".7z") else ""
        raise InputError(f"不认识 {path.name} 的格式，可读 {'、'.join(VECTORS)}、.zip 或文件夹{hint}")
    label = prefix or path.name
    if path.suffix.lower() in CONTAINERS:
        return [
            Source(file=path, layer=name, label=f"{label}/{name}", origin=origin)
            for name in layer_names(path)
        ]
    return [Source(file=path, layer=None, label=label, origin=origin)]


def layer_names(container: Path) -> list[str]:
    """Names of the layers with geometry in a GeoPackage or file geodatabase.

    Raises
    ------
    InputError
        If it cannot be opened.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", category=RuntimeWarning
            )  # GDAL's remarks on what it can still open
            rows = pyogrio.list_layers(container)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, OSError) as error:
        raise InputError(f"{container.name} 打不开或已损坏（{told(error)}）；请重新拷贝或重新导出") from error
    return [str(name) for name, kind in rows if kind is not None]


def told(error: BaseException) -> str:
    """What a library says of an error, in short and without paths, which may be those of an unpacked copy."""
    text = (str(error).splitlines() or [type(error).__name__])[0]
    text = re.sub(r"['\"]?/[^\s'\"]+['\"]?", "", text)
    return re.split(r"[;；。]|\. ", text)[0].strip(" .:") or type(error).__name__


def _name(source: Source) -> str:
    return source.layer if source.layer is not None else source.file.stem


def fits(name: str, role: str) -> int | None:
    """Rank of a layer's name for a role, 0 the best; None where it is another layer."""
    for rank, pattern in enumerate(ROLES[role]):
        if re.fullmatch(pattern, name, flags=re.IGNORECASE):
            return rank
    return None


def _choose(found: list[Source], path: Path, role: str | None, layer: str | None) -> list[Source]:
    there = "、".join(_name(source) for source in found) or "（没有图层）"
    if layer is not None:
        chosen = [source for source in found if _name(source).casefold() == layer.casefold()]
        if not chosen:
            raise InputError(f"{path.name} 里没有图层 {layer}；现有图层：{there}")
        return chosen
    if role is None or len(found) == 1:
        if not found:
            raise InputError(f"{path.name} 里没有任何图层；请检查文件")
        return found
    ranks = [(fits(_name(source), role), source) for source in found]
    best = min((rank for rank, _ in ranks if rank is not None), default=None)
    if best is None:
        raise InputError(f"{path.name} 里找不到{ROLE_TITLES[role]}；现有图层：{there}；请用 layer 指定图层名")
    return [source for rank, source in ranks if rank == best]
