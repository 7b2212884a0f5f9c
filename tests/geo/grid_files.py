"""The county of two small villages as files: what a user gives to ``taotu grids``."""

from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import pandas as pd

from geo.grid_pipeline import GridInputs
from tests.geo.grids.counties import lines, source, villages

NAMED = {"village_code": "ZLDWDM", "village_name": "ZLDWMC"}


@dataclass(frozen=True, kw_only=True)
class Files:
    """Paths of what the county consists of."""

    villages: Path
    houses: Path
    lanes: Path
    stream: Path

    def inputs(self, **more):
        pairs = (("村道", self.lanes), ("河流", self.stream))
        return GridInputs(**{"villages": self.villages, "households": self.houses, "lines": pairs} | more)

    def words(self):
        """The same for the command line."""
        given = ["--villages", self.villages, "--households", self.houses]
        return [*given, "--line", f"村道={self.lanes}", "--line", f"河流={self.stream}"]


def written(folder, *, land=None, houses=None):
    """The county in a folder; a layer of villages or a table of houses may be another."""
    land = villages() if land is None else land
    houses = source() if houses is None else houses
    files = Files(
        villages=folder / "CJDCQ.gpkg",
        houses=folder / "住户.gpkg",
        lanes=folder / "村道.gpkg",
        stream=folder / "河流.gpkg",
    )
    land.rename(columns=NAMED).to_file(files.villages, layer="CJDCQ")
    houses.rename(columns={"households": "户数", "address": "地址"}).to_file(files.houses, layer="住户")
    ways = lines()
    for kind, path in (("lane", files.lanes), ("river", files.stream)):
        ways[ways["kind"].eq(kind)][["geometry"]].to_file(path, layer="线")
    return files


def listed(path, **columns):
    """A table of houses with coordinates, and further columns by address."""
    houses = source()
    table = pd.DataFrame(
        {
            "户数": houses["households"],
            "地址": houses["address"],
            "东坐标": houses.geometry.x,
            "北坐标": houses.geometry.y,
            **{title: houses["address"].map(values) for title, values in columns.items()},
        }
    )
    table.to_csv(path, index=False, encoding="utf-8-sig")
    return path


def drawn_file(path, grids):
    """Grids as a county has them, in a file."""
    named = {
        "grid_code": "网格编码",
        "grid_name": "网格名称",
        "village_code": "村代码",
        "grid_kind": "网格类型",
    }
    held = [name for name in (*named, "geometry") if name in grids]
    gpd.GeoDataFrame(grids[held]).rename(columns=named).to_file(path, layer="现状网格")
    return path
