"""One unit of the set in one worker: read its land, lay out its pages, write its files, remember what was made.

A unit is a group, a village or a national sheet with its pages, or a village's
tables. What it was made from has a fingerprint, kept with the checksums of its
files: whoever resumes makes again only what is missing, damaged or out of date.
A page that fails is told in its row; the rest of the unit is made.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, Literal, Protocol, cast

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS, Transformer

from geo.atomic import whole_file
from geo.errors import GeoError, OutputError
from geo.memory import release
from geo.sheets.draw import pdf, save, whole_document
from geo.sheets.dxf import DxfSettings, outside_gbk, write_dxf
from geo.sheets.fonts import missing
from geo.sheets.frames import Frame, frame_shapes, shows_parcels, shows_patches
from geo.sheets.page import Page, Text
from geo.sheets.picture import write_png
from geo.sheets.points import boundary_points

Format = Literal["pdf", "geopdf", "png", "dxf", "shp"]

FORMATS: Final[tuple[Format, ...]] = ("pdf", "geopdf", "png", "dxf", "shp")
PAGED: Final = frozenset({"pdf", "geopdf", "png"})  # made from pages
RECORDS: Final = ".taotu"  # folder of the records beside the sheets
VOLUME: Final = 40  # pages of one PDF: more go into further volumes, so that memory is bounded

_FORBIDDEN: Final = re.compile(r'[\x00-\x1f<>:"/\\|?*]')  # in file names, of Windows and of Linux
_LONGEST_NAME: Final = 60
_READ_MM2: Final = 300_000.0  # of map that land is read for at once: five pages of A3, or one of A1
_SHOWN: Final = {"parcels": shows_parcels, "patches": shows_patches}
_UNIT_COLUMNS: Final = {"group": "group_code", "village": "village_code"}
_COMPUTING: Final = ("taotu", "ezdxf", "geopandas", "pikepdf", "pyproj", "shapely", "uharfbuzz", "xlsxwriter")


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


class Source(Protocol):
    """Where land is read from, layer by layer: an opened workspace."""

    @property
    def crs(self) -> CRS:
        """CRS of every layer with geometry."""

    def read(
        self,
        layer: str,
        *,
        where: str | None = None,
        bbox: tuple[float, float, float, float] | None = None,
        columns: list[str] | None = None,
        geometry: bool = True,
    ) -> pd.DataFrame:
        """A layer, or a part of it."""


Pages = Iterator[tuple[str, tuple[Page, ...]]]  # key of a frame: the map, and pages its table goes on
Painted = Callable[
    [], Pages
]  # paints while they are taken, anew each time: a unit's pages are never all held
Land = Mapping[str, pd.DataFrame]  # layers by name; those with a place are GeoDataFrames
Painter = Callable[[Frame, Land, Sequence[Frame]], tuple[tuple[Page, ...], str]]  # pages, and what they lack


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """What all units of a run have in common."""

    source: Source
    balance: pd.DataFrame  # layer ``balance``: names and areas of all units
    out: Path
    formats: tuple[Format, ...]
    shown: str  # condition in SQL: pieces that the set shows
    measured: str  # condition in SQL: pieces that have boundary points
    paint: Painter
    identity: str  # of everything that decides a page beside the land
    dxf: DxfSettings
    decimals: int
    dpi: float
    resume: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """One unit: its pages, or, without any, the tables of a village."""

    kind: str  # group, village, sheet; tables
    code: str
    name: str
    folder: str  # in the set's folder
    frames: tuple[Frame, ...] = ()

    @property
    def stem(self) -> str:
        """Name of the unit's files."""
        return file_stem(f"{self.code}{self.name}")


@dataclass(slots=True, kw_only=True)
class Record:
    """What was made of a unit, as it is kept on disk."""

    mark: str = ""
    files: dict[str, dict[str, str]] = field(
        default_factory=dict
    )  # format: path in the set's folder: SHA-256
    errors: dict[str, dict[str, str]] = field(
        default_factory=dict
    )  # format: page key, or "": what went wrong
    notes: dict[str, str] = field(default_factory=dict)  # page key: what the reader should know
    made: list[str] = field(default_factory=list)  # formats made in this run, not kept on disk


def file_stem(name: str) -> str:
    """A name that every disk takes."""
    return _FORBIDDEN.sub("_", name)[:_LONGEST_NAME].rstrip(". ") or "_"


def quoted(text: str) -> str:
    """The text as a constant in SQL."""
    return "'" + text.replace("'", "''") + "'"


def identity(*parts: object) -> str:
    """One text for everything beside the land that decides a page: settings, and the libraries that draw."""
    return json.dumps([*map(repr, parts), {name: version(name) for name in _COMPUTING}], ensure_ascii=False)


def record_path(out: Path, job: Job) -> Path:
    """Where the record of a unit is kept."""
    return out / RECORDS / job.kind / f"{file_stem(job.code)}.json"


def load_record(path: Path) -> Record:
    """A unit's record; an empty one where there is none, or a damaged one."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return Record(mark=told["mark"], files=told["files"], errors=told["errors"], notes=told["notes"])
    except (OSError, ValueError, KeyError, TypeError):
        return Record()


def make_unit(job: Job, task: Task) -> Record:
    """Make the files of a unit that are asked for and not yet there.

    Returns
    -------
    Record
        As it was saved: files by format, and what went wrong, by format and page.

    Raises
    ------
    OutputError
        If the record cannot be written.
    """
    path = record_path(task.out, job)
    before = load_record(path)
    wanted = [name for name in task.formats if (name == "shp") == (not job.frames)]
    marks: list[str] = []
    if task.resume:
        try:
            marks.append(fingerprint(job, task))
        except Exception as error:  # noqa: BLE001 - one unit's fault must not stop the county's set
            return _failed(wanted, _told(error))
        if before.mark == marks[0]:
            wanted = [name for name in wanted if not intact(before, name, task.out)]
            if not wanted:
                return before
    fresh = Record()
    failed: dict[str, str] = {}

    def pages() -> Pages:
        return _painted(job, task, fresh.notes, failed, marks)

    for name in wanted:
        fresh.files[name], fresh.errors[name] = {}, {}
        try:
            for file in _WRITERS[name](job, pages, task):
                fresh.files[name][file.relative_to(task.out).as_posix()] = _sha256(file)
        except Exception as error:  # noqa: BLE001 - one unit's fault must not stop the county's set
            fresh.errors[name][""] = _told(error)
        fresh.errors[name] |= failed if name in PAGED else {}
    try:
        mark = marks[0] if marks else fingerprint(job, task)
        fresh.notes |= _notes(job, task)
    except Exception as error:  # noqa: BLE001 - one unit's fault must not stop the county's set
        return _failed(wanted, _told(error))
    kept = before if before.mark == mark else Record()
    record = Record(
        mark=mark,
        files=kept.files | fresh.files,
        errors=kept.errors | fresh.errors,
        notes=kept.notes | fresh.notes,
        made=[*wanted],
    )
    _remove(before, record, task.out)
    _save(record, path)
    return record


def lands(job: Job, task: Task) -> Iterator[tuple[tuple[Frame, ...], dict[str, pd.DataFrame]]]:
    """Frames of a unit, some at a time, and the land they show: memory does not grow with the unit.

    Of a village's tables: no frame, and its pieces.
    """
    if not job.frames:
        yield (), {"pieces": task.source.read("pieces", where=f"village_code = {quoted(job.code)}")}
        return
    for some in _together(job.frames):
        release()  # what the last ones held
        yield some, land(job, some, task)


def _together(frames: Sequence[Frame]) -> Iterator[tuple[Frame, ...]]:
    """Pages in their order whose land is read at once: maps that lie close, and any other page alone."""
    some: list[Frame] = []
    for frame in frames:
        corners = np.concatenate([one.corners for one in [*some, frame]])
        wide, high = (np.ptp(corners, axis=0) * 1000 / frame.scale).tolist()
        if some and not (some[0].kind == frame.kind == "map" and wide * high <= _READ_MM2):
            yield tuple(some)
            some = []
        some.append(frame)
    if some:
        yield tuple(some)


def land(job: Job, frames: Sequence[Frame], task: Task) -> dict[str, pd.DataFrame]:
    """Layers of a unit: what lies within the bounds of some of its pages, and its part of the balance."""
    box = _bounds(frames, task.source.crs)
    nowhere = "0 = 1" if box is None else None
    out = {}
    for layer, columns in _READ.items():
        drawn = any(layer not in _SHOWN or _SHOWN[layer](frame) for frame in frames)
        hidden = None if drawn else "0 = 1"
        shown = _shown(job, frames, task) if layer == "pieces" else None
        where = nowhere or hidden or shown
        out[layer] = task.source.read(layer, where=where, bbox=box, columns=list(columns))
    return out | {"balance": _balance(job, out, task.balance)}


def _shown(job: Job, frames: Sequence[Frame], task: Task) -> str:
    """Which pieces are read, in SQL: an overview shows the unit's own, a map those around them, too."""
    if job.code and job.kind in _UNIT_COLUMNS and all(frame.kind == "overview" for frame in frames):
        return f"({task.shown}) AND {_UNIT_COLUMNS[job.kind]} = {quoted(job.code)}"
    return task.shown


# What pages and drawings show; the rest of a row would only cost memory.
_READ: Final = {
    "pieces": (
        "piece_code", "piece_class", "piece_shape", "state", "group_code", "village_code", "village_name",
        "patch_code", "area_m2", "net_area_m2", "area_mu",
    ),
    "parcels": ("parcel_code", "parcel_class", "issuer_code", "surveyed_area_m2"),
    "patches": ("patch_code", "land_class", "patch_area_m2"),
    "villages": ("village_code", "village_name"),
}  # fmt: skip


def _balance(job: Job, layers: Land, every: pd.DataFrame) -> pd.DataFrame:
    """The unit's areas, and the names of its neighbours without theirs: they are not part of its pages."""
    groups = pd.concat([layers["pieces"]["group_code"], layers["parcels"]["issuer_code"]]).dropna()
    codes = sorted({*groups, *groups.str[:12], *layers["villages"]["village_code"].dropna()} - {job.code})
    own, around = every[every["code"] == job.code], every[every["code"].isin(codes)]
    return pd.concat([own, around[["level", "code", "name"]]], ignore_index=True) if len(around) else own


def _bounds(frames: Iterable[Frame], crs: CRS) -> tuple[float, float, float, float] | None:
    """Bounds of all pages in the CRS of the layers; None if none lies anywhere."""
    boxes = []
    for frame in frames:
        if np.isnan(frame.corners).any():
            continue
        west, south = frame.corners.min(axis=0).tolist()
        east, north = frame.corners.max(axis=0).tolist()
        box = (west, south, east, north)
        if frame.crs:
            box = Transformer.from_crs(frame.crs, crs, always_xy=True).transform_bounds(*box)
        boxes.append(box)
    if not boxes:
        return None
    every = np.array(boxes)
    low, high = every[:, :2].min(axis=0).tolist(), every[:, 2:].max(axis=0).tolist()
    return low[0], low[1], high[0], high[1]


def fingerprint(job: Job, task: Task) -> str:
    """Hash of all that decides a unit's files."""
    digest = _begun(job, task)
    for _, layers in lands(job, task):
        _take(digest, layers)
    return digest.hexdigest()


def _begun(job: Job, task: Task) -> _Digest:
    """Hash of what decides a unit's files beside the land."""
    digest = hashlib.sha256(task.identity.encode())
    digest.update(repr((job.code, job.name, job.folder)).encode())
    for frame in job.frames:
        digest.update(frame.corners.tobytes())
        rest = {name: getattr(frame, name) for name in frame.__slots__ if name != "corners"}
        digest.update(repr(sorted(rest.items())).encode())
    return digest


def _take(digest: _Digest, layers: Land) -> None:
    """Let a hash depend on layers, too."""
    for name, table in layers.items():
        digest.update(name.encode())
        bare = pd.DataFrame(table.drop(columns="geometry", errors="ignore"))
        digest.update(bare.to_json(orient="values", double_precision=15).encode())
        if isinstance(table, gpd.GeoDataFrame):
            digest.update(b"".join(shape or b"-" for shape in shapely.to_wkb(table.geometry.to_numpy())))


def intact(record: Record, name: str, out: Path) -> bool:
    """Whether a format was made without error and its files are as they were written."""
    if name not in record.files or record.errors.get(name):
        return False
    try:
        return all(_sha256(out / path) == told for path, told in record.files[name].items())
    except OSError:
        return False


def _painted(
    job: Job, task: Task, notes: dict[str, str], failed: dict[str, str], marks: list[str]
) -> Iterator[tuple[str, tuple[Page, ...]]]:
    """Pages of a unit, one frame after another; what they lack, and what went wrong with others, is noted.

    At the end its fingerprint is among ``marks``, for the land need not be read again for that.
    """
    digest = None if marks else _begun(job, task)
    for frames, layers in lands(job, task):
        if digest is not None:
            _take(digest, layers)
        for frame in frames:
            try:
                drawn, lacking = task.paint(frame, _within(frame, layers), job.frames)
            except Exception as error:  # noqa: BLE001 - one page's fault must not stop the county's set
                failed[frame.key] = _told(error)
                continue
            notes[frame.key] = "；".join(filter(None, [lacking, _without_font(drawn)]))
            yield frame.key, drawn
        layers.clear()  # before the next are read
    if digest is not None:
        marks.append(digest.hexdigest())


def _within(frame: Frame, layers: Land) -> dict[str, pd.DataFrame]:
    """The part of each layer that may be seen on a page, in the page's CRS."""
    west, south = frame.corners.min(axis=0).tolist()
    east, north = frame.corners.max(axis=0).tolist()
    out = {}
    for name, layer in layers.items():
        table = layer
        if isinstance(table, gpd.GeoDataFrame):
            table = table.to_crs(frame.crs) if frame.crs else table
            table = table[_meets(table, [(west, south, east, north)])]
        out[name] = table
    return out


def _write_pdf(job: Job, pages: Painted, task: Task) -> list[Path]:
    """The unit's pages in one file, or in volumes."""
    every = (page for _, drawn in pages() for page in drawn)
    files: list[Path] = []
    first = next(every, None)
    while first is not None:
        with whole_document(chain([first], islice(every, VOLUME - 1))) as volume:
            first = next(every, None)
            number = f"_{len(files) + 1:02d}" if files or first is not None else ""
            path = task.out / job.folder / f"{job.stem}{number}.pdf"
            with whole_file(path) as scratch:
                save(volume, scratch)
        files.append(path)
    return files


def _write_geopdf(job: Job, pages: Painted, task: Task) -> list[Path]:
    """A file a page, so that a GIS opens each as a layer."""
    folder = task.out / job.folder / "geopdf"
    return [_put(folder / f"{key}.pdf", pdf(drawn)) for key, drawn in pages()]


def _write_png(job: Job, pages: Painted, task: Task) -> list[Path]:
    folder = task.out / job.folder / "png"
    files = []
    for key, drawn in pages():
        for at, page in enumerate(drawn, start=1):
            path = folder / f"{key}{'' if at == 1 else f'_{at}'}.png"
            document = pdf(page)
            release()  # what the page took, before its pixels come
            with whole_file(path) as scratch:
                write_png(document, scratch, dpi=task.dpi)
            files.append(path)
    return files


def _write_dxf(job: Job, _: object, task: Task) -> list[Path]:
    """The unit's land in one drawing; its pieces are its own, what lies around them is there to find the way."""
    layers = _on_maps(job, task)
    shapes = frame_shapes(job.frames)
    drawn = [at for at, frame in enumerate(job.frames) if frame.kind == "map" and not frame.crs]
    frames = gpd.GeoDataFrame(
        {"key": [job.frames[at].key for at in drawn], "number": [job.frames[at].number for at in drawn]},
        geometry=[shapes[at] for at in drawn],
        crs=task.source.crs,
    )
    path = task.out / job.folder / f"{job.stem}.dxf"
    with whole_file(path) as scratch:
        write_dxf({**layers, "frames": frames}, scratch, settings=task.dxf)
    return [path]


def _on_maps(job: Job, task: Task) -> dict[str, gpd.GeoDataFrame]:
    """Land that the unit's maps show, each row once, and of pieces the unit's own.

    What lies between maps is left out: of a group with one lost piece that is the
    half of a county, and of no use to anyone.
    """
    codes = {code for frame in job.frames for code in frame.piece_codes}
    parts: dict[str, list[gpd.GeoDataFrame]] = {name: [] for name in _READ}
    for some in _together([frame for frame in job.frames if frame.kind != "overview"] or job.frames):
        release()
        boxes = [box for frame in some if (box := _bounds([frame], task.source.crs)) is not None]
        for name, table in land(job, some, task).items():
            if isinstance(table, gpd.GeoDataFrame):
                shown = _meets(table, boxes)
                parts[name].append(
                    table[shown & table["piece_code"].isin(codes) if name == "pieces" else shown]
                )
    release()
    return {name: _once(pd.concat(tables)) for name, tables in parts.items()}


def _meets(table: gpd.GeoDataFrame, boxes: Sequence[tuple[float, float, float, float]]) -> Any:  # noqa: ANN401 - an array of rows
    """Which rows' bounds touch any of some boxes."""
    low_x, low_y, high_x, high_y = shapely.bounds(table.geometry.to_numpy()).reshape(-1, 4).T
    met = np.zeros(len(table), dtype=bool)
    for west, south, east, north in boxes:
        met |= (low_x <= east) & (high_x >= west) & (low_y <= north) & (high_y >= south)
    return met


def _once(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Rows that were read for several maps, once."""
    bare = pd.DataFrame(table.drop(columns="geometry")).assign(
        shape=shapely.to_wkb(table.geometry.to_numpy())
    )
    return table[~bare.duplicated().to_numpy()]


def _write_shp(job: Job, _: object, task: Task) -> list[Path]:
    """A village's tables: all its pieces as a shapefile, boundary points of those that are to be measured."""
    from geo.sheets.handover import write_pieces, write_points  # noqa: PLC0415 - a set of maps does without

    ((_, layers),) = lands(job, task)
    pieces = cast("gpd.GeoDataFrame", layers["pieces"])
    folder = task.out / job.folder
    where = f"village_code = {quoted(job.code)} AND ({task.measured})"
    measured = cast("gpd.GeoDataFrame", task.source.read("pieces", where=where))
    points = boundary_points(measured, decimals=task.decimals)
    stem = folder / f"{job.stem}_界址点"
    return [
        *write_pieces(pieces, folder / f"TK{file_stem(job.code)}.shp"),
        *write_points(points, stem, title=f"{job.name} {job.code}".strip()),
    ]


_Writer = Callable[[Job, Painted, Task], list[Path]]
_WRITERS: Final[dict[Format, _Writer]] = {
    "pdf": _write_pdf,
    "geopdf": _write_geopdf,
    "png": _write_png,
    "dxf": _write_dxf,
    "shp": _write_shp,
}


def _put(path: Path, data: bytes) -> Path:
    with whole_file(path) as scratch:
        scratch.write_bytes(data)
    return path


def _without_font(drawn: Iterable[Page]) -> str:
    """What a reader must be told of pages: characters that no font has."""
    lacking = missing(item.text for page in drawn for item in page.items if isinstance(item, Text))
    return f"字体缺字 {''.join(lacking)}，图上以〓代替" if lacking else ""


def _notes(job: Job, task: Task) -> dict[str, str]:
    """What a reader must be told of a village's tables: characters that no old CAD has."""
    if job.frames:
        return {}
    where = f"village_code = {quoted(job.code)}"
    named = task.source.read("pieces", where=where, columns=["village_name"], geometry=False)["village_name"]
    if rare := outside_gbk("".join([job.name, *sorted(named.dropna().unique().tolist())])):
        return {"": f"GBK 编码没有 {rare}，shapefile 和 txt 中以?代替"}
    return {}


def _failed(formats: Sequence[str], message: str) -> Record:
    """The record of a unit whose land could not be read; it is not kept."""
    return Record(errors={name: {"": message} for name in formats}, made=list(formats))


def _remove(before: Record, now: Record, out: Path) -> None:
    """Remove files of a unit that it no longer has: a volume too many would be taken for valid."""
    kept = {name for files in now.files.values() for name in files}
    for name, files in before.files.items():
        if name in now.files and now.errors.get(name):
            continue  # what failed may be all there is
        for path, told in files.items():
            file = out / path
            with suppress(OSError):  # open in a viewer, on some systems
                if path not in kept and file.is_file() and _sha256(file) == told:
                    file.unlink()


def _told(error: Exception) -> str:
    """What went wrong, in one line."""
    if isinstance(error, GeoError):
        return str(error)
    if isinstance(error, MemoryError):
        return "内存不足；请减少 --jobs 后加 --resume 重新运行"
    return f"程序内部错误 {type(error).__name__}：{error}"


def _save(record: Record, path: Path) -> None:
    told: dict[str, Any] = {
        "mark": record.mark,
        "files": record.files,
        "errors": record.errors,
        "notes": record.notes,
    }
    with whole_file(path) as scratch:
        scratch.write_text(json.dumps(told, ensure_ascii=False, sort_keys=True, indent=1), encoding="utf-8")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def forget(out: Path, keep: Sequence[Job]) -> None:
    """Remove files and records of units of the same kinds that are no longer in the set.

    A file that is not as it was written stays: someone else's work may be in it.

    Raises
    ------
    OutputError
        If a file cannot be removed.
    """
    kept = {record_path(out, job) for job in keep}
    for path in sorted(file for folder in {path.parent for path in kept} for file in folder.glob("*.json")):
        if path in kept:
            continue
        record = load_record(path)
        try:
            for files in record.files.values():
                for name, told in files.items():
                    if (file := out / name).is_file() and _sha256(file) == told:
                        file.unlink()
            path.unlink()
        except OSError as error:
            raise OutputError(f"删不了旧图 {path}（{error.strerror or error}）：请检查写权限") from error
