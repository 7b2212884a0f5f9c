"""The command line: files and arguments to the functions of geo, results to the screen.

Exit status: 0 done, 1 done with findings of severity error, 2 wrong use or
unreadable input. Results go to stdout, progress to stderr. Each command
imports what it needs: help comes at once, and the processes of ``sheets``,
which import this module too, hold no more than drawing takes.
"""

import json
import os
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from geo import grid_cli
from geo.errors import InputError
from geo.terminal import WITH_ERRORS, AsJson, WorkspacePath, bar, plainly, screen

if TYPE_CHECKING:
    import pandas as pd

    from geo.pipeline import Inputs, Outcome
    from geo.reconcile import Settings
    from geo.reconcile.align import AlignSettings

app = typer.Typer(
    help="套图：三调图斑套合确权地块，查清未确权耕地，面积平衡、编号稳定、事由可查。",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

app.add_typer(grid_cli.app, name="grids")

SURVEY_HELP: Final = "三调数据：DLTB 文件（shp/gpkg/gdb/parquet/zip）或其文件夹"
PARCELS_HELP: Final = "确权数据：DK 文件，或成果文件夹（矢量数据/、权属数据/）"
Survey = Annotated[Path, typer.Option(help=SURVEY_HELP)]
Parcels = Annotated[Path, typer.Option(help=PARCELS_HELP)]
SurveyPath = Annotated[Path, typer.Argument(help=SURVEY_HELP)]
ParcelsPath = Annotated[Path, typer.Argument(help=PARCELS_HELP)]
Rights = Annotated[
    Path | None, typer.Option(help="权属数据库（.mdb/.accdb）或表格；成果文件夹内的可自动找到")
]
Villages = Annotated[Path | None, typer.Option(help="村级调查区 CJDCQ；三调文件夹内的可自动找到")]
Groups = Annotated[Path | None, typer.Option(help="组级区域 ZJQY")]
Baseline = Annotated[Path | None, typer.Option(help="基期调查（二调 DLTB），用于区分未确权地与新增地")]
SurveyCrs = Annotated[
    str | None, typer.Option("--survey-crs", help="三调坐标系（如 EPSG:4526），文件未注明时用")
]
ParcelsCrs = Annotated[str | None, typer.Option("--parcels-crs", help="确权坐标系，文件未注明时用")]
BaselineCrs = Annotated[str | None, typer.Option("--baseline-crs", help="基期坐标系，文件未注明时用")]
Datum = Annotated[
    Path | None,
    typer.Option("--datum", help="西安80、北京54 到 CGCS2000 的转换：参数 .toml 或控制点 .csv"),
]
Align = Annotated[
    str,
    typer.Option(
        "--align",
        help="整体偏移：auto 自动判断并改正，none 不判断，或偏移表 .csv（逐村决定）",
        metavar="auto|none|FILE",
    ),
]
AcceptShifts = Annotated[
    bool, typer.Option("--accept-shifts", help="超过 10 米的整体偏移也予采用，不再逐村确认")
]
Personal = Annotated[bool, typer.Option("--personal", help="读取个人信息列（默认不读）")]
Jobs = Annotated[int, typer.Option(min=0, help="线程数，0 为全部核心")]


class Units(StrEnum):
    """What a set of sheets is cut by."""

    group = "group"
    village = "village"
    sheet = "sheet"


class DxfKind(StrEnum):
    """Version of the drawing."""

    R2004 = "R2004"
    R2010 = "R2010"


def main() -> None:
    """Run the command; a GeoError becomes one line and status 2."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    app()


@app.command()
@plainly
def demo(out: Annotated[Path, typer.Option(help="结果文件夹")] = Path("out/demo")) -> None:
    """用内置样例县走完全程：造数据、套合、划网格、台账、名册、地图。"""
    from geo import ledger, workspace
    from geo.grid_cli import summary as grid_summary
    from geo.grid_cli import tell_of_first_use, text
    from geo.grid_pipeline import GridInputs, partition_files
    from geo.grids import GridSettings
    from geo.reconcile import Settings
    from geo.roster import write_roster
    from geo.sample import SampleSettings, county, deliver

    screen.print("1/5 生成样例县（3 个村）…")
    deliver(county(SampleSettings.small()), out / "样例县")
    sample = out / "样例县"
    screen.print("2/5 套合比对…")
    outcome = _reconciled(
        _sample_inputs(sample), out / "county.gpkg", Settings(), resume=False, personal=False
    )
    screen.print("3/5 按户数划网格…")
    tell_of_first_use()
    with bar("划网格") as progress:
        inputs = GridInputs(households=sample / "住户", survey=sample / "三调")
        grids = partition_files(
            outcome.out, inputs, settings=GridSettings(budget="fast"), jobs=1, progress=progress
        )
    screen.print("4/5 写台账和网格名册…")
    opened = workspace.open(outcome.out)
    books = ledger.write_ledger(opened, out / "台账")
    rosters = write_roster(opened, out / "网格名册")
    screen.print("5/5 画地图…")
    _draw({layer: opened.read(layer) for layer in opened.layers}, out / "map.html")
    print(_summary_text(outcome))
    print(text(grids.grid_villages, grid_summary(grids)))
    print(f"样例数据  {sample}")
    print(f"成果      {outcome.out}（可在 QGIS 中打开）")
    print(f"台账      {out / '台账'}（{len(books)} 个 Excel 文件）")
    print(f"网格名册  {out / '网格名册'}（{len(rosters)} 个 Excel 文件）")
    print(f"地图      {out / 'map.html'}（断网可用，用浏览器打开）")


def _sample_inputs(folder: Path) -> "Inputs":
    """Inputs of a delivered sample county."""
    from geo.pipeline import Inputs

    (held,) = [path.parent for path in folder.glob("*/矢量数据")]
    return Inputs(survey=folder / "三调", parcels=held, baseline=folder / "二调" / "DLTB.shp")


@app.command()
@plainly
def sample(
    out: Annotated[Path, typer.Option(help="输出文件夹")],
    villages: Annotated[int, typer.Option(min=1, max=500, help="村数")] = 3,
    seed: Annotated[int, typer.Option(help="随机种子")] = 1,
    shift_m: Annotated[float, typer.Option("--shift-m", help="其中一村的整体偏移（米）")] = 0.0,
    messy: Annotated[bool, typer.Option("--messy", help="掺入真实资料常见的毛病")] = False,
    jobs: Jobs = 0,
) -> None:
    """生成已知答案的样例县，按国家标准的格式交付。"""
    from geo.sample import SampleSettings, county, deliver

    settings = SampleSettings(villages=villages, seed=seed, shift_m=shift_m, messy=messy)
    made = county(settings, jobs=jobs)
    deliver(made, out)
    print(
        f"{out}：{villages} 个村，{len(made.survey)} 个图斑，{len(made.parcels)} 个地块，"
        f"{len(made.houses)} 行房屋，{len(made.drawn_grids)} 个现状网格"
    )


@app.command()
@plainly
def check(
    survey: SurveyPath,
    parcels: ParcelsPath,
    rights: Rights = None,
    villages: Villages = None,
    groups: Groups = None,
    baseline: Baseline = None,
    survey_crs: SurveyCrs = None,
    parcels_crs: ParcelsCrs = None,
    baseline_crs: BaselineCrs = None,
    datum: Datum = None,
    align: Align = "auto",
    out: Annotated[Path | None, typer.Option(help="问题清单 CSV")] = None,
    as_json: AsJson = False,
) -> None:
    """只检查数据，列出问题清单。"""
    from geo import ledger
    from geo import report as reports
    from geo.findings import gather
    from geo.pipeline import Inputs, read_layers
    from geo.reconcile.check import check as run_checks
    from geo.reconcile.sources import prepared

    inputs = Inputs(
        survey=survey,
        parcels=parcels,
        rights=rights,
        villages=villages,
        groups=groups,
        baseline=baseline,
        survey_crs=survey_crs,
        parcels_crs=parcels_crs,
        baseline_crs=baseline_crs,
        datum=datum,
    )
    layers = read_layers(inputs)
    checked = run_checks(prepared(layers.sources()), aligning=_aligning(align))
    table = gather(
        [*(r.findings for r in layers.readings().values()), *layers.chosen, checked.findings],
        layers.survey.table.crs,
    )
    if out is not None:
        ledger.write_findings(table, out)
    counts = reports.finding_counts(table)
    if as_json:
        print(counts.to_json(orient="records", force_ascii=False))
    else:
        for severity, title, count in zip(counts["severity"], counts["title"], counts["count"], strict=True):
            print(f"{_SEVERITY[severity]}  {count:>6}  {title}")
    raise typer.Exit(WITH_ERRORS if table["severity"].eq("error").any() else 0)


_SEVERITY: Final = {"error": "错误", "warning": "警告", "info": "提示"}


@app.command()
@plainly
def reconcile(
    survey: Survey,
    parcels: Parcels,
    out: Annotated[
        str, typer.Option(help="成果文件 .gpkg，或 postgresql:// 数据库地址；已有成果的编号会保留")
    ],
    rights: Rights = None,
    villages: Villages = None,
    groups: Groups = None,
    baseline: Baseline = None,
    survey_crs: SurveyCrs = None,
    parcels_crs: ParcelsCrs = None,
    baseline_crs: BaselineCrs = None,
    datum: Datum = None,
    align: Align = "auto",
    accept_shifts: AcceptShifts = False,
    jobs: Jobs = 0,
    resume: Annotated[bool, typer.Option("--resume", help="接着上次中断处继续")] = False,
    personal: Personal = False,
    as_json: AsJson = False,
) -> None:
    """主任务：三调套合确权，得到面积平衡、编号稳定的未确权耕地清单。"""
    from geo.pipeline import Inputs
    from geo.reconcile import Settings

    inputs = Inputs(
        survey=survey,
        parcels=parcels,
        rights=rights,
        villages=villages,
        groups=groups,
        baseline=baseline,
        survey_crs=survey_crs,
        parcels_crs=parcels_crs,
        baseline_crs=baseline_crs,
        datum=datum,
    )
    settings = Settings(jobs=jobs, align=_aligning(align, accept_far=accept_shifts))
    outcome = _reconciled(inputs, out, settings, resume=resume, personal=personal)
    print(json.dumps(_summary(outcome), ensure_ascii=False) if as_json else _summary_text(outcome))
    raise typer.Exit(WITH_ERRORS if outcome.result.findings["severity"].eq("error").any() else 0)


def _aligning(align: str, *, accept_far: bool = False) -> "AlignSettings":
    """What ``--align`` says: a word, or a file of decisions."""
    from geo.exchange.shift_file import read_shifts
    from geo.reconcile.align import AlignSettings

    if align in {"auto", "none"}:
        return AlignSettings(mode="none" if align == "none" else "auto", accept_far=accept_far)
    if not Path(align).is_file():
        raise InputError(f"--align 应为 auto、none 或偏移表文件；没有文件 {align}")
    return AlignSettings(given=read_shifts(align), accept_far=accept_far)


def _reconciled(
    inputs: "Inputs", out: "str | Path", settings: "Settings", *, resume: bool, personal: bool
) -> "Outcome":
    """Run the main job with a progress bar on the screen."""
    from geo import workspace
    from geo.pipeline import reconcile_files

    if not workspace.is_database(out) and Path(out).suffix.lower() != ".gpkg":
        raise InputError(f"成果文件 {out} 应以 .gpkg 结尾")
    with bar("套合") as progress:
        return reconcile_files(
            inputs,
            out,
            settings=settings,
            resume=resume,
            personal=personal,
            progress=progress,
            told=screen.print,
        )


def _summary(outcome: "Outcome") -> dict[str, Any]:
    """Totals of a run, from stored m2."""
    from geo import workspace

    result = outcome.result
    county_row = result.balance[result.balance["level"] == "county"]
    blocks = result.pieces[result.pieces["piece_shape"] == "BLOCK"]
    return {
        "run_id": outcome.run_id,
        "workspace": workspace.shown(outcome.out),
        "patches": len(result.patches),
        "parcels": len(result.parcels),
        "pieces": len(result.pieces),
        "balance": county_row.drop(columns=["level"]).to_dict("records"),
        "blocks": {
            name: {"count": len(rows), "area_m2": round(float(rows["area_m2"].sum()), 2)}
            for name, rows in blocks.groupby("piece_class")
        },
        "findings": {name: int(count) for name, count in result.findings["severity"].value_counts().items()},
        "seconds": {name: round(value, 2) for name, value in outcome.seconds.items()},
    }


def _summary_text(outcome: "Outcome") -> str:
    from geo import report as reports
    from geo import workspace

    return reports.report_text(workspace.open(outcome.out), level="village")


def _draw(tables: Mapping[str, "pd.DataFrame"], path: Path) -> None:
    """Save the county's map under the county's name."""
    from geo import webmap

    balance = tables["balance"]
    names = balance.loc[balance["level"].eq("county"), "name"].fillna("")
    title = "、".join(filter(None, names)) + webmap.default_title(tables)
    webmap.save(webmap.county_map(tables, title=title), path)


@app.command("map")
@plainly
def map_(
    work: WorkspacePath,
    out: Annotated[Path, typer.Option(help="网页文件")] = Path("map.html"),
) -> None:
    """画一张断网可用的网页地图。"""
    from geo import workspace

    opened = workspace.open(work)
    tables = {layer: opened.read(layer) for layer in opened.layers}
    _draw(tables, out)
    print(out)


@app.command("ledger")
@plainly
def ledger_(
    work: WorkspacePath,
    out: Annotated[Path, typer.Option(help="输出文件夹")] = Path("台账"),
) -> None:
    """按村输出 Excel 台账，附面积平衡证明。"""
    from geo import ledger, workspace

    for path in ledger.write_ledger(workspace.open(work), out):
        print(path)


@app.command("sheets")
@plainly
def sheets_(
    work: WorkspacePath,
    out: Annotated[Path, typer.Option(help="输出文件夹")],
    by: Annotated[
        Units, typer.Option(help="分幅方式：group 按组（A3），village 按村（A1），sheet 按国家标准图幅（A1）")
    ] = Units.group,
    formats: Annotated[
        str, typer.Option("--format", help="格式，逗号分隔：pdf、geopdf、png、dxf、shp（含界址点成果表）")
    ] = "pdf",
    only: Annotated[
        list[str] | None, typer.Option(help="只出这些：县、乡镇、村、组代码，图号，或图块编号；可多次给出")
    ] = None,
    photo: Annotated[
        list[Path] | None, typer.Option(help="垫在图下的正射影像：文件或文件夹，任意坐标系；可多次给出")
    ] = None,
    paper: Annotated[str, typer.Option(help="纸张 A4、A3、A1、A0；默认按组 A3，其他 A1")] = "",
    scale: Annotated[int, typer.Option(min=100, help="比例尺分母")] = 2000,
    dpi: Annotated[float, typer.Option(min=30, max=600, help="PNG 分辨率")] = 150,
    dxf: Annotated[
        DxfKind, typer.Option(help="DXF 版本：R2004（GBK，通用）或 R2010（UTF-8）")
    ] = DxfKind.R2004,
    producer: Annotated[str, typer.Option(help="图廓所印测制单位")] = "",
    date: Annotated[str, typer.Option(help="图廓所印日期，如 2024年5月")] = "",
    survey_vintage: Annotated[str, typer.Option(help="图廓所印三调数据时点")] = "",
    parcels_vintage: Annotated[str, typer.Option(help="图廓所印确权数据时点")] = "",
    secrecy: Annotated[str, typer.Option(help="图廓所印密级")] = "内部使用",
    jobs: Annotated[int, typer.Option(min=0, help="进程数，0 为全部核心；不影响结果")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="保留已完成且未变的图，接着出其余的")] = False,
    as_json: AsJson = False,
) -> None:
    """按组、村或标准图幅输出 1:2000 图件，附图幅目录和索引图。"""
    from geo import memory, workspace
    from geo.sheets import run as sheets

    memory.spare()
    opened = workspace.open(work)
    margin = sheets.LayoutSettings(
        producer=producer,
        date=date,
        survey_vintage=survey_vintage,
        parcels_vintage=parcels_vintage,
        secrecy=secrecy,
    )
    with bar("出图") as progress:
        outcome = sheets.make_sheets(
            opened,
            out,
            by=by.value,
            formats=sheets.formats(formats),
            only=only or None,
            photo=photo or None,
            jobs=jobs,
            resume=resume,
            settings=sheets.SheetSettings(
                paper=paper,
                scale=scale,
                dpi=dpi,
                dxf=sheets.DxfSettings(version=dxf.value),
                painting=sheets.Painting(layout=margin),
            ),
            progress=progress,
        )
    for line in outcome.problems:
        sys.stderr.write(f"提示 {line}\n")
    for row in outcome.errors.to_dict("records"):
        sys.stderr.write(f"出错 {row['sheet_number'] or row['unit_code']}：{row['message']}\n")
    print(json.dumps(outcome.summary(), ensure_ascii=False) if as_json else outcome.text())
    # Last: the set stands even where the workspace may only be read.
    workspace.amend(work, {"sheets": outcome.sheets})
    raise typer.Exit(WITH_ERRORS if len(outcome.errors) else 0)


@app.command()
@plainly
def report(work: WorkspacePath, as_json: AsJson = False) -> None:
    """县、乡、村、组汇总表，并复核面积平衡。"""
    from geo import report as reports
    from geo import workspace

    opened = workspace.open(work)
    print(reports.report_json(opened) if as_json else reports.report_text(opened))


@app.command("extension")
@plainly
def extension_(
    work: WorkspacePath,
    out: Annotated[
        Path | None, typer.Option(help="输出文件夹：延包核查.xlsx 和 .json；不给则只在屏幕上列出")
    ] = None,
    area_share: Annotated[
        float, typer.Option("--area-share", min=0, max=1, help="实测与合同面积之差超过合同面积的多少列出")
    ] = 0.05,
    reserve_share: Annotated[
        float, typer.Option("--reserve-share", min=0, max=1, help="机动地占耕地的上限")
    ] = 0.05,
    farmland_share: Annotated[
        float, typer.Option("--farmland-share", min=0, max=1, help="耕地不超过地块的多少即为无耕地地块")
    ] = 0.05,
    as_json: AsJson = False,
) -> None:
    """延包核查：无耕地、重叠、跨村地块，合同与实测面积之差，机动地占比，户均承包地。"""
    from geo import extension, extension_book, workspace

    settings = extension.ExtensionSettings(
        area_share=area_share, reserve_share=reserve_share, farmland_share=farmland_share
    )
    result = extension.extension(workspace.open(work), settings)
    print(extension_book.extension_json(result) if as_json else extension_book.extension_text(result))
    for path in extension_book.write_extension(result, out) if out is not None else ():
        screen.print(str(path))


@app.command()
@plainly
def serve(
    work: Annotated[str, typer.Argument(help="成果文件 .gpkg，或 postgresql:// 地址")],
    host: Annotated[
        str, typer.Option(help="监听地址；内网其他机器要用时给本机的内网地址或 0.0.0.0")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="端口，0 为任一空闲端口")] = 8000,
    open_access: Annotated[
        bool, typer.Option("--open", help="免登录，只限一人一机：凡从本机来的都作管理员")
    ] = False,
    folder: Annotated[Path | None, typer.Option(help="成果在 PostGIS 时，附件和任务文件放在何处")] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option("--allow-host", help="只答复这些主机名；可多次给出，默认不限")
    ] = None,
    proxy: Annotated[
        list[str] | None, typer.Option("--proxy", help="可信的反向代理地址或网段；可多次给出")
    ] = None,
    inputs: Annotated[
        Path | None, typer.Option("--inputs", help="服务器数据目录：网页上发起的任务可从中选用数据")
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, max=16, help="同时运行的任务数")] = 1,
    photo: Annotated[
        list[Path] | None, typer.Option(help="正射影像文件或文件夹，作地图底图；可多次给出")
    ] = None,
    tianditu: Annotated[
        str, typer.Option(help="天地图或本县节点的地址；密钥放环境变量 TAOTU_TIANDITU_KEY，不出本机")
    ] = "",
) -> None:
    """在本机或内网提供地图与数据接口。"""
    from api.cli import serve as stand
    from api.limits import JobSettings
    from api.settings import Settings

    settings = Settings(
        open_access=open_access,
        host=host,
        folder=folder,
        allowed_hosts=tuple(allow_host or ()),
        proxies=tuple(proxy or ()),
        jobs=JobSettings(workers=workers, inputs=inputs),
        orthophoto=_there(photo or []),
        tianditu_url=tianditu,
        tianditu_key=os.environ.get("TAOTU_TIANDITU_KEY", ""),
    )
    stand(work, port=port, settings=settings)


def _there(photos: list[Path]) -> tuple[Path, ...]:
    """Photos that were named, every one of them there."""
    if lost := [path for path in photos if not path.exists()]:
        raise InputError(f"没有影像 {lost[0]}：请核对路径")
    return tuple(photos)


# Groups of the service: handed over whole, so that no other command loads it.
_HANDED_OVER: Final = {
    "ignore_unknown_options": True,
    "allow_extra_args": True,
    "allow_interspersed_args": False,
    "help_option_names": [],
}


@app.command("user", context_settings=_HANDED_OVER)
def user_(ctx: typer.Context) -> None:
    """服务的用户：add、list、change、password。"""
    from api import cli

    cli.users(ctx.args, prog_name="taotu user")


@app.command("key", context_settings=_HANDED_OVER)
def key_(ctx: typer.Context) -> None:
    """服务的密钥：new、list、end。"""
    from api import cli

    cli.keys(ctx.args, prog_name="taotu key")


@app.command("audit", context_settings=_HANDED_OVER)
def audit_(ctx: typer.Context) -> None:
    """审计记录：verify、show。"""
    from api import cli

    cli.audits(ctx.args, prog_name="taotu audit")


if __name__ == "__main__":
    main()
