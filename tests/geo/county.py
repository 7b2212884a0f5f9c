"""Two villages by hand, small enough to count: what the page and the service must say is known."""

import geopandas as gpd
import pandas as pd
from shapely.geometry import Point, Polygon, box

from geo import findings, schema

CRS = "EPSG:4526"  # CGCS2000, 3-degree zone 38, zone number in the easting
X0, Y0 = 38_430_000, 4_190_000
UPPER, LOWER = "140725100201", "140725100202"
W_CODE, X_CODE, D_CODE = f"{UPPER}01-W-0001", f"{UPPER}01-X-0002", f"{LOWER}02-D-0001"
STRIP_CODE, SLIVER_CODE = f"{UPPER}01-W-0003", f"{LOWER}02-W-0002"
DOUBT = "可能整体偏东北 3.13 m（中误差 0.17 m），但中误差 0.17 m，超过 0.15 m；未作移动"
REASON = "基期调查为旱地，占 93 %；不在确权范围内"


def county_tables():
    """Layers of a small workspace: 6 patches, 5 pieces, 4 parcels, 2 villages, 4 findings, the balance."""
    villages = _layer(
        "villages",
        [
            {"village_code": UPPER, "village_name": "上庄村", "geometry": box(X0, Y0, X0 + 1000, Y0 + 1000)},
            {
                "village_code": LOWER,
                "village_name": "<i>柳沟</i>村",
                "geometry": box(X0 + 1000, Y0, X0 + 2000, Y0 + 1000),
            },
        ],
    )
    patches = _layer(
        "patches",
        [
            _patch(UPPER, 1, 100, 100, covered=6000.00, residual=4000.00),
            _patch(UPPER, 2, 400, 100, covered=2499.99, residual=7500.01),
            _patch(UPPER, 3, 100, 500, kind="STATE"),
            _patch(LOWER, 1, 1100, 100, covered=5000.00, residual=5000.00),
            _patch(LOWER, 2, 1400, 100, covered=9880.00, residual=120.00),
            _patch(LOWER, 3, 1100, 500, kind="SHARE_BASED"),
        ],
    )
    pieces = _layer(
        "pieces",
        [
            _piece(W_CODE, f"{UPPER}-00001", "UNCONFIRMED", 4000.00, box(X0 + 160, Y0 + 100, X0 + 200, Y0 + 200)),
            _piece(X_CODE, f"{UPPER}-00002", "NEWLY_ADDED", 7000.00, _with_pond(X0 + 400, Y0 + 100)),
            _piece(
                STRIP_CODE, f"{UPPER}-00002", "UNCONFIRMED", 500.01, box(X0 + 470, Y0 + 100, X0 + 475, Y0 + 200),
                shape="STRIP",
            ),
            _piece(D_CODE, f"{LOWER}-00001", "UNDETERMINED", 5000.00, box(X0 + 1150, Y0 + 100, X0 + 1200, Y0 + 200)),
            _piece(
                SLIVER_CODE, f"{LOWER}-00002", "UNCONFIRMED", 120.00,
                box(X0 + 1400, Y0 + 100, X0 + 1401.2, Y0 + 200), shape="SLIVER",
            ),
        ],
    )  # fmt: skip
    parcels = _layer(
        "parcels",
        [
            {
                "parcel_code": f"{UPPER}01{number:05d}",
                "parcel_class": "10",
                "contractor_code": f"{UPPER}01{number:04d}",
                "surveyed_area_m2": 3000.0,
                "surveyed_area_mu": 4.5,
                "geometry": box(X0 + 100, Y0 + 50 + 25 * number, X0 + 160, Y0 + 75 + 25 * number),
            }
            for number in range(1, 5)
        ],
    )
    return {
        "villages": villages,
        "patches": patches,
        "pieces": pieces,
        "parcels": parcels,
        "findings": _findings(pieces, patches),
        "balance": _balance(),
    }


def moved_county_tables():
    """The same county, its upper village moved 1.8 m back to the west-north-west, its lower one in doubt."""
    tables = county_tables()
    laid = tables["parcels"].assign(shift_key=UPPER)
    row = {
        "accepted": False, "confidence": "low", "distance_m": 3.13, "direction": "东北", "dx_m": -2.5, "dy_m": -1.88,
        "rotation_deg": 0.0, "scale_ppm": 0.0, "origin_x_m": X0, "origin_y_m": Y0, "model": "translation",
        "parcel_count": 4, "error_m": 0.17, "batch": "", "reason": DOUBT,
    }  # fmt: skip
    moved = row | {
        "accepted": True, "confidence": "high", "distance_m": 1.8, "direction": "东南偏东", "dx_m": -1.66,
        "dy_m": 0.69, "error_m": 0.05, "reason": "整体偏东南偏东 1.80 m（中误差 0.05 m），已改正",
    }  # fmt: skip
    shifts = [
        row | {"shift_key": LOWER, "village_code": LOWER, "village_name": "<i>柳沟</i>村"},
        moved | {"shift_key": UPPER, "village_code": UPPER, "village_name": "上庄村"},
    ]
    original = laid.set_geometry(laid.geometry.translate(1.66, -0.69))
    return tables | {
        "parcels": schema.conform(laid, "parcels"),
        "parcels_original": schema.conform(original, "parcels_original"),
        "shifts": schema.conform(pd.DataFrame(shifts), "shifts"),
    }


def _findings(pieces, patches):
    tables = [
        findings.findings(
            "parcel_overlap",
            "与 <script>alert(1)</script> 重复，见 http://example.invalid/",
            layer="pieces",
            rows=pieces.iloc[[0]],
            row_code=W_CODE,
        ),
        findings.findings(
            "geometry_repaired",
            "环自相交",
            layer="patches",
            rows=patches.iloc[[1]],
            row_code=f"{UPPER}-00002",
        ),
        findings.findings("geometry_missing", "第 7 行没有图形", layer="parcels", row_code="x"),
        findings.findings("crs_converted", "由带号坐标转换", layer="parcels", row_code="DK.shp"),
    ]
    return findings.gather(tables, CRS)


def _layer(name, rows):
    return schema.conform(gpd.GeoDataFrame(rows, crs=CRS), name)


def _patch(village, number, x, y, *, covered=0.0, residual=0.0, kind="COLLECTIVE"):  # noqa: PLR0913 - a row reads as a row
    return {
        "patch_code": f"{village}-{number:05d}",
        "village_code": village,
        "land_class": "0103",
        "patch_kind": kind,
        "ridge_ratio": 0.068,
        "patch_area_m2": 10_000.00,
        "covered_area_m2": covered,
        "residual_area_m2": residual,
        "geometry": box(X0 + x, Y0 + y, X0 + x + 100, Y0 + y + 100),
    }


def _piece(code, patch_code, piece_class, area_m2, shape_of_land, *, shape="BLOCK"):  # noqa: PLR0913 - a row reads as a row
    net = round(area_m2 * (1 - 0.068), 2)
    return {
        "piece_key": f"{code[:14]}-{code[-4:]}",
        "piece_code": code,
        "piece_class": piece_class,
        "class_source": "BASELINE",
        "class_reason": REASON,
        "piece_shape": shape,
        "state": "candidate",
        "group_code": code[:14],
        "group_source": "OWNER_UNIT",
        "group_confidence": 1.0,
        "village_code": code[:12],
        "patch_code": patch_code,
        "land_class": "0103",
        "ridge_ratio": 0.068,
        "area_m2": area_m2,
        "net_area_m2": net,
        "area_mu": area_m2 * 3 / 2000,
        "net_area_mu": net * 3 / 2000,
        "sheet_code": "J49I304498",
        "geometry": shape_of_land,
    }


def _with_pond(x, y):
    ring = [(x, y), (x + 70, y), (x + 70, y + 100), (x, y + 100)]
    pond = [Point(x + 35, y + 50).buffer(10).exterior.coords]
    return Polygon(ring, pond)


def _balance():
    upper = {
        "farmland_m2": 20_000.0, "covered_m2": 8499.99, "block_m2": 11_000.0, "strip_m2": 500.01,
        "sliver_m2": 0.0, "state_m2": 10_000.0, "share_based_m2": 0.0, "net_block_m2": 10_252.0,
    }  # fmt: skip
    lower = {
        "farmland_m2": 20_000.0, "covered_m2": 14_880.0, "block_m2": 5000.0, "strip_m2": 0.0,
        "sliver_m2": 120.0, "state_m2": 0.0, "share_based_m2": 10_000.0, "net_block_m2": 4660.0,
    }  # fmt: skip
    rows = [
        {
            "level": "county",
            "code": "140725",
            "name": "寿阳县",
            **{key: upper[key] + lower[key] for key in upper},
        },
        {"level": "village", "code": UPPER, "name": "上庄村", **upper},
        {"level": "village", "code": LOWER, "name": "<i>柳沟</i>村", **lower},
        {"level": "group", "code": f"{UPPER}01", "name": "第一村民小组", **upper},
        {"level": "group", "code": f"{LOWER}02", "name": "第二村民小组", **lower},
    ]
    return schema.conform(pd.DataFrame(rows), "balance")
