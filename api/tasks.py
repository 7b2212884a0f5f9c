"""What each process does: inputs of a task to functions of `geo`, results into the job's folder.

Each function imports what it needs: a process holds no more than its job takes.
"""
# ruff: noqa: PLC0415

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from api.task import RESULT, WORK_COPY, Made, Task, file_part
from geo.errors import InputError

_VILLAGE_DIGITS: Final = 12
_TILE_ZOOMS: Final = {"parcels": 13, "pieces": 12, "patches": 12, "grids": 10}


def reconcile(task: Task) -> Made:
    """The main job, into ``result.gpkg``; villages that an interrupted attempt has done are not done again."""
    from geo.pipeline import reconcile_files
    from geo.reconcile import Settings
    from geo.reconcile.align import AlignSettings

    told = task.teller
    told.stage("准备工作区", 0, 2)
    target = task.folder / RESULT
    snapshot(task.url, target, ("pieces", "code_register", "runs", "findings", "villages"))
    stages = {"读取数据": (2, 15), "套合比对": (15, 88), "写入成果": (88, 95)}

    def say(line: str) -> None:
        step = line.strip("…")
        told.stage(step, *stages.get(step, (told.percent, told.percent)))

    align = AlignSettings(
        mode=task.inputs["align"], accept_far=task.inputs["accept_shifts"], given=_given_shifts(task)
    )
    outcome = reconcile_files(
        _inputs(task),
        target,
        settings=Settings(jobs=task.threads, align=align),
        resume=True,
        progress=told.tell,
        told=say,
    )
    result = outcome.result
    _write_shifts(task, result.shifts)
    blocks = result.pieces[result.pieces["piece_shape"].eq("BLOCK")]
    area_m2 = round(float(blocks["area_m2"].sum()), 2)
    county = result.balance[result.balance["level"].eq("county")].drop(columns=["level"])
    numbers = {
        "run_id": outcome.run_id,
        "patches": len(result.patches),
        "parcels": len(result.parcels),
        "pieces": len(result.pieces),
        "balance": json.loads(county.to_json(orient="records")),
        "blocks": {
            str(name): {"count": len(rows), "area_m2": round(float(rows["area_m2"].sum()), 2)}
            for name, rows in blocks.groupby("piece_class")
        },
        "findings": _counts(result.findings["severity"]),
        "seconds": {name: round(value, 2) for name, value in outcome.seconds.items()},
    }
    message = f"剩余图块 {len(blocks)} 块，{area_m2 * 3 / 2000:.2f} 亩"
    return Made(numbers=numbers, message=message, publish=_layers(target))


def align(task: Task) -> Made:
    """Shifts alone, with parcels before and after: to be looked at and decided on, not published."""
    from geo import workspace
    from geo.pipeline import read_layers
    from geo.reconcile.check import mended
    from geo.reconcile.sources import prepared

    told = task.teller
    told.stage("读取数据", 0, 30)
    layers = read_layers(_inputs(task))
    told.stage("判断偏移", 30, 85)
    from geo.reconcile.align import AlignSettings

    aligning = AlignSettings(given=_given_shifts(task))
    checked = mended(prepared(layers.sources()), aligning, stop=False, jobs=task.threads)
    told.stage("写入成果", 85, 99)
    found = checked.alignment
    _write_shifts(task, found.shifts)
    tables = {"parcels": checked.sources.parcels, "parcels_original": found.original, "shifts": found.shifts}
    if checked.sources.villages is not None:
        tables["villages"] = checked.sources.villages
    workspace.write(task.out / "偏移试算.gpkg", tables, crs=layers.survey.table.crs)
    moved = int(found.shifts["accepted"].sum())
    numbers = {
        "villages": len(found.shifts),
        "accepted": moved,
        "confidence": _counts(found.shifts["confidence"]),
    }
    return Made(numbers=numbers, message=f"{len(found.shifts)} 个村（批次），改正 {moved} 个")


def sheets(task: Task) -> Made:
    """The set of sheets in the job's folder; the layer ``sheets`` of a whole set is published."""
    from geo import memory

    memory.spare()
    task.teller.stage("准备工作区", 0, 5)
    with as_it_stands(task) as work:
        return _sheets(task, work)


def _sheets(task: Task, work: Any) -> Made:  # noqa: ANN401 - a workspace
    from geo import workspace
    from geo.sheets import run

    told, asked = task.teller, task.inputs
    only = list(asked["only"]) or (None if task.villages is None else sorted(_present(work, task.villages)))
    margin = {name: asked[name] for name in _MARGIN}
    told.stage("出图", 5, 95)
    outcome = run.make_sheets(
        work,
        task.out,
        by=asked["by"],
        formats=run.formats(",".join(asked["formats"])),
        only=only,
        photo=[Path(path) for path in asked["photo"]] or None,
        jobs=task.threads,
        resume=True,
        settings=run.SheetSettings(
            paper=asked["paper"],
            scale=asked["scale"],
            dpi=asked["dpi"],
            dxf=run.DxfSettings(version=asked["dxf"]),
            painting=run.Painting(layout=run.LayoutSettings(**margin)),
        ),
        progress=told.tell,
    )
    told.stage("写入图幅目录", 95, 99)
    publish: tuple[str, ...] = ()
    if only is None:
        workspace.write(task.folder / RESULT, {"sheets": outcome.sheets}, crs=work.crs)
        publish = ("sheets",)
    numbers = {
        name: value for name, value in outcome.summary().items() if name not in {"manifest", "overview"}
    }
    message = f"图幅 {len(outcome.sheets)} 页"
    if len(outcome.errors):
        message += f"，出错 {len(outcome.errors)} 处，见图幅目录"
    return Made(numbers=numbers, message=message, publish=publish)


_MARGIN: Final = ("producer", "date", "survey_vintage", "parcels_vintage", "secrecy")


def grids(task: Task) -> Made:
    """Grids, into ``result.gpkg``."""
    from geo.grid_cli import summary
    from geo.grid_pipeline import GridInputs, adjust_files, partition_files
    from geo.grids import GridSettings, profile_of, ready
    from geo.schema import GRID_LAYERS

    told, asked = task.teller, task.inputs
    told.stage("准备工作区", 0, 5)
    target = task.folder / RESULT
    bare = snapshot(task.url, target, ("villages", "findings", "runs"))
    inputs = GridInputs(
        **{name: task.path(name) for name in ("households", "villages", "survey", "groups", "exclusive")},
        **{name: task.path(name) for name in ("parcels", "grids")},
        lines=tuple((line["kind"], Path(line["file"])) for line in asked["lines"]),
        households_crs=asked["households_crs"],
    )
    adjusting = asked["work"] == "adjust"
    settings = GridSettings(
        profile=profile_of(asked["profile"] or ("rural20" if adjusting else "rural")),
        micro=profile_of(asked["micro"]) if asked["micro"] else None,
        budget=asked["budget"],
        seed=asked["seed"],
        moved_price=asked["price"],
    )
    first = "" if ready.is_compiled() else "（首次使用，正在为本机编译划分程序）"
    told.stage(("调整网格" if adjusting else "划网格") + first, 5, 95)
    files = adjust_files if adjusting else partition_files
    result = files(
        target, inputs, settings=settings, only=asked["only"], jobs=task.threads, progress=told.tell
    )
    numbers = summary(result)
    message = f"{numbers['grids']} 个网格：合格 {numbers['in_band']}，不足 {numbers['under']}，超出 {numbers['over']}"
    villages = ("villages",) if bare else ()  # of grids alone: villages are those they were drawn in
    return Made(numbers=numbers, message=message, publish=(*GRID_LAYERS, "findings", "runs", *villages))


def tiles(task: Task) -> Made:
    """Stored tiles of layers, each in a file named by layer and edition."""
    from geo import workspace
    from geo.tiles import write_pmtiles

    work = workspace.open(task.url)
    wanted = [name for name in task.inputs["layers"] if name in work.layers]
    made: dict[str, dict[str, Any]] = {}
    sizes: list[int] = []
    for at, name in enumerate(wanted):
        start, end = 99 * at / len(wanted), 99 * (at + 1) / len(wanted)
        task.teller.stage(f"读取{_layer_title(name)}", start, start)
        table = work.read(name)
        if table.empty:
            continue
        task.teller.stage(f"{_layer_title(name)}瓦片", start, end)
        edition = task.editions.get(name, "")
        path = task.tiles / f"{name}-{file_part(edition)}.pmtiles"
        write_pmtiles(path, {name: table}, min_zoom=_TILE_ZOOMS[name], edition=edition, tell=task.teller.tell)  # type: ignore[dict-item] # a layer that has tiles has shapes
        sizes.append(path.stat().st_size)
        made[name] = {"features": len(table), "bytes": sizes[-1], "edition": edition}
        for old in task.tiles.glob(f"{name}-*.pmtiles"):
            if old != path:
                old.unlink(missing_ok=True)  # whoever has it open reads on
    total = sum(sizes)
    return Made(numbers={"layers": made}, message=f"{len(made)} 个图层，{total / 1e6:.1f} MB")


def report(task: Task) -> Made:
    """Areas, classes and findings as JSON, text and workbook; of some villages, their rows alone."""
    from geo import report as reports
    from geo.atomic import whole_file

    task.teller.stage("汇总", 0, 60)
    with as_it_stands(task) as work:
        tables = reports.read_tables(work)
    chosen = frozenset(task.inputs["only"]) or task.villages
    if chosen is not None:
        tables = _of_villages(tables, chosen)
    result = reports.report(tables)
    task.teller.stage("写报告", 60, 99)
    for name, text in (
        ("汇总.json", reports.report_json(result)),
        ("汇总.txt", reports.report_text(result)),
    ):
        with whole_file(task.out / name) as scratch:
            scratch.write_text(text, encoding="utf-8")
    _report_book(result, task.out / "汇总.xlsx")
    numbers = {
        "run_id": result.run_id,
        "areas": json.loads(result.areas.to_json(orient="records", double_precision=6)),
        "classes": json.loads(result.classes.to_json(orient="records", double_precision=6)),
        "findings": json.loads(result.findings.to_json(orient="records")),
    }
    return Made(numbers=numbers, message=f"{result.title}：面积平衡逐行核对无误")


def ledger(task: Task) -> Made:
    """The ledger, one workbook a village."""
    from geo.ledger import write_ledger

    task.teller.stage("写台账", 0, 99)
    with as_it_stands(task) as work:
        written = write_ledger(work, task.out)
    return Made(numbers={"books": len(written)}, message=f"{len(written)} 个 Excel 文件")


WORK: Final[dict[str, Callable[[Task], Made]]] = {
    "reconcile": reconcile,
    "align": align,
    "sheets": sheets,
    "grids": grids,
    "tiles": tiles,
    "report": report,
    "ledger": ledger,
}


def snapshot(url: str, target: Path, layers: Iterable[str]) -> bool:
    """Layers of the workspace that a run goes on from, and its grids, in a file of its own.

    Returns
    -------
    bool
        Whether the workspace has no patches: it is one of grids alone.
    """
    from geo import workspace
    from geo.schema import GRID_LAYERS

    live = workspace.open(url)
    wanted = [name for name in (*layers, *GRID_LAYERS) if name in live.layers]
    target.unlink(missing_ok=True)  # of an attempt before: what it made rests on a workspace of then
    workspace.write(target, {name: live.read(name) for name in wanted}, crs=live.crs)
    return not len(live.read("patches", columns=["patch_code"], geometry=False))


@contextmanager
def as_it_stands(task: Task) -> Iterator[Any]:
    """The whole workspace as of one moment: what is published or decided meanwhile does not mix in."""
    from geo import workspace
    from geo.store import open_store

    copy = task.folder / WORK_COPY
    with open_store(task.url) as store:
        store.backup(copy)
    try:
        yield workspace.open(copy)
    finally:
        copy.unlink(missing_ok=True)


_HELPFUL: Final = ("rights", "villages", "groups", "baseline", "datum")
_SYSTEMS: Final = ("survey_crs", "parcels_crs", "baseline_crs")


def _inputs(task: Task) -> Any:  # noqa: ANN401 - imported where it is needed
    from geo.pipeline import Inputs

    paths: dict[str, Any] = {name: task.path(name) for name in _HELPFUL}
    systems: dict[str, Any] = {name: task.inputs[name] for name in _SYSTEMS}
    survey, parcels = task.path("survey"), task.path("parcels")
    if survey is None or parcels is None:
        raise InputError("没有给出三调数据或确权数据")
    return Inputs(survey=survey, parcels=parcels, **paths, **systems)


def _given_shifts(task: Task) -> tuple[Any, ...]:
    from geo.exchange.shift_file import read_shifts

    path = task.path("shifts")
    return () if path is None else read_shifts(path)


def _write_shifts(task: Task, shifts: Any) -> None:  # noqa: ANN401 - a table
    from geo.exchange.shift_file import write_shifts

    if len(shifts):
        write_shifts(shifts, task.out / "偏移表.csv", decided=_given_shifts(task))


def _counts(values: Any) -> dict[str, int]:  # noqa: ANN401 - a column
    return {str(name): int(count) for name, count in values.value_counts().sort_index().items()}


def _layers(target: Path) -> tuple[str, ...]:
    """Layers of a run that go into the workspace: all but what people wrote, and what the store keeps itself."""
    from geo import workspace
    from geo.schema import RUN_LAYERS

    return tuple(name for name in workspace.open(target).layers if name in RUN_LAYERS and name != "meta")


def _present(work: Any, villages: frozenset[str]) -> set[str]:  # noqa: ANN401 - a workspace
    """Those of the villages that the county has."""
    held = set(work.read("pieces", columns=["village_code"], geometry=False)["village_code"].dropna())
    held |= set(work.read("villages", columns=["village_code"], geometry=False)["village_code"].dropna())
    if not held & villages:
        raise InputError("所辖各村在工作区里没有图块，也没有村界，无图可出")
    return held & villages


def _layer_title(name: str) -> str:
    from geo.schema import LAYER_TITLES

    return LAYER_TITLES.get(name, name)


def _of_villages(tables: Mapping[str, Any], villages: frozenset[str]) -> dict[str, Any]:
    """Tables of a report with the rows of some villages and their groups alone."""
    out = dict(tables)
    for name in ("patches", "pieces", "findings", "shifts", "villages"):
        out[name] = tables[name][tables[name]["village_code"].isin(villages)]
    areas = tables["balance"]
    inside = areas["code"].fillna("").str[:_VILLAGE_DIGITS].isin(villages)
    out["balance"] = areas[areas["level"].isin(["village", "group"]) & inside]
    out["runs"] = tables["runs"][["run_id"]]  # inputs and settings of a run are the county's
    return out


def _report_book(result: Any, path: Path) -> None:  # noqa: ANN401 - a Report
    """The report's tables as a workbook."""
    from geo.report import LEVELS, SEVERITY_NAMES
    from geo.schema import titles
    from geo.standards import code_list
    from geo.workbook import Book, Column, save, write_table

    named = titles("balance")
    numbers = [name for name in result.areas.columns if name.endswith("_m2")]
    areas = result.areas.assign(level_name=result.areas["level"].map(LEVELS))
    classes = result.classes.assign(
        class_name=result.classes["piece_class"].map(code_list("piece_class")),
        shape_name=result.classes["piece_shape"].map(code_list("piece_shape")),
    )
    findings = result.findings.assign(severity_name=result.findings["severity"].map(SEVERITY_NAMES))
    area_columns = (
        Column(title="级别", width=8, source="level_name"),
        Column(title="代码", width=16, source="code"),
        Column(title="名称", width=18, source="name"),
        *(Column(title=f"{named[name]}㎡", width=14, source=name, kind="level") for name in numbers),
    )
    class_columns = (
        Column(title="分类", width=14, source="class_name"),
        Column(title="形状", width=10, source="shape_name"),
        Column(title="块数", width=8, source="count", kind="sum"),
        Column(title="面积㎡", width=14, source="area_m2", kind="area"),
        Column(title="净面积㎡", width=14, source="net_area_m2", kind="area"),
    )
    finding_columns = (
        Column(title="等级", width=8, source="severity_name"),
        Column(title="规则", width=44, source="title"),
        Column(title="条数", width=10, source="count", kind="sum"),
    )

    def fill(book: Book) -> None:
        unit = "面积为平方米"
        write_table(book, "面积平衡", area_columns, areas, title="面积平衡", note=unit)
        write_table(book, "剩余图块", class_columns, classes, title="剩余图块", note=unit)
        write_table(book, "问题清单", finding_columns, findings, title="问题清单", note="")

    save(path, fill)
