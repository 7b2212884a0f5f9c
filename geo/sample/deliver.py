"""A county as it is delivered: shapefiles in GBK, a GeoPackage, a workbook, the truth beside them.

Field names, order and lengths are those of TD/T 1057-2020 (三调), TD/T 1016-2007
(二调) and NY/T 2539-2016 (确权); the same county gives the same bytes.
"""

from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import shapely
import xlsxwriter

from geo.errors import OutputError
from geo.exchange.dbf import Field
from geo.exchange.shapefile import fixed_date, write_shapefile
from geo.sample.county import County

COUNTY_CODE: Final = "140725"
COUNTY_NAME: Final = "寿阳县"
YEAR: Final = "2016"
MOMENT: Final = datetime(2020, 1, 1, tzinfo=UTC)
PLAIN: Final = "EPSG:4547"  # without the zone number in the easting
XIAN80: Final = "EPSG:2362"
LONG_TABLE: Final = 100_000  # rows above which tables go to CSV: a workbook of them takes minutes

_PLANTING: Final = {
    "LS": "种植粮食作物",
    "FLS": "种植非粮食作物",
    "WG": "未耕种",
    "JKHF": "即可恢复",
    "GCHF": "工程恢复",
}
_OLD_NAMES: Final = {
    "011": "水田", "012": "水浇地", "013": "旱地", "021": "果园", "031": "有林地", "032": "灌木林地", "033": "其他林地",
    "043": "其他草地", "061": "工业用地", "102": "公路用地", "104": "农村道路", "111": "河流水面", "114": "坑塘水面",
    "116": "内陆滩涂", "117": "沟渠", "122": "设施农用地", "203": "村庄",
}  # fmt: skip


@cache
def _fields(layer: str) -> tuple[Field, ...]:
    """Fields of a layer or table as its standard has them: DLTB2 is that of 二调."""
    with (files("geo.sample") / "formats.csv").open(encoding="utf-8") as file:
        rows = pd.read_csv(file, dtype="str", keep_default_na=False)
    rows = rows[rows["layer"] == layer]
    return tuple(
        Field(name, kind, int(length or 0), int(decimals or 0), column)
        for name, kind, length, decimals, column in rows.drop(columns="layer").to_numpy().tolist()
    )


def deliver(county: County, folder: Path, *, groups: bool = False) -> None:
    """Write a county as its offices would hand it over, and its truth.

    Parameters
    ----------
    county : County
    folder : Path
        Made if it is not there; files of the same names are replaced.
    groups : bool
        Whether the group borders (_fields("ZJQY")) are delivered; most counties have none.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    folder = Path(folder)
    try:
        with fixed_date():
            _survey(county, folder / "三调")
            _baseline(county, folder / "二调")
            held = folder / f"{COUNTY_CODE}{COUNTY_NAME}"
            _parcels(county, held / "矢量数据", groups=groups)
            _tables(county, held / "权属数据")
            _houses(county, folder / "住户")
            _grids(county, folder / "网格")
            _truth(county, folder / "truth")
            (folder / "说明.txt").write_text(_note(county), encoding="utf-8")
    except (OSError, pyogrio.errors.DataSourceError) as error:
        raise OutputError(f"无法写入 {folder}：{error}；请检查磁盘空间和写权限") from error


def _renamed(layer: gpd.GeoDataFrame, fields: tuple[Field, ...]) -> gpd.GeoDataFrame:
    """The layer under its standard field names, for formats that keep types themselves."""
    table = {f.name: layer[f.column] for f in fields if f.column in layer}
    return gpd.GeoDataFrame(table, geometry=layer.geometry.to_numpy(), crs=layer.crs)


def _survey(county: County, folder: Path) -> None:
    patches = county.survey.assign(
        feature_code="2001010100",
        detail_name=county.survey["detail_code"].map({"HDGD": "河道耕地"}).astype("object"),
        planting_name=county.survey["planting_code"].map(_PLANTING).astype("object"),
        enclave=np.where(county.survey["is_enclave"], "1", "0"),
        mainland="00",
        grade=np.where(county.survey["slope_class"].fillna("") != "", 11, np.nan),
        line_width_m=county.survey["land_class"].map({"1003": 8.4, "1006": 4.6, "1107": 2.4}),
    )
    villages = county.villages.assign(
        bsm=[f"{COUNTY_CODE}1004{n:08d}" for n in range(1, len(county.villages) + 1)],
        feature_code="1000600400",
        unit_code=county.villages["village_code"] + "0000000",
        mainland="00",
    )
    cpg = not county.settings.messy
    write_shapefile(patches, _fields("DLTB"), folder / "DLTB.shp", cpg=cpg)
    write_shapefile(villages, _fields("CJDCQ"), folder / "CJDCQ.shp", cpg=cpg)
    package = folder / f"{COUNTY_CODE}三调.gpkg"
    package.unlink(missing_ok=True)
    for name, layer, fields in (("DLTB", patches, _fields("DLTB")), ("CJDCQ", villages, _fields("CJDCQ"))):
        pyogrio.write_dataframe(
            _renamed(layer, fields),
            package,
            layer=name,
            driver="GPKG",
            append=package.exists(),
            SPATIAL_INDEX="NO",
        )


def _baseline(county: County, folder: Path) -> None:
    old = county.baseline
    area = old.geometry.area.round(2)
    farmland = old["land_class"].isin(["011", "012", "013"])
    ratio = np.where(farmland, 0.12, 0.0)
    ridge: pd.Series[float] = (area * ratio).round(2)
    layer = old.assign(
        bsm=np.arange(1, len(old) + 1),
        feature_code="2001010100",
        land_class_name=old["land_class"].map(_OLD_NAMES),
        ownership_kind=np.where(old["land_class"].isin(["111", "102"]), "10", "30"),
        terrace_kind=np.where(farmland, "T", ""),
        slope_class=np.where(farmland, "3", ""),
        ridge_ratio=ratio,
        area_m2=area,
        ridge_area_m2=ridge,
        net_m2=(area - ridge).round(2),
        nothing_m2=0.0,
        village_code=old["location_unit_code"].str[:12],
    )
    write_shapefile(layer, _fields("DLTB2"), folder / "DLTB.shp", cpg=not county.settings.messy)


def _parcels(county: County, folder: Path, *, groups: bool) -> None:
    """DK cut per township; in a messy county each township's file has a habit of its own."""
    flaws = county.truth_flaws
    layer = county.parcels.assign(
        bsm=np.arange(1, len(county.parcels) + 1),
        feature_code="211011",
        grade="05",
        use="1",
        basic="2",
        east="田埂",
        west="田埂",
        south="道路",
        north="沟",
        pointer=_pointer(county),
    )
    apart = set(flaws.loc[flaws["kind"] == "xian80_village", "code"])
    raised = set(flaws.loc[flaws["kind"] == "three_d", "code"])
    nowhere = set(flaws.loc[flaws["kind"] == "missing_prj", "code"])
    plain = set(flaws.loc[flaws["kind"] == "no_zone_prefix", "code"])
    # A parcel lies in the file of the township it was surveyed in, whatever its code says.
    place = county.parcels["survey_village"]
    folder.mkdir(parents=True, exist_ok=True)
    for township in sorted(county.townships):
        here = layer[(place.str[:9] == township) & ~place.isin(apart)]
        if len(here):
            here = here.to_crs(PLAIN) if township in plain else here
            if township in raised:
                here = here.set_geometry(shapely.force_3d(here.geometry.to_numpy(), 0.0), crs=here.crs)
            write_shapefile(
                here,
                _fields("DK"),
                folder / f"DK{township}.shp",
                cpg=not county.settings.messy,
                prj=township not in nowhere,
            )
    for village in sorted(apart):
        here = layer[place == village].set_crs(XIAN80, allow_override=True)
        write_shapefile(here, _fields("DK"), folder / f"DK{village[:9]}-2.shp", cpg=False)
    if groups:
        borders = county.groups.assign(bsm=np.arange(1, len(county.groups) + 1), feature_code="162040")
        write_shapefile(
            borders, _fields("ZJQY"), folder / f"ZJQY{COUNTY_CODE}{YEAR}.shp", cpg=not county.settings.messy
        )


def _houses(county: County, folder: Path) -> None:
    """Houses as the police or the housing survey have them: footprints with 户数 and 地址."""
    write_shapefile(county.houses, _fields("FW"), folder / "房屋.shp", cpg=not county.settings.messy)


def _grids(county: County, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    package = folder / "现状网格.gpkg"
    package.unlink(missing_ok=True)
    pyogrio.write_dataframe(
        _renamed(county.drawn_grids, _fields("WG")),
        package,
        layer="现状网格",
        driver="GPKG",
        SPATIAL_INDEX="NO",
    )


def _pointer(county: County) -> pd.Series:
    """Who showed the border: the holder, where there is one; an invented name."""
    names = dict(
        zip(county.contractors["contractor_code"], county.contractors["contractor_name"], strict=True)
    )
    return county.parcels["contractor_code"].map(names)


def _books(county: County) -> dict[str, pd.DataFrame]:
    rights, issuers, homes = county.rights, county.issuers, county.contractors
    data = {
        "CBDKXX": {
            "DKBM": rights["parcel_code"],
            "FBFBM": rights["issuer_code"],
            "CBFBM": rights["contractor_code"],
            "CBJYQQDFS": rights["acquisition_kind"],
            "HTMJ": rights["contract_area_m2"],
            "CBHTBM": rights["contract_code"],
            "CBJYQZBM": rights["certificate_code"],
            "YHTMJ": rights["former_contract_area_m2"],
            "HTMJM": (rights["contract_area_m2"] * 0.0015).round(2),
            "YHTMJM": (rights["former_contract_area_m2"] * 0.0015).round(2),
            "SFQQQG": pd.Series(np.where(rights["share_based"], "1", "2"), index=rights.index),
        },
        "FBF": {
            "FBFBM": issuers["issuer_code"],
            "FBFMC": issuers["issuer_name"],
            "FBFDZ": COUNTY_NAME + issuers["issuer_name"],
        },
        "CBF": {
            "CBFBM": homes["contractor_code"],
            "CBFLX": homes["contractor_kind"],
            "CBFMC": homes["contractor_name"],
            "CBFDZ": homes["address"],
            "CBFCYSL": homes["member_count"].astype("float64"),
        },
    }
    return {
        name: pd.DataFrame(table).reindex(columns=[field.name for field in _fields(name)])
        for name, table in data.items()
    }


def _tables(county: County, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    books = _books(county)
    if len(books["CBDKXX"]) > LONG_TABLE:
        for name, table in books.items():
            table.to_csv(folder / f"{name}.csv", index=False, encoding="utf-8-sig", lineterminator="\r\n")
    else:
        _workbook(books, folder / f"{COUNTY_CODE}{YEAR}.xlsx")
    townships = {f"{code}000": name for code, name in county.townships.items()}
    villages = dict(zip(county.villages["village_code"], county.villages["village_name"], strict=True))
    units = {f"{COUNTY_CODE}000000": COUNTY_NAME, **townships, **villages}
    codes = sorted(units)
    table = pd.DataFrame(
        {"权属单位代码": [f"{c}00" for c in codes], "权属单位名称": [units[c] for c in codes]}
    )
    groups = pd.DataFrame(
        {"权属单位代码": county.groups["group_code"], "权属单位名称": county.groups["group_name"]}
    )
    table = pd.concat([table, groups]).sort_values("权属单位代码", kind="stable")
    _workbook({"权属单位代码表": table}, folder / f"{COUNTY_CODE}{YEAR}权属单位代码表.xlsx")


def _workbook(sheets: dict[str, pd.DataFrame], path: Path) -> None:
    with xlsxwriter.Workbook(path, {"constant_memory": True, "strings_to_numbers": False}) as book:
        book.set_properties({"created": MOMENT.replace(tzinfo=None), "title": path.stem})
        for name, table in sheets.items():
            sheet = book.add_worksheet(name)
            sheet.write_row(0, 0, list(table.columns))
            columns = [table[c].astype("object").where(table[c].notna(), None) for c in table.columns]
            for row, values in enumerate(zip(*columns, strict=True), start=1):
                for column, value in enumerate(values):
                    if isinstance(value, str):
                        sheet.write_string(row, column, value)
                    elif value is not None:
                        sheet.write_number(row, column, value)


def _truth(county: County, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "truth.gpkg"
    path.unlink(missing_ok=True)
    layers = {
        "truth_pieces": county.truth_pieces,
        "truth_parcels": county.truth_parcels,
        "truth_groups": county.groups,
    }
    for name, layer in layers.items():
        pyogrio.write_dataframe(
            layer, path, layer=name, driver="GPKG", append=path.exists(), SPATIAL_INDEX="NO"
        )
    county.truth_flaws.to_csv(
        folder / "truth_flaws.csv", index=False, encoding="utf-8-sig", lineterminator="\r\n"
    )
    county.house_flaws.to_csv(
        folder / "truth_house_flaws.csv", index=False, encoding="utf-8-sig", lineterminator="\r\n"
    )


def _note(county: County) -> str:
    s = county.settings
    homes = int(county.houses["households"].clip(lower=0).sum())
    named = "、".join(f"{code} {name}" for code, name in sorted(county.townships.items()))
    return f"""样例县说明

本文件夹是程序生成的虚构县，人名、地名、地块都不是真的，但坐标落在寿阳县附近（CGCS2000 3度带38带），
格式同真实交付成果。正确答案在 truth/ 里，可用来检验套合结果。

乡镇：{named}
村 {len(county.villages)} 个，地类图斑 {len(county.survey)} 个，承包地块 {len(county.parcels)} 个。
房屋 {len(county.houses)} 行，{homes} 户；现状网格 {len(county.drawn_grids)} 个。
种子 {s.seed}；地块边界数字化误差 {s.noise_m[0]}–{s.noise_m[1]} 米。
整村偏移 {s.shift_m} 米；掺入毛病：{"是" if s.messy else "否"}。

三调/DLTB.shp、CJDCQ.shp       第三次国土调查地类图斑、村级调查区（TD/T 1057-2020，属性为 GBK 编码）
三调/{COUNTY_CODE}三调.gpkg            同样两层的 GeoPackage
二调/DLTB.shp                  第二次土地调查地类图斑（三位地类编码，旧字段名 TKXS、TKMJ、GDPDJ）
{COUNTY_CODE}{COUNTY_NAME}/矢量数据/DK*.shp     确权承包地块，按乡镇分幅（NY/T 2539-2016）
{COUNTY_CODE}{COUNTY_NAME}/权属数据/            承包地块信息 CBDKXX、发包方 FBF、承包方 CBF（字段同 .mdb）
住户/房屋.shp                  房屋面，一行一栋，楼房一行一个单元（村代码、组、楼栋、单元、户数、地址；户主是编的）
网格/现状网格.gpkg             手工画的现状网格：约四分之一不足 20 户或超过 50 户
truth/truth.gpkg               truth_pieces 真实的未确权地与新增地；truth_parcels 地块真实位置；truth_groups 组界
truth/truth_flaws.csv          有意掺入的每一处毛病（kind 种类，layer 图层，code 对象，note 说明）
truth/truth_house_flaws.csv    房屋和现状网格中的毛病（code 是地址或网格编码）
"""
