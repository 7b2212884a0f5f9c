"""Which village and group a home belongs to: by where it lies, or by what its row says.

Where both speak of the village, the place is right: a code is easily copied
from the row above, and a grid is a piece of land. Of the group the row is
right: land of two groups lies mixed, and people know which is theirs.
"""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
import shapely
from geopandas import GeoDataFrame

from geo.codes import is_digits
from geo.grids.numerals import number_in
from geo.grids.stairs import Geometries

BORDER_M: Final = 0.01  # closer to a border than coordinates are exact

_OFFICE: Final = re.compile(r"(村民委员会|居民委员会|村委会|居委会|股份经济合作社|经济合作社|社区|村)$")
_GROUP: Final = re.compile(r"(?:第)?([\d一二三四五六七八九十]+)\s*(?:村民|居民)?(?:小)?[组队社]")
_GROUP_DIGITS: Final = 14
_VILLAGE_DIGITS: Final = 12
_SHORT: Final = 4  # digits of a group's number where it stands alone


def village_at(
    points: Geometries, polygons: Geometries, codes: "pd.Series[str]", told: "pd.Series[str]"
) -> pd.DataFrame:
    """Village of each point by place.

    Parameters
    ----------
    points : array of Point, n
    polygons : array of polygons, m
        Valid, of villages; a village may have several.
    codes : Series of str, m
        Village of each polygon.
    told : Series of str, n
        Village that the row itself names, '' where none: it decides where several hold the point.

    Returns
    -------
    DataFrame, n rows, on the index of ``told``
        ``village_code`` ('' outside all), ``others`` (further villages that hold the point, ';'
        between), ``overlap`` (true if it lies inside several, false if on a border), ``nearest``
        and ``distance_m`` (nearest village of a point outside).
    """
    count = len(points)
    own, others, nearest = (np.full(count, "", dtype=object) for _ in range(3))
    overlap, distance = np.zeros(count, dtype=bool), np.zeros(count)
    names = codes.to_numpy(dtype=object)
    # Few large polygons ask for many points: a polygon that asks is prepared once for all of them.
    polygon, point = shapely.STRtree(points).query(polygons, predicate="intersects")
    outside = np.setdiff1d(np.arange(count), point)
    if len(outside):
        (row, near), far = shapely.STRtree(polygons).query_nearest(
            points[outside], return_distance=True, all_matches=True
        )
        # Of villages equally near the least code counts: it is written last.
        order = np.argsort(names[near], kind="stable")[::-1]
        nearest[outside[row[order]]], distance[outside[row]] = names[near[order]], far
        touching = far <= BORDER_M
        polygon, point = np.append(polygon, near[touching]), np.append(point, outside[row[touching]])
        nearest[point], distance[point] = "", 0.0
    hits = pd.DataFrame({"point": point, "polygon": polygon, "code": names[polygon]})
    hits["wanted"] = hits["code"].to_numpy() == told.to_numpy(dtype=object)[point]
    hits = hits.sort_values(["point", "wanted", "code"], ascending=[True, False, True])
    hits = hits.drop_duplicates(["point", "code"])
    first = hits.drop_duplicates("point")
    own[first["point"].to_numpy()] = first["code"].to_numpy(dtype=object)
    several = hits[hits["point"].duplicated(keep=False)]
    for at, rows in several.groupby(several["point"].to_numpy(), sort=True):
        number = int(str(at))
        edges = shapely.boundary(polygons[rows["polygon"].to_numpy()])
        others[number] = ";".join(rows["code"].iloc[1:])
        overlap[number] = (shapely.distance(edges, points[number]) > BORDER_M).sum() > 1
    columns = {
        "village_code": own,
        "others": others,
        "overlap": overlap,
        "nearest": nearest,
        "distance_m": distance,
    }
    return pd.DataFrame(columns, index=told.index).astype(
        dict.fromkeys(("village_code", "others", "nearest"), "str")
    )


def told_villages(homes: pd.DataFrame, villages: GeoDataFrame) -> "pd.Series[str]":
    """Village that each row names by code of village or group, else by name; '' where none is known."""
    known = set(villages["village_code"])
    out = pd.Series("", index=homes.index, dtype="str")
    for column, digits in (("village_code", _VILLAGE_DIGITS), ("group_code", _GROUP_DIGITS)):
        code = homes[column].str[:_VILLAGE_DIGITS]
        sound = is_digits(code, _VILLAGE_DIGITS) & (homes[column].str.len() >= digits)
        out = out.mask(out.eq("") & sound & code.isin(known), code)
    unknown = homes["village_code"].str[:_VILLAGE_DIGITS]
    foreign = out.eq("") & is_digits(unknown, _VILLAGE_DIGITS)
    names = _by_name(villages["village_name"].fillna(""), villages["village_code"])
    asked = homes["village_name"].mask(foreign | out.ne(""), "")
    found = {text: _named(text, names) for text in asked.unique()}
    return out.mask(out.eq(""), asked.map(found)).astype("str")


def _by_name(names: "pd.Series[str]", codes: "pd.Series[str]") -> dict[str, str]:
    """Village of each name that only one has, offices taken off."""
    table = pd.DataFrame(
        {"name": [_short(name) for name in names], "code": codes.to_numpy()}
    ).drop_duplicates()
    table = table[(table["name"] != "") & ~table["name"].duplicated(keep=False)]
    return dict(zip(table["name"], table["code"], strict=True))


def _short(name: str) -> str:
    """南坡 for 南坡村民委员会 and 南坡村."""
    while (shorter := _OFFICE.sub("", name.strip())) != name and shorter:
        name = shorter
    return name


def _named(text: str, names: dict[str, str]) -> str:
    """Village of a name, with or without its township before it."""
    short = _short(text)
    if short in names or not short:
        return names.get(short, "")
    ends = [name for name in names if short.endswith(name) and len(name) > 1]
    return names[max(ends, key=len)] if ends else ""


def told_groups(
    homes: pd.DataFrame, village: "pd.Series[str]", groups: GeoDataFrame | None
) -> "pd.Series[str]":
    """Group that each row names, by code, name or number; '' where none of its village is meant.

    Numbers become codes as issuers' codes are built (village 12 + number 2); where there is a
    layer of groups only those it has count.
    """
    table = pd.DataFrame({"code": homes["group_code"], "name": homes["group_name"], "village": village})
    asked = table.drop_duplicates()
    layer = _group_names(groups) if groups is not None else None
    found = {
        (code, name, home): _group(code, name, home, layer)
        for code, name, home in asked.itertuples(index=False, name=None)
    }
    values = [found[row] for row in table.itertuples(index=False, name=None)]
    return pd.Series(values, index=homes.index, dtype="str")


def _group_names(groups: GeoDataFrame) -> dict[tuple[str, str], str]:
    """Group of each name, and of each number, within its village; none where two have it."""
    rows: list[tuple[str, str, str]] = []
    for code, name in zip(groups["group_code"], groups["group_name"].fillna(""), strict=True):
        if not name:
            continue
        rows.append((code[:_VILLAGE_DIGITS], name, code))
        if number := _GROUP.search(name):
            rows.append((code[:_VILLAGE_DIGITS], str(number_in(number[1])), code))
    table = pd.DataFrame(rows, columns=["village", "name", "code"]).drop_duplicates()
    table = table[~table.duplicated(["village", "name"], keep=False)]
    return {(home, name): code for home, name, code in table.itertuples(index=False, name=None)}


def _group(code: str, name: str, village: str, layer: dict[tuple[str, str], str] | None) -> str:
    if not village:
        return code[:_GROUP_DIGITS] if code.isascii() and len(code) >= _GROUP_DIGITS else ""
    if len(code) >= _GROUP_DIGITS and code.isdigit():
        return code[:_GROUP_DIGITS] if code.startswith(village) else ""
    number = int(code) if code.isdigit() and code.isascii() and len(code) <= _SHORT else None
    if layer is not None and (village, name) in layer:
        return layer[village, name]
    if number is None and (said := _GROUP.search(name)):
        number = number_in(said[1])
    if number is None and name.isascii() and name.isdigit() and len(name) <= _SHORT:
        number = int(name)
    if number is None or not 0 < number <= 99:  # noqa: PLR2004 - two digits
        return ""
    if layer is None:
        return f"{village}{number:02d}"
    return layer.get((village, str(number)), "")


def group_at(
    points: Geometries, village: "pd.Series[str]", polygons: Geometries, codes: Sequence[str]
) -> "pd.Series[str]":
    """Group of the home's own village that each point lies in; the least where several do, '' where none."""
    out = pd.Series("", index=village.index, dtype="str")
    if not len(points) or not len(polygons):
        return out
    names = np.asarray(codes, dtype=object)
    polygon, point = shapely.STRtree(points).query(polygons, predicate="intersects")
    hits = pd.DataFrame({"point": point, "code": names[polygon]})
    own = hits["code"].str[:_VILLAGE_DIGITS].to_numpy() == village.to_numpy()[hits["point"]]
    first = hits[own].sort_values(["point", "code"]).drop_duplicates("point")
    out.iloc[first["point"]] = first["code"].to_numpy()
    return out
