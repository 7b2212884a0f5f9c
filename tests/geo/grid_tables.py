"""Layers of grids of two villages by hand: one balanced, one with a grid too small, a site, and micro-grids."""

import geopandas as gpd
import pandas as pd
import shapely
from shapely.geometry import box

from geo import schema
from tests.geo.county import CRS, LOWER, UPPER, X0, Y0

SMALL_REASON = "土地相连的这一片只有 6 户，不足下限 20 户"
EVIL = '=HYPERLINK("http://example.invalid/","看")'


def grid_tables():
    """``villages, grids, households, grid_villages, grid_lineage`` of a small county."""
    villages = gpd.GeoDataFrame(
        {"village_code": [UPPER, LOWER], "village_name": ["上庄村", "<i>柳沟</i>村"]},
        geometry=[box(X0, Y0, X0 + 1000, Y0 + 1000), box(X0 + 1000, Y0, X0 + 2000, Y0 + 1000)],
        crs=CRS,
    )
    homes = _homes()
    grids = _grids()
    for column in ("grid_code", "micro_code"):
        held = homes.groupby(column)["households"].agg(["sum", "size"])
        own = grids["grid_code"].isin(held.index)
        grids.loc[own, "households"] = held["sum"].reindex(grids["grid_code"][own]).to_numpy()
        grids.loc[own, "homes"] = held["size"].reindex(grids["grid_code"][own]).to_numpy()
    return {
        "villages": villages,
        "grids": gpd.GeoDataFrame(schema.conform(grids, "grids"), geometry="geometry", crs=CRS),
        "households": gpd.GeoDataFrame(schema.conform(homes, "households"), geometry="geometry", crs=CRS),
        "grid_villages": schema.conform(_proofs(), "grid_villages"),
        "grid_lineage": schema.conform(
            pd.DataFrame(
                {
                    "edition": [1, 2, 2],
                    "village_code": UPPER,
                    "old_code": [None, f"{UPPER}001", f"{UPPER}009"],
                    "new_code": [f"{UPPER}001", f"{UPPER}001", f"{UPPER}002"],
                    "change": ["NEW", "SHIFTED", "MERGED"],
                    "households": [27, 24, 3],
                }
            ),
            "grid_lineage",
        ),
    }


def _grids():
    def row(code, shape, kind="ORDINARY", **more):
        village = code[:12]
        return {
            "grid_code": code,
            "grid_kind": kind,
            "parent_code": code[:15] if kind == "MICRO" else "",
            "village_code": village,
            "village_name": "上庄村" if village == UPPER else "<i>柳沟</i>村",
            "profile": "" if kind == "EXCLUSIVE" else "农村 20-50",
            "households": 0,
            "homes": 0,
            "balance": "" if kind == "EXCLUSIVE" else "IN_BAND",
            "change": "NEW",
            "group_codes": f"{village}01",
            "neighbours": "",
            "area_m2": shape.area,
            "radius_m": 320.5,
            "mean_distance_m": 150.25,
            "natural_share": 0.9,
            "geometry": shape,
        } | more

    return pd.DataFrame(
        [
            row(
                f"{LOWER}001", box(X0 + 1000, Y0, X0 + 1900, Y0 + 1000), grid_name=EVIL, balance="OVER",
                reason="一处住房有 70 户",
            ),
            row(f"{LOWER}002", box(X0 + 1900, Y0, X0 + 2000, Y0 + 1000), grid_name="县医院", kind="EXCLUSIVE"),
            row(
                f"{UPPER}001", box(X0, Y0, X0 + 500, Y0 + 1000), grid_name="上庄村第1网格", change="SHIFTED",
                predecessors=f"{UPPER}001", neighbours=f"{UPPER}002;{LOWER}001", group_codes=f"{UPPER}01;{UPPER}02",
            ),
            row(
                f"{UPPER}002", box(X0 + 500, Y0, X0 + 1000, Y0 + 1000), grid_name="上庄村第2网格", balance="UNDER",
                reason=SMALL_REASON, neighbours=f"{UPPER}001", change="MERGED",
            ),
            row(f"{UPPER}00101", box(X0, Y0, X0 + 500, Y0 + 500), grid_name="上庄村第1网格第1微网格", kind="MICRO"),
            row(
                f"{UPPER}00102", box(X0, Y0 + 500, X0 + 500, Y0 + 1000), grid_name="上庄村第1网格第2微网格",
                kind="MICRO",
            ),
        ]
    )  # fmt: skip


def _homes():
    spots = [(x, y) for x in range(100, 400, 100) for y in range(100, 1000, 100)]
    rows = [(X0 + x, Y0 + y, f"{UPPER}001", f"{UPPER}0010{1 + (y > 500)}", UPPER, 1) for x, y in spots]
    rows += [
        (X0 + 700, Y0 + 500, f"{UPPER}002", "", UPPER, 4),
        (X0 + 720, Y0 + 510, f"{UPPER}002", "", UPPER, 2),
    ]
    rows += [(X0 + 1500, Y0 + 500, f"{LOWER}001", "", LOWER, 70)]
    rows += [(X0 + 300, Y0 + 1200, None, None, None, 3), (X0 + 999, Y0 + 999.5, None, None, UPPER, 1)]
    x, y, grid, micro, village, count = zip(*rows, strict=True)
    return pd.DataFrame(
        {
            "household_key": [f"住{at:03d}" for at in range(len(rows))],
            "village_code": village,
            "group_code": [f"{UPPER}01" if one == UPPER else None for one in village],
            "households": pd.array(count, dtype="Int64"),
            "building": [EVIL if at == 0 else f"{at} 号楼" for at in range(len(rows))],
            "address": "上庄村中街",
            "located_by": "POINT",
            "grid_code": grid,
            "micro_code": micro,
            "geometry": shapely.points(x, y),
        }
    )


def _proofs():
    common = {"profile": "农村 20-50", "budget": "standard", "exact": False, "natural_share": 0.93}
    return pd.DataFrame(
        [
            common
            | {
                "village_code": LOWER, "village_name": "<i>柳沟</i>村", "households": 70, "homes": 1, "units": 1,
                "grids": 1, "least_grids": 2, "most_grids": 3, "in_band": 0, "under": 0, "over": 1, "misses": 20,
                "least_misses": 20, "cost_m": 0.0, "bound_m": 0.0, "gap": 0.0, "reason": "一处住房有 70 户",
            },
            common
            | {
                "village_code": UPPER, "village_name": "上庄村", "households": 33, "homes": 29, "units": 29,
                "grids": 2, "least_grids": 1, "most_grids": 1, "in_band": 1, "under": 1, "over": 0, "misses": 14,
                "least_misses": 3, "cost_m": 8000.0, "bound_m": 7900.0, "gap": 0.0125, "moved": 3, "least_moved": 2,
                "reason": SMALL_REASON,
            },
        ]
    )  # fmt: skip
