"""``taotu grids``: files and arguments to the functions of grids, results to the screen."""

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geo.errors import InputError
from geo.terminal import WITH_ERRORS, AsJson, WorkspacePath, bar, plainly, screen

if TYPE_CHECKING:
    import pandas as pd

    from geo.grid_pipeline import GridInputs
    from geo.grids import Grids, GridSettings

app = typer.Typer(
    help="网格：把村划成户数均衡、地块相连的网格，附最优性证明；对现有网格作户数变动最少的调整。",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


class Effort(StrEnum):
    """How long to search."""

    fast = "fast"
    standard = "standard"
    best = "best"


Houses = Annotated[
    Path | None,
    typer.Option("--households", help="房屋面、住户点或住户表（shp/gpkg/xlsx/csv）；可省，用工作区已有的"),
]
HousesCrs = Annotated[str | None, typer.Option("--households-crs", help="住户坐标系，文件未注明时用")]
Contracts = Annotated[
    Path | None, typer.Option("--parcels", help="确权成果文件夹：没有住户资料时，按承包方在其组内估计住处")
]
Land = Annotated[
    Path | None, typer.Option("--survey", help="三调 DLTB：道路、河流、地块边界作网格边界，宅基地作住处")
]
VillageAreas = Annotated[Path | None, typer.Option("--villages", help="村级调查区 CJDCQ；工作区有村界时可省")]
GroupAreas = Annotated[Path | None, typer.Option("--groups", help="组级区域 ZJQY")]
Lines = Annotated[
    list[str] | None,
    typer.Option(
        "--line", help="边界线，如 --line 河流=河流.shp；种类：道路、村道、公路、铁路、河流、围墙；可多次给出"
    ),
]
Sites = Annotated[Path | None, typer.Option("--exclusive", help="专属网格（企业、学校、医院）的范围面")]
Norm = Annotated[
    str,
    typer.Option(
        "--profile",
        help="规模标准：rural（30-50 户）、rural20（20-50）、urban（60-120），或 下限-上限、下限/目标/上限",
    ),
]
Micro = Annotated[
    str,
    typer.Option("--micro", help="网格内再分微网格的标准：micro_rural、micro_urban 或 下限-上限；默认不分"),
]
Budget = Annotated[Effort, typer.Option(help="搜索档：fast 数秒一县，standard 附证明，best 更久")]
Seed = Annotated[int, typer.Option(help="随机种子；同一种子结果相同")]
Only = Annotated[list[str] | None, typer.Option(help="只做这些：县、乡镇或村代码；可多次给出")]
Pictures = Annotated[
    Path | None, typer.Option("--map", help="前后对照页（HTML）：每村两幅图和对照表，可离线打开、打印")
]
Processes = Annotated[int, typer.Option("--jobs", min=0, help="进程数，0 为全部核心；不影响结果")]


@app.command()
@plainly
def partition(
    work: WorkspacePath,
    households: Houses = None,
    villages: VillageAreas = None,
    survey: Land = None,
    groups: GroupAreas = None,
    line: Lines = None,
    exclusive: Sites = None,
    parcels: Contracts = None,
    profile: Norm = "rural",
    micro: Micro = "",
    budget: Budget = Effort.standard,
    seed: Seed = 0,
    only: Only = None,
    jobs: Processes = 0,
    households_crs: HousesCrs = None,
    as_json: AsJson = False,
) -> None:
    """把村划成网格；工作区没有时新建，已有网格的编号不变、不重用。"""
    from geo.grid_pipeline import partition_files

    inputs = _inputs(
        households=households,
        villages=villages,
        survey=survey,
        groups=groups,
        exclusive=exclusive,
        parcels=parcels,
        lines=line or (),
        households_crs=households_crs,
    )
    settings = _settings(profile, micro, budget, seed)
    tell_of_first_use()
    with bar("划网格") as progress:
        result = partition_files(
            work, inputs, settings=settings, only=only or (), jobs=jobs, progress=progress
        )
    _told(result, as_json=as_json)


@app.command()
@plainly
def adjust(
    work: WorkspacePath,
    grids: Annotated[
        Path | None, typer.Option(help="现有网格面（shp/gpkg）；可省，用工作区已有的网格或住户所属网格")
    ] = None,
    households: Houses = None,
    villages: VillageAreas = None,
    survey: Land = None,
    groups: GroupAreas = None,
    line: Lines = None,
    exclusive: Sites = None,
    parcels: Contracts = None,
    profile: Norm = "rural20",
    micro: Micro = "",
    budget: Budget = Effort.standard,
    seed: Seed = 0,
    price: Annotated[
        float | None, typer.Option(min=0, help="调一户值多少米路程：不给则户数变动最少，0 则等于重划")
    ] = None,
    curve: Annotated[
        str, typer.Option(help="只算不改：逗号分隔的几种标准各要调动多少户，如 20-50,30-50,25-45")
    ] = "",
    page: Pictures = None,
    only: Only = None,
    jobs: Processes = 0,
    households_crs: HousesCrs = None,
    as_json: AsJson = False,
) -> None:
    """把现有网格调到标准以内，换网格的户数最少；不必动的网格编号、边界不变。"""
    from geo.grid_pipeline import adjust_files, curve_files
    from geo.grids import profile_of

    inputs = _inputs(
        households=households,
        villages=villages,
        survey=survey,
        groups=groups,
        exclusive=exclusive,
        parcels=parcels,
        grids=grids,
        lines=line or (),
        households_crs=households_crs,
    )
    tell_of_first_use()
    if curve:
        norms = [profile_of(text) for text in curve.split(",")]
        with bar("试算") as progress:
            table = curve_files(
                work,
                inputs,
                norms,
                budget=budget.value,
                seed=seed,
                only=only or (),
                jobs=jobs,
                progress=progress,
            )
        print(table.to_json(orient="records", force_ascii=False) if as_json else _curve_text(table))
        return
    settings = _settings(profile, micro, budget, seed, price)
    with bar("调整网格") as progress:
        result = adjust_files(
            work, inputs, settings=settings, only=only or (), page=page, jobs=jobs, progress=progress
        )
    _told(result, as_json=as_json)


@app.command()
@plainly
def check(
    work: WorkspacePath,
    grids: Annotated[Path | None, typer.Option(help="网格面；可省，检查工作区里的")] = None,
    households: Houses = None,
    villages: VillageAreas = None,
    households_crs: HousesCrs = None,
    profile: Norm = "rural20",
    micro: Micro = "",
    out: Annotated[Path | None, typer.Option(help="问题清单 CSV")] = None,
    table: Annotated[Path | None, typer.Option("--table", help="逐网格清单 CSV")] = None,
    as_json: AsJson = False,
) -> None:
    """检查网格：户数、重叠、空隙、分块、越界、编码、漏户；工作区不改动。"""
    from geo import ledger
    from geo import report as reports
    from geo.findings import gather
    from geo.grid_pipeline import checked_files
    from geo.grid_tables import write_checked
    from geo.grids import profile_of

    inputs = _inputs(
        households=households, villages=villages, grids=grids, lines=(), households_crs=households_crs
    )
    rows, found = checked_files(
        work, inputs, profile=profile_of(profile), micro=profile_of(micro) if micro else None
    )
    notes = gather([found], rows.crs)
    if out is not None:
        ledger.write_findings(notes, out)
    if table is not None:
        write_checked(rows, table)
    counts = rows.loc[rows["balance"].ne(""), "balance"].value_counts()
    if as_json:
        numbers = {"grids": len(rows), **{name: int(count) for name, count in counts.items()}}
        kinds = {name: int(count) for name, count in notes["severity"].value_counts().items()}
        print(json.dumps({**numbers, "findings": kinds}, ensure_ascii=False))
    else:
        under, good, over = (int(counts.get(name, 0)) for name in ("UNDER", "IN_BAND", "OVER"))
        print(f"{len(rows)} 个网格：合格 {good}，不足 {under}，超出 {over}")
        told = reports.finding_counts(notes)
        for title, count in zip(told["title"], told["count"], strict=True):
            print(f"  {count:>6}  {title}")
    raise typer.Exit(WITH_ERRORS if notes["severity"].eq("error").any() else 0)


@app.command("compare")
@plainly
def compare_(
    work: WorkspacePath,
    grids: Annotated[Path, typer.Option(help="另一套网格面，作为“调整前”")],
    households: Houses = None,
    villages: VillageAreas = None,
    households_crs: HousesCrs = None,
    profile: Norm = "rural20",
    out: Annotated[Path | None, typer.Option(help="逐网格对照表 CSV")] = None,
    page: Pictures = None,
    as_json: AsJson = False,
) -> None:
    """比较两套网格：哪个变成了哪个，多少户换了网格，合格数和路程的变化。"""
    from geo.grid_pipeline import compared_files
    from geo.grid_tables import write_compared
    from geo.grids import profile_of

    inputs = _inputs(
        households=households, villages=villages, grids=grids, lines=(), households_crs=households_crs
    )
    result = compared_files(work, inputs, profile=profile_of(profile), page=page)
    if out is not None:
        write_compared(result.grids, out)
    if as_json:
        totals = result.totals.to_dict("index")
        print(
            json.dumps({**totals, "moved": result.moved, "dissolved": result.dissolved}, ensure_ascii=False)
        )
        return
    for name, title in (("before", "调整前"), ("after", "调整后")):
        row = result.totals.loc[name]
        print(
            f"{title}：{row['grids']:.0f} 个网格，合格 {row['in_band']:.0f}，不足 {row['under']:.0f}，"
            f"超出 {row['over']:.0f}；户到中心平均 {row['mean_distance_m']:.0f} 米"
        )
    print(f"换了网格的住户 {result.moved} 户；撤销的网格 {result.dissolved} 个")


@app.command()
@plainly
def roster(
    work: WorkspacePath,
    out: Annotated[Path, typer.Option(help="输出文件夹")] = Path("网格名册"),
) -> None:
    """按村输出网格名册（Excel）：网格、微网格、住户、沿革和划分证明。"""
    from geo import workspace
    from geo.roster import write_roster

    for path in write_roster(workspace.open(work), out):
        print(path)


def _curve_text(table: "pd.DataFrame") -> str:
    lines = ["标准          网格  合格  调动户数  占比    不动  移界  并入  拆分  新设  撤销"]
    for row in table.to_dict("records"):
        counts = "".join(
            f"{row[name]:>6}" for name in ("kept", "shifted", "merged", "split", "new", "dissolved")
        )
        size = f"{row['profile']:<12}{row['grids']:>6}{row['in_band']:>6}"
        lines.append(f"{size}{row['moved']:>10}{row['moved_share']:>8.1%}{counts}")
    return "\n".join(lines)


def tell_of_first_use() -> None:
    """Whoever waits is told why."""
    from geo.grids import ready

    if not ready.is_compiled():
        screen.print("首次使用：正在为本机编译划分程序，约需一两分钟，以后不再需要…")


def _inputs(*, lines: Sequence[str], **paths: Any) -> "GridInputs":  # noqa: ANN401 - paths by role
    from geo.grid_pipeline import GridInputs

    pairs = []
    for text in lines:
        kind, equals, path = text.partition("=")
        if not equals:
            raise InputError(f"--line {text} 应写成 种类=文件，如 河流=河流.shp")
        pairs.append((kind.strip(), Path(path)))
    return GridInputs(lines=tuple(pairs), **paths)


def _settings(
    profile: str, micro: str, budget: Effort, seed: int, price: float | None = None
) -> "GridSettings":
    from geo.grids import GridSettings, profile_of

    return GridSettings(
        profile=profile_of(profile),
        micro=profile_of(micro) if micro else None,
        budget=budget.value,
        seed=seed,
        moved_price=price,
    )


def summary(result: "Grids") -> dict[str, Any]:
    """What was made, in numbers."""
    rows = result.grid_villages
    ordinary = result.grids[result.grids["grid_kind"].eq("ORDINARY")]
    gaps = rows.loc[rows["misses"].eq(0), "gap"].dropna()
    return {
        "villages": len(rows),
        "households": int(result.households["households"].sum()),
        "without_grid": int(result.households.loc[result.households["grid_code"].isna(), "households"].sum()),
        "grids": len(ordinary),
        "in_band": int(ordinary["balance"].eq("IN_BAND").sum()),
        "under": int(ordinary["balance"].eq("UNDER").sum()),
        "over": int(ordinary["balance"].eq("OVER").sum()),
        "micro_grids": int(result.grids["grid_kind"].eq("MICRO").sum()),
        "exclusive_grids": int(result.grids["grid_kind"].eq("EXCLUSIVE").sum()),
        "gap_median": None if gaps.empty else round(float(gaps.median()), 4),
        "gap_worst": None if gaps.empty else round(float(gaps.max()), 4),
        "moved": int(rows["moved"].fillna(0).sum()),
        "findings": {name: int(count) for name, count in result.findings["severity"].value_counts().items()},
    }


def _told(result: "Grids", *, as_json: bool) -> None:
    numbers = summary(result)
    if as_json:
        print(json.dumps(numbers, ensure_ascii=False))
    else:
        print(text(result.grid_villages, numbers))
    raise typer.Exit(WITH_ERRORS if result.findings["severity"].eq("error").any() else 0)


def text(rows: "pd.DataFrame", numbers: dict[str, Any]) -> str:
    """The summary as an officer reads it: the county in three lines, then villages that are not wholly in band."""
    size = f"{numbers['villages']} 个村，{numbers['households']} 户，划成 {numbers['grids']} 个网格"
    lines = [f"{size}：合格 {numbers['in_band']}，不足 {numbers['under']}，超出 {numbers['over']}"]
    if numbers["gap_median"] is not None:
        middle, worst = numbers["gap_median"], numbers["gap_worst"]
        lines.append(f"户到网格中心的距离总和与理论最好值的差距：中位数 {middle:.2%}，最大 {worst:.2%}")
    if numbers["moved"]:
        lines.append(f"换了网格的住户 {numbers['moved']} 户")
    if numbers["micro_grids"]:
        lines.append(f"微网格 {numbers['micro_grids']} 个")
    if numbers["without_grid"]:
        lines.append(f"不在任何村内、未入网格的 {numbers['without_grid']} 户，见问题清单")
    left = rows[(rows["under"] + rows["over"]).gt(0)]
    for row in left.to_dict("records"):
        missed = f"不足 {row['under']}，超出 {row['over']}"
        lines.append(f"  {row['village_name']}（{row['households']} 户）：{missed}。{row['reason'] or ''}")
    return "\n".join(lines)
