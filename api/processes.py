"""What can be asked for as a job: its inputs as a model with Chinese titles, and who may ask.

Files are named by upload and path within it, or by a path below the folder of
inputs that the administrator chose; never by a path of the server.

Source: OGC 18-062r2, OGC API - Processes Part 1: Core, 7.11 and 7.13.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

CODE: Final = r"^[0-9A-Za-z\u4e00-\u9fff.-]{1,40}$"
UPLOAD_ID: Final = r"^[0-9a-f]{16}$"
_LONGEST_PATH: Final = 400

Code = Annotated[str, StringConstraints(pattern=CODE)]
VillageCode = Annotated[str, StringConstraints(pattern=r"^[0-9]{12}$")]
Short = Annotated[str, StringConstraints(max_length=80)]
Crs = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,10}:[0-9]{1,8}$")]


class Asked(BaseModel):
    """Inputs of a process: what is not known is refused, not passed over."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Uploaded(Asked):
    """A file or folder of an upload."""

    upload: str = Field(title="上传编号", pattern=UPLOAD_ID)
    path: str = Field(default="", title="文件或文件夹", max_length=_LONGEST_PATH, description="空为整个上传")


class OnServer(Asked):
    """A file or folder below the server's folder of inputs."""

    server: str = Field(title="服务器数据目录下的路径", min_length=1, max_length=_LONGEST_PATH)


FileRef = Uploaded | OnServer


class ReadInputs(Asked):
    """The two maps and what helps to read them."""

    survey: FileRef = Field(title="三调数据", description="DLTB 文件或其文件夹")
    parcels: FileRef = Field(title="确权数据", description="DK 文件，或成果文件夹（矢量数据、权属数据）")
    rights: FileRef | None = Field(default=None, title="权属数据库", description="成果文件夹内的可自动找到")
    villages: FileRef | None = Field(default=None, title="村级调查区", description="三调文件夹内的可自动找到")
    groups: FileRef | None = Field(default=None, title="组级区域")
    baseline: FileRef | None = Field(
        default=None, title="基期调查（二调）", description="区分未确权地与新增地"
    )
    datum: FileRef | None = Field(default=None, title="坐标转换", description="西安80、北京54 的参数或控制点")
    shifts: FileRef | None = Field(default=None, title="偏移表", description="逐村决定是否移动，CSV")
    survey_crs: Crs | None = Field(default=None, title="三调坐标系", description="如 EPSG:4526，文件未注明时")
    parcels_crs: Crs | None = Field(default=None, title="确权坐标系")
    baseline_crs: Crs | None = Field(default=None, title="基期坐标系")


class ReconcileInputs(ReadInputs):
    """Inputs of the main job."""

    align: Literal["auto", "none"] = Field(
        default="auto", title="整体偏移", description="auto 自动判断，none 不判断"
    )
    accept_shifts: bool = Field(default=False, title="超过 10 米的偏移也采用")


class AlignInputs(ReadInputs):
    """Inputs of a look at shifts alone."""


class SheetsInputs(Asked):
    """Inputs of a set of sheets."""

    by: Literal["group", "village", "sheet"] = Field(
        default="group", title="分幅方式", description="group 按组，village 按村，sheet 按国家标准图幅"
    )
    formats: tuple[Literal["pdf", "geopdf", "png", "dxf", "shp"], ...] = Field(
        default=("pdf",), title="格式", min_length=1, max_length=5
    )
    only: tuple[Code, ...] = Field(
        default=(), title="只出这些", max_length=2000, description="县、乡镇、村、组代码，图号或图块编号"
    )
    photo: tuple[FileRef, ...] = Field(default=(), title="正射影像", max_length=50)
    paper: Literal["", "A4", "A3", "A1", "A0"] = Field(default="", title="纸张")
    scale: int = Field(default=2000, title="比例尺分母", ge=100, le=100_000)
    dpi: float = Field(default=150, title="PNG 分辨率", ge=30, le=600)
    dxf: Literal["R2004", "R2010"] = Field(default="R2004", title="DXF 版本")
    producer: Short = Field(default="", title="测制单位")
    date: Short = Field(default="", title="图廓日期")
    survey_vintage: Short = Field(default="", title="三调数据时点")
    parcels_vintage: Short = Field(default="", title="确权数据时点")
    secrecy: Short = Field(default="内部使用", title="密级")


class Line(Asked):
    """A file of lines that bound grids."""

    kind: Literal["道路", "村道", "公路", "铁路", "河流", "围墙"] = Field(title="种类")
    file: FileRef = Field(title="文件")


class GridsInputs(Asked):
    """Inputs of dividing villages into grids, or adjusting those there are."""

    work: Literal["partition", "adjust"] = Field(
        default="partition", title="做法", description="partition 重新划分，adjust 变动最少的调整"
    )
    households: FileRef | None = Field(
        default=None, title="住户", description="房屋面、住户点或住户表；可省，用工作区已有的"
    )
    villages: FileRef | None = Field(default=None, title="村级调查区")
    survey: FileRef | None = Field(default=None, title="三调数据")
    groups: FileRef | None = Field(default=None, title="组级区域")
    exclusive: FileRef | None = Field(default=None, title="专属网格范围")
    parcels: FileRef | None = Field(default=None, title="确权成果", description="没有住户资料时按承包方估计")
    grids: FileRef | None = Field(default=None, title="现有网格")
    lines: tuple[Line, ...] = Field(default=(), title="边界线", max_length=20)
    households_crs: Crs | None = Field(default=None, title="住户坐标系")
    profile: Annotated[str, StringConstraints(pattern=r"^[a-z_0-9/-]{1,30}$")] | None = Field(
        default=None, title="规模标准", description="rural、rural20、urban 或 下限-上限"
    )
    micro: Annotated[str, StringConstraints(pattern=r"^[a-z_0-9/-]{0,30}$")] = Field(
        default="", title="微网格标准"
    )
    budget: Literal["fast", "standard", "best"] = Field(default="standard", title="搜索档")
    seed: int = Field(default=0, title="随机种子", ge=0, le=2**31 - 1)
    price: float | None = Field(default=None, title="调一户值多少米路程", ge=0, le=1e9)
    only: tuple[Code, ...] = Field(default=(), title="只做这些", max_length=2000)


class TilesInputs(Asked):
    """Inputs of stored tiles."""

    layers: tuple[Literal["patches", "parcels", "pieces", "grids"], ...] = Field(
        default=("patches", "parcels", "pieces", "grids"), title="图层", min_length=1, max_length=4
    )


class ReportInputs(Asked):
    """Inputs of the report."""

    only: tuple[VillageCode, ...] = Field(
        default=(), title="只报这些村", max_length=2000, description="村代码"
    )


class LedgerInputs(Asked):
    """Inputs of the ledger: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One kind of job."""

    id: str
    title: str
    description: str
    inputs: type[Asked]
    role: Literal["officer", "reviewer"]  # the least who may start it
    limited: bool  # whether one who has only some villages may start it, for those
    lock: str  # two jobs with the same lock never run at once; empty: none
    outputs: dict[str, str]


PROCESSES: Final[dict[str, Process]] = {
    process.id: process
    for process in (
        Process(
            id="reconcile",
            title="套合比对",
            description="三调套合确权：面积平衡、编号稳定的未确权耕地清单，写入工作区",
            inputs=ReconcileInputs,
            role="reviewer",
            limited=False,
            lock="layers",
            outputs={"workspace": "成果（GeoPackage）", "shifts": "偏移表（CSV）", "numbers": "汇总数字"},
        ),
        Process(
            id="align",
            title="偏移试算",
            description="只判断各村确权地块的整体偏移，给出偏移表和移动前后的地块；工作区不改动",
            inputs=AlignInputs,
            role="reviewer",
            limited=False,
            lock="",
            outputs={
                "shifts": "偏移表（CSV）",
                "workspace": "移动前后的地块（GeoPackage）",
                "numbers": "汇总数字",
            },
        ),
        Process(
            id="sheets",
            title="出图",
            description="按组、村或标准图幅输出 1:2000 图件，附图幅目录和索引图",
            inputs=SheetsInputs,
            role="officer",
            limited=True,
            lock="sheets",
            outputs={"files": "图件", "zip": "全部图件（zip）", "numbers": "汇总数字"},
        ),
        Process(
            id="grids",
            title="网格划分",
            description="把村划成户数均衡、地块相连的网格，或调整现有网格，写入工作区",
            inputs=GridsInputs,
            role="reviewer",
            limited=False,
            lock="layers",
            outputs={"workspace": "网格（GeoPackage）", "numbers": "汇总数字"},
        ),
        Process(
            id="tiles",
            title="矢量瓦片",
            description="生成图斑、地块、图块、网格的瓦片文件，网页浏览更快",
            inputs=TilesInputs,
            role="reviewer",
            limited=False,
            lock="tiles",
            outputs={"numbers": "汇总数字"},
        ),
        Process(
            id="report",
            title="汇总报告",
            description="县、乡、村、组汇总表，并复核面积平衡",
            inputs=ReportInputs,
            role="officer",
            limited=True,
            lock="",
            outputs={"report": "汇总（JSON、文本、Excel）", "numbers": "汇总数字"},
        ),
        Process(
            id="ledger",
            title="台账",
            description="按村输出 Excel 台账，附面积平衡证明",
            inputs=LedgerInputs,
            role="officer",
            limited=False,
            lock="",
            outputs={"files": "台账（Excel）", "zip": "全部台账（zip）", "numbers": "汇总数字"},
        ),
    )
}


def summary(process: Process, *, allowed: bool) -> dict[str, Any]:
    """A process as it is listed; ``allowed`` says whether the caller may start it."""
    return {
        "id": process.id,
        "version": "1",
        "title": process.title,
        "description": process.description,
        "jobControlOptions": ["async-execute", "dismiss"],
        "allowed": allowed,
        "links": [
            {
                "rel": "self",
                "href": f"/processes/{process.id}",
                "type": "application/json",
                "title": process.title,
            },
            {
                "rel": "http://www.opengis.net/def/rel/ogc/1.0/execute",
                "href": f"/processes/{process.id}/execution",
                "title": "运行",
            },
        ],
    }


def description(process: Process, *, allowed: bool) -> dict[str, Any]:
    """A process with its inputs and outputs, each as JSON Schema with a Chinese title."""
    schema = process.inputs.model_json_schema()
    kinds = schema.get("$defs", {})
    needed = set(schema.get("required", ()))
    inputs = {
        name: {
            "title": told.get("title", name),
            "description": told.get("description", ""),
            "minOccurs": int(name in needed),
            "maxOccurs": 1,
            "schema": _inlined(told, kinds),
        }
        for name, told in schema.get("properties", {}).items()
    }
    outputs = {
        name: {"title": title, "schema": {"type": "object"}} for name, title in process.outputs.items()
    }
    return {**summary(process, allowed=allowed), "inputs": inputs, "outputs": outputs}


def _inlined(told: Any, kinds: dict[str, Any]) -> Any:  # noqa: ANN401 - a JSON value
    """A schema that refers to nothing outside itself."""
    if isinstance(told, dict):
        if "$ref" in told:
            return _inlined(kinds[told["$ref"].rpartition("/")[2]], kinds)
        return {key: _inlined(value, kinds) for key, value in told.items()}
    return [_inlined(one, kinds) for one in told] if isinstance(told, list) else told
