"""A village of four patches and four parcels, and the ways a delivery writes it."""

import warnings
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyogrio
from shapely.geometry import box

from tests.geo.exchange.jet4 import Column

ZONE_38 = "EPSG:4526"  # CGCS2000, 3-degree zone 38, zone number in the easting
CM_114 = "EPSG:4547"  # the same without it
E, N = 38_429_000, 4_196_000
VILLAGE = "140725100202"

RIGHTS = [
    Column("DKBM", "text", 19),
    Column("FBFBM", "text", 14),
    Column("CBFBM", "text", 18),
    Column("CBJYQQDFS", "text", 3),
    Column("HTMJ", "double"),
    Column("CBHTBM", "text", 19),
    Column("YHTMJ", "double"),
    Column("SFQQQG", "text", 1),
]
ISSUERS = [Column("FBFBM", "text", 14), Column("FBFMC", "text", 50), Column("FBFFZRXM", "text", 50)]
CONTRACTORS = [
    Column("CBFBM", "text", 18),
    Column("CBFLX", "text", 1),
    Column("CBFMC", "text", 50),
    Column("CBFZJHM", "text", 20),
    Column("CBFCYSL", "int16"),
]


def patches(count=4, crs=ZONE_38, **columns):
    table = gpd.GeoDataFrame(
        {
            "BSM": [f"1407252001{i:08d}" for i in range(count)],
            "TBBH": [f"{i:04d}" for i in range(count)],
            "DLBM": "0103",
            "QSXZ": "30",
            "QSDWDM": VILLAGE + "0000000",
            "ZLDWDM": VILLAGE + "0000000",
            "ZLDWMC": "南坡村",
            "TBMJ": 10_000.0,
            "KCXS": 0.068,
            "FRDBS": "0",
        },
        geometry=[box(E + i * 100, N, E + i * 100 + 100, N + 100) for i in range(count)],
        crs=ZONE_38,
    )
    return table.assign(**columns).to_crs(crs)


def parcels(count=4, village=VILLAGE, east=0, crs=ZONE_38, **columns):
    table = gpd.GeoDataFrame(
        {
            "BSM": range(1, count + 1),
            "DKBM": [f"{village}01{i:05d}" for i in range(count)],
            "DKMC": "南坡地",
            "DKLB": "10",
            "SCMJ": 6000.0,
            "DKDZ": "张三",
            "ZJRXM": "李四",
        },
        geometry=[box(E + east + i * 100, N, E + east + i * 100 + 60, N + 100) for i in range(count)],
        crs=ZONE_38,
    )
    return table.assign(**columns).to_crs(crs)


def rights_rows(count=4, village=VILLAGE):
    return [
        (
            f"{village}01{i:05d}",
            f"{village}01",
            f"{village}01{i + 1:04d}",
            "110",
            6000.0 + i / 100,
            f"{village}01{i + 1:04d}J",
            None,
            "2",
        )
        for i in range(count)
    ]


def rights_frame(count=4):
    return pd.DataFrame(rights_rows(count), columns=[column.name for column in RIGHTS])


def save(table, path: Path, *, drop=(), layer=None, **options) -> Path:
    """Write a layer as deliveries do (shapefiles in GBK) and take away companions of these suffixes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".shp":
        options.setdefault("encoding", "GB18030")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # field names are cut to ten bytes: that is the point
        pyogrio.write_dataframe(table, path, layer=layer, **options)
    for suffix in drop:
        path.with_suffix(suffix).unlink(missing_ok=True)
    return path


def rules(reading) -> list:
    return list(reading.findings["rule"])


def message(reading, rule) -> str:
    return "\n".join(reading.findings.loc[reading.findings["rule"] == rule, "message"])
