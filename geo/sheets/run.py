"""The whole set: which pages there are, each unit made by one of several workers, and a list that equals the ledger.

Units never need each other, so any number of workers gives the same files. A
page that fails is a row in the list and does not stop the rest; a run that was
stopped goes on from the units that are done.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Final, Literal, cast

import geopandas as gpd
import pandas as pd

from geo.atomic import alone
from geo.errors import InputError
from geo.memory import spare
from geo.sheets import fonts
from geo.sheets.dxf import DxfSettings
from geo.sheets.frames import Frame, sheet_frames, unit_frames
from geo.sheets.layout import LayoutSettings
from geo.sheets.manifest import KINDS, manifest, prove, sheet_layer, write_manifest
from geo.sheets.overview import write_overview
from geo.sheets.painter import Painting, Photos
from geo.sheets.unit import (
    FORMATS,
    Format,
    Job,
    Record,
    Source,
    Task,
    file_stem,
    forget,
    identity,
    load_record,
    make_unit,
    quoted,
    record_path,
)
from geo.workers import Tell, cores, spread

__all__ = [
    "DxfSettings",
    "LayoutSettings",
    "Painting",
    "SheetSettings",
    "SheetsOutcome",
    "formats",
    "make_sheets",
]

By = Literal["group", "village", "sheet"]

TITLES: Final[dict[By, str]] = {"group": "按组", "village": "按村", "sheet": "按图幅"}
PAPERS: Final[dict[By, str]] = {"group": "A3", "village": "A1", "sheet": "A1"}

_SHEETS_FOLDER: Final = "标准图幅"
_LOCK: Final = "图件"
_VILLAGE_DIGITS: Final = 12  # a group's code begins with its village's
_NO_VILLAGE: Final = "村代码缺失"
_ADVICE: Final = "请减少 --jobs，加 --resume 接着运行"


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetSettings:
    """What decides a set beside the land."""

    scale: int = 2_000
    paper: str = ""  # empty: A3 for groups, A1 for villages and sheets
    overlap_mm: float = 10.0
    shapes: tuple[str, ...] = (
        "BLOCK",
        "STRIP",
        "SLIVER",
    )  # of the pieces shown; all of them are the ledger's
    measured_shapes: tuple[str, ...] = (
        "BLOCK",
    )  # that have boundary points: the others are noise or field banks
    decimals: int = 3  # of boundary points, metres
    dpi: float = 150.0  # of PNG
    dxf: DxfSettings = field(default_factory=DxfSettings)
    painting: Painting = field(default_factory=Painting)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SheetsOutcome:
    """What was made."""

    sheets: gpd.GeoDataFrame  # layer ``sheets``: every page of the set as far as it is made
    manifest: pd.DataFrame  # layer ``manifest``
    made: int  # units with a file made in this run
    kept: int  # units of this run whose files were there
    errors: pd.DataFrame  # rows of the manifest that failed
    problems: tuple[str, ...]  # what is wrong with the photos as a whole
    manifest_path: Path
    overview_path: Path
    seconds: float

    def summary(self) -> dict[str, object]:
        """Counts and places, for a machine."""
        sheets = self.sheets
        return {
            "sheets": len(sheets),
            "by_kind": {
                name: int(count) for name, count in sheets["sheet_kind"].value_counts().sort_index().items()
            },
            "pieces": int(sheets["home_count"].sum()),
            "area_m2": round(float(sheets["area_m2"].sum()), 2),
            "units_made": self.made,
            "units_kept": self.kept,
            "problems": list(self.problems),
            "errors": self.errors[["unit_code", "sheet_number", "message"]].fillna("").to_dict("records"),
            "manifest": str(self.manifest_path),
            "overview": str(self.overview_path),
            "seconds": round(self.seconds, 2),
        }

    def text(self) -> str:
        """The same in a few lines for a person."""
        told = self.summary()
        kinds = "，".join(
            f"{KINDS[name]} {count}" for name, count in dict(self.sheets["sheet_kind"].value_counts()).items()
        )
        lines = [
            f"图幅 {told['sheets']} 页（{kinds or '无'}），图块 {told['pieces']} 个，{told['area_m2']:.2f} 平方米",
            f"本次出图 {self.made} 个单元，沿用 {self.kept} 个，出错 {len(self.errors)} 处，用时 {self.seconds:.1f} 秒",
            f"目录 {self.manifest_path}",
            f"索引 {self.overview_path}",
        ]
        done = self.sheets[self.sheets["status"] == "完成"]
        if noted := int((done["message"].fillna("") != "").sum()):
            lines.insert(2, f"有 {noted} 页需要注意（如影像不全、字体缺字），见目录的“说明”列")
        return "\n".join(lines)


def formats(text: str) -> tuple[Format, ...]:
    """Formats of a list such as ``pdf,dxf``.

    Raises
    ------
    InputError
        If one of them is unknown, or there is none.
    """
    return _formats([name for part in text.split(",") if (name := part.strip().lower())])


def make_sheets(  # noqa: PLR0913 - what the command line offers, by name
    work: Source,
    out: str | os.PathLike[str],
    *,
    by: By = "group",
    formats: Sequence[Format] = ("pdf",),
    only: str | Sequence[str] | None = None,
    photo: Photos | None = None,
    jobs: int = 1,
    resume: bool = False,
    settings: SheetSettings | None = None,
    progress: Tell | None = None,
) -> SheetsOutcome:
    """Make the county's set of sheets.

    Parameters
    ----------
    work : Source
        An opened workspace.
    out : path
        Folder of the set; made if it is missing.
    by : "group", "village" or "sheet"
        Units of the set: tiles of each villager group, tiles of each village,
        or sheets of the national series.
    formats : sequence
        ``pdf`` a file a unit; ``geopdf`` and ``png`` a file a page; ``dxf`` a
        drawing a unit; ``shp`` a village's pieces as a shapefile, with tables
        of their boundary points.
    only : str or sequence of str, optional
        Codes: village (or county, township), group, sheet number, page or
        piece. Units that one of them names or lies in are made, whole.
    photo : path, or several, optional
        Orthophotos laid under the maps: rasters or folders of them, in any CRS.
    jobs : int
        Processes, 0 for every core; never changes a file.
    resume : bool
        Keep files that are as they were written, of land and settings that are the same.
    settings : SheetSettings, optional
    progress : callable, optional
        Called with units done, units in all and the name of the last.

    Returns
    -------
    SheetsOutcome
        ``sheets`` and ``manifest`` also hold units made before under the same settings.

    Raises
    ------
    InputError
        If a format or code is unknown, ``jobs`` is below 0, or the photo cannot be read.
    OutputError
        If the folder cannot be written, another run is writing it, or a worker was killed.
    MissingDatumError
        If no photo says where it lies.
    MissingToolError
        If a font is absent.
    BalanceError
        If pages do not list every piece once: a fault of this program.
    """
    if jobs < 0:
        raise InputError(f"进程数不能是 {jobs}；0 为全部核心")
    settings = settings or SheetSettings()
    target = Path(out)
    start = perf_counter()
    wanted = _formats(formats)
    fonts.files()  # without them no page can be drawn: say so before the first
    paint = settings.painting.on(photo, county_name=_county_name(work), crs=work.crs)
    pieces = _pieces(work, settings.shapes)
    frames = _frames(work, pieces, by, settings)
    prove(frames, pieces)
    villages = _villages(work, pieces)
    every = [*_units(frames, by, villages), *villages]
    asked = _asked(every, only, pieces)
    task = Task(
        source=work,
        balance=work.read("balance"),
        out=target,
        formats=wanted,
        shown=_condition(settings.shapes),
        measured=_condition(settings.measured_shapes),
        paint=paint,
        identity=identity(
            by, replace(settings, dpi=0.0), settings.dpi if "png" in wanted else 0, paint.identity
        ),
        dxf=settings.dxf,
        decimals=settings.decimals,
        dpi=settings.dpi,
        resume=resume,
    )
    with alone(target / _LOCK):  # of any kind: the tables of villages are common to all
        mine = [job for job in asked if _has_work(job, wanted)]
        made = dict(zip(map(_name, mine), _made(mine, task, cores(jobs), progress), strict=True))
        if only is None:
            forget(target, every)
        records = {_name(job): made.get(_name(job)) or load_record(record_path(target, job)) for job in every}
        told = [
            (job, records[_name(job)]) for job in every if records[_name(job)].files or _name(job) in made
        ]
        paged = [(job, record) for job, record in told if job.frames]
        tables = [(job, record) for job, record in told if not job.frames]
        lists = manifest(paged, tables, pieces)
        sheets = sheet_layer(paged, pieces, work.crs)
        list_path, overview_path = (target / f"{stem}_{TITLES[by]}" for stem in ("图幅目录", "索引图"))
        list_path, overview_path = list_path.with_suffix(".csv"), overview_path.with_suffix(".pdf")
        write_manifest(lists, list_path)
        write_overview(sheets, cast("gpd.GeoDataFrame", work.read("villages")), overview_path, by=by)
    fresh = sum(bool(record.made) for record in made.values())
    return SheetsOutcome(
        sheets=sheets,
        manifest=lists,
        made=fresh,
        kept=len(made) - fresh,
        errors=lists[(lists["status"] == "出错") & (lists["row_kind"] != "图块")].reset_index(drop=True),
        problems=paint.problems,
        manifest_path=list_path,
        overview_path=overview_path,
        seconds=perf_counter() - start,
    )


def _formats(formats: Sequence[str]) -> tuple[Format, ...]:
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise InputError(f"没有格式 {'、'.join(unknown) or '（空）'}；可用的格式：{','.join(FORMATS)}")
    return tuple(name for name in FORMATS if name in formats)


def _has_work(job: Job, formats: Sequence[Format]) -> bool:
    return any((name == "shp") == (not job.frames) for name in formats)


def _name(job: Job) -> tuple[str, str]:
    return job.kind, job.code


def _county_name(work: Source) -> str:
    names = work.read("balance", where="level = 'county'", columns=["name"])["name"].fillna("")
    return "、".join(filter(None, names))


def _condition(shapes: Sequence[str]) -> str:
    """Live pieces of these shapes, in SQL."""
    listed = ", ".join(map(quoted, shapes))
    return f"piece_shape IN ({listed}) AND coalesce(state, '') <> 'superseded'"


def _pieces(work: Source, shapes: Sequence[str]) -> gpd.GeoDataFrame:
    columns = [
        "piece_code",
        "piece_class",
        "piece_shape",
        "group_code",
        "village_code",
        "village_name",
        "area_m2",
    ]
    table = work.read("pieces", where=_condition(shapes), columns=columns)
    return cast("gpd.GeoDataFrame", table.sort_values("piece_code", kind="stable", ignore_index=True))


def _frames(work: Source, pieces: gpd.GeoDataFrame, by: By, settings: SheetSettings) -> list[Frame]:
    """Pages of the set. A unit of the county that has no piece gets a page that says so."""
    paper = settings.paper or PAPERS[by]
    if by == "sheet":
        return sheet_frames(pieces, scale=settings.scale, paper=paper, own_zone=True)
    if by == "village":
        villages = work.read("villages", columns=["village_code", "village_name"])
        return unit_frames(
            pieces, villages, by=by, scale=settings.scale, paper=paper, overlap_mm=settings.overlap_mm
        )
    groups = work.read("balance", where="level = 'group'", columns=["code", "name"])
    groups = groups.rename(columns={"code": "group_code", "name": "group_name"})
    villages = work.read("balance", where="level = 'village'", columns=["code", "name"]).fillna("")
    places = dict(zip(villages["code"], villages["name"], strict=True))
    groups["group_name"] = [
        name or _group_name(code, places)
        for code, name in zip(groups["group_code"].fillna(""), groups["group_name"].fillna(""), strict=True)
    ]
    bare = sorted(set(groups["group_code"].dropna()) - set(pieces["group_code"].dropna()))
    # Only where a group without pieces lies has to be known from its parcels.
    where = f"issuer_code IN ({', '.join(map(quoted, bare)) or 'NULL'})"
    parcels = cast("gpd.GeoDataFrame", work.read("parcels", where=where, columns=["issuer_code"]))
    return unit_frames(
        pieces, groups, parcels=parcels, scale=settings.scale, paper=paper, overlap_mm=settings.overlap_mm
    )


def _group_name(code: str, places: Mapping[str, str]) -> str:
    """What a group is called that no register names; number 00 is the village's own land."""
    village, number = places.get(code[:_VILLAGE_DIGITS], ""), code[_VILLAGE_DIGITS:]
    if not village or not number:
        return ""
    return f"{village}（{'村集体' if number == '00' else f'{number}组'}）"


def _units(frames: Sequence[Frame], by: By, villages: Sequence[Job]) -> Iterator[Job]:
    folders = {job.code: job.folder for job in villages}
    units: dict[str, list[Frame]] = {}
    for frame in frames:
        units.setdefault(frame.unit_code, []).append(frame)
    for code, pages in units.items():
        village = code[:_VILLAGE_DIGITS]
        yield Job(
            kind=by,
            code=code,
            name="" if by == "sheet" else pages[0].unit_name,
            folder=_SHEETS_FOLDER if by == "sheet" else folders.get(village) or _village_folder(village, ""),
            frames=tuple(pages),
        )


def _villages(work: Source, pieces: pd.DataFrame) -> list[Job]:
    """Tables of each village that has pieces or a border."""
    known = work.read("villages", columns=["village_code", "village_name"], geometry=False)
    rows = pd.concat([known, pieces[["village_code", "village_name"]]]).fillna("")
    rows = rows.assign(bare=rows["village_name"] == "").sort_values(
        ["village_code", "bare", "village_name"], kind="stable"
    )
    named = rows.drop_duplicates("village_code")
    return [
        Job(kind="tables", code=code, name=name, folder=_village_folder(code, name))
        for code, name in zip(named["village_code"], named["village_name"], strict=True)
    ]


def _village_folder(code: str, name: str) -> str:
    return file_stem(f"{code}{name}") if code.strip("0") else _NO_VILLAGE


def _asked(jobs: Sequence[Job], only: str | Sequence[str] | None, pieces: pd.DataFrame) -> list[Job]:
    """Units that are to be made: all, or those that a code names."""
    if only is None:
        return list(jobs)
    codes = [only] if isinstance(only, str) else list(only)
    chosen: set[tuple[str, str]] = set()
    for code in dict.fromkeys(code.strip() for code in codes):
        found = {_name(job) for job in jobs if code and _names(job, code, pieces)}
        if not found:
            raise InputError(
                f"没有 {code or '（空）'} 的图幅；--only 可用县、乡镇、村、组代码，图号，或图块编号"
            )
        chosen |= found
    return [job for job in jobs if _name(job) in chosen]


def _names(job: Job, code: str, pieces: pd.DataFrame) -> bool:
    """Whether a code means a unit: its own, that of a place it lies in, one of its pages or pieces."""
    if not job.frames:
        mine = pieces["village_code"] == job.code
        inside = mine & (pieces["group_code"].str.startswith(code) | (pieces["piece_code"] == code))
        return (code.isdigit() and job.code.startswith(code)) or bool(inside.any())
    if code in {job.code, *(frame.number for frame in job.frames), *(frame.key for frame in job.frames)}:
        return True
    held = {piece for frame in job.frames for piece in frame.piece_codes}
    if code in held:
        return True
    if job.kind != "sheet":
        return code.isdigit() and (job.code.startswith(code) or any(piece.startswith(code) for piece in held))
    return code.isdigit() and any(piece.startswith(code) for piece in held)


def _made(jobs: Sequence[Job], task: Task, workers: int, progress: Tell | None) -> list[Record]:
    """Records of units, in their order."""
    return spread(
        make_unit, jobs, task, workers=workers, tell=progress, name=_title, begin=spare, advice=_ADVICE
    )


def _title(job: Job) -> str:
    return job.name or job.code
