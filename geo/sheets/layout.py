"""What stands on a page and where, before anything is drawn: a value that can be tested without an image.

Every piece of the page is an entry: it has a label in it, beside it or a key
number, and a row in a table. Areas are the pieces' own, whole even where the
page shows a part; sums are of hundredths of a square metre.

A piece's full code stands on one page of a set, in the table of the page it is
at home on (`Frame.home_codes`). The map bears its short form, the code without
what all codes of the page begin with.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geo import schema
from geo.area import from_cents, mu, to_cents
from geo.crs import central_meridian
from geo.errors import MismatchError
from geo.sheets import margin
from geo.sheets.frames import Frame, shows_parcels, shows_patches
from geo.sheets.labels import How, Labels, LabelSettings, Measure, label_size, place_labels, text_width
from geo.sheets.land import OnPaper, Shapely, cut, on_paper
from geo.sheets.margin import Tick
from geo.sheets.occupied import around, boxes_meet, half_planes, within
from geo.sheets.plan import Plan, plan_of
from geo.sheets.table import OF_AN_OVERVIEW, Part, flow, ruled_mm, sheets_of

Floats = npt.NDArray[np.float64]

CLASSES: Final = ("UNCONFIRMED", "NEWLY_ADDED", "UNDETERMINED")
SHAPES: Final = ("BLOCK", "STRIP", "SLIVER")
SIGNATURES: Final = ("村民小组组长（签字）", "村民委员会（盖章）", "乡镇核查人（签字）", "测绘人员（签字）")
FREE: Final = "本图不含界址点成果，面积以三调图斑面积为准"

_SUFFIXES: Final = {
    "村村民委员会": "村",
    "村民委员会": "村",
    "社区居民委员会": "社区",
    "居民委员会": "社区",
}
_UNIT_WORDS: Final = {14: "本组", 12: "本村"}
_LEVELS: Final = (14, 12, 9, 6)  # digits of group, village, township, county
_QR_BYTES: Final = 300  # a code of 69 modules a side at level M, each 0.3 mm and more
_NAME_TRIES: Final = 24
_PAGES_TOLD: Final = 3
_NAME_SIZE: Final = 1.3  # of the text
_COLUMNS: Final = ("piece_code", "piece_class", "piece_shape", "area_m2")
_SHAPE_RANK: Final = {"BLOCK": 0, "STRIP": 1, "SLIVER": 2}
# The areas of a balance; what a piece keeps when its ridges are taken off adds up to nothing else.
_BALANCE: Final = tuple(
    name for name in schema.column_names("balance") if name.endswith("_m2") and name != "net_block_m2"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutSettings:
    """What the margin says that the data do not."""

    county_name: str = ""
    theme: str = "未确权耕地认定图"  # follows the name in the title
    secrecy: str = "内部使用"
    height_datum: str = "1985国家高程基准"
    survey_vintage: str = ""  # of 三调, such as 2019年12月31日
    parcels_vintage: str = ""  # of 确权
    producer: str = ""
    date: str = ""  # as it is printed; nothing here asks a clock
    note: str = FREE
    labels: LabelSettings = field(default_factory=LabelSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One piece on the page: what its row says and where its label stands."""

    number: int  # of its row; also its key number
    piece_code: str
    short_code: str  # as the map has it
    piece_class: str
    piece_shape: str
    area_m2: float
    area_mu: float
    at_home: bool  # its row with the full code stands here
    remark: str
    how: How
    lines: tuple[str, ...]  # on the map
    box_mm: tuple[float, float, float, float] | None  # left, bottom, right, top
    leader_mm: tuple[float, float, float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """Count and area of the pieces at home on the page, of one class and shape."""

    piece_class: str
    piece_shape: str
    count: int
    area_m2: float
    area_mu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """The name of adjoining land, within the map."""

    text: str
    box_mm: tuple[float, float, float, float]
    size_pt: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """Everything on a page. Lengths are mm of paper from its lower left corner."""

    plan: Plan
    place: OnPaper
    title: str
    number: str
    page_text: str
    settings: LayoutSettings
    measure: Measure
    system: str
    convergence: str
    message: str  # across the map where there are no pieces
    entries: tuple[Entry, ...]  # blocks, strips, slivers; then pieces at home elsewhere
    pieces: Shapely  # of the entries, on an overview of all its pieces; cut at the frame
    piece_kinds: tuple[tuple[str, str], ...]  # class and shape of each of them
    totals: tuple[Total, ...]
    parts: tuple[Part, ...]
    balance: tuple[tuple[str, float], ...]  # Chinese title and m²
    land: Mapping[str, Shapely]  # patches, parcels, villages, other pieces: cut at the frame
    tiles: tuple[tuple[Floats, int], ...]  # of an overview: corners and page
    places: tuple[tuple[str, int], ...]  # of an overview: short code of each block, and the page of its row
    names: tuple[Name, ...]
    index: tuple[tuple[str, ...], ...]  # adjoining pages, north first
    neighbours: Mapping[str, str]  # as the frame has them
    ticks: tuple[Tick, ...]
    corner_texts: tuple[tuple[str, str], ...]  # a corner: along the side, across it
    crosses_mm: Floats
    bar_m: tuple[float, ...]
    payload: str  # of the sheet's bar code

    @property
    def continuation_pages(self) -> int:
        """How many further pages the tables need."""
        return sheets_of(self.parts)

    @property
    def unmarked(self) -> int:
        """Blocks that stand in the table alone, for the map is too full to name them."""
        return sum(entry.how == "table" and entry.piece_shape == "BLOCK" for entry in self.entries)

    @property
    def finding(self) -> str:
        """What a page without pieces certifies."""
        areas = dict(self.balance)
        titles = schema.titles("balance")
        farmland, covered = (areas.get(titles[name], 0.0) for name in ("farmland_m2", "covered_m2"))
        if not self.message:
            return ""
        if farmland == 0:
            return f"{self.message}：没有参加比对的集体耕地"
        if covered == farmland:
            return f"{self.message}：集体耕地 {float(mu(farmland)):.2f} 亩全部已确权"
        return self.message


def layout(
    frame: Frame,
    layers: Mapping[str, pd.DataFrame],
    *,
    settings: LayoutSettings | None = None,
    tiles: Sequence[Frame] = (),
    measure: Measure = text_width,
) -> Layout:
    """Everything that stands on the page of a frame.

    Parameters
    ----------
    frame : Frame
    layers : mapping of layer name to GeoDataFrame
        ``pieces``, and if there are any ``patches, parcels, villages`` and the
        table ``balance``; columns of `geo.schema`. Rows outside the frame are
        left aside. All in one CRS; brought into that of the frame where it names one.
    settings : LayoutSettings, optional
    tiles : sequence of Frame
        All pages of the frame's unit: an overview draws their outlines, a map
        page says on which page a piece has its row.
    measure : callable
        Width in mm of a text at a size in points.

    Returns
    -------
    Layout
        Each of ``frame.piece_codes`` is one entry: those at home first, blocks before
        strips before slivers, by group and serial.

    Raises
    ------
    MismatchError
        If the frame lists a piece that the layers do not have, or does not fit its paper.
    MissingDatumError
        If a layer has no CRS.
    InputError
        If there is no such paper.
    GeoError
        If an area is missing.
    """
    chosen = settings or LayoutSettings()
    plan = plan_of(frame.paper)
    place = on_paper(frame, plan, layers)
    found, shapes = cut(layers, "pieces", place, (*_COLUMNS, "group_code", "state"))
    rows, own, others = _rows(frame, layers, found, shapes)
    parcels = cut(layers, "parcels", place, ("issuer_code",))
    villages = cut(layers, "villages", place, ("village_code",))
    unit_names = _unit_names(layers)
    entries: tuple[Entry, ...] = ()
    names: tuple[Name, ...] = ()
    if frame.kind != "overview":
        adjoining = _adjoining_land(frame, (found, shapes), parcels, villages)
        names = _names(adjoining, unit_names, own, place.frame_mm, plan, measure)
    if frame.kind == "map":
        labels = _labels(rows, own, names, place.frame_mm, chosen.labels, measure)
        entries = _entries(rows, labels, _page_remarks(frame, rows, tiles))
    nothing = parcels[1][:0]
    placed = bool(np.isfinite(frame.corners).all()) and place.crs is not None
    totals = _totals(rows if frame.kind == "overview" else rows[rows["at_home"]])
    balance = _balance(frame, layers.get("balance"))
    places = _places(rows, tiles) if frame.kind == "overview" else ()
    sums = ruled_mm(plan, len(totals) + 1) + (ruled_mm(plan, len(balance)) if balance else 0.0)
    return Layout(
        plan=plan,
        place=place,
        title=f"{chosen.county_name}{_unit_name(frame, unit_names)}{chosen.theme}",
        number=frame.number,
        page_text=f"第 {frame.page} 页  共 {frame.pages} 页",
        settings=chosen,
        measure=measure,
        system=margin.system_text(place.crs) if place.crs is not None else "",
        convergence=_convergence(place) if placed else "",
        message=f"{_unit_word(frame.unit_code)}无未确权耕地图块" if frame.kind == "empty" else "",
        entries=entries,
        pieces=own,
        piece_kinds=tuple(zip(rows["piece_class"], rows["piece_shape"], strict=True)),
        totals=totals,
        parts=flow(
            [len(places)],
            plan,
            top_mm=plan.table_top - sums,
            bottom_mm=plan.table_bottom,
            kinds=OF_AN_OVERVIEW,
        )
        if frame.kind == "overview"
        else _parts(entries, plan),
        balance=balance,
        land={
            "patches": cut(layers, "patches", place)[1] if shows_patches(frame) else nothing,
            "parcels": parcels[1] if shows_parcels(frame) else nothing,
            "villages": villages[1],
            "others": others,
        },
        tiles=tuple(
            (place.mm(tile.corners), tile.page)
            for tile in tiles
            if tile.kind == "map" and frame.kind == "overview"
        ),
        places=places,
        names=names,
        index=margin.adjoining(frame.number, frame.neighbours),
        neighbours=frame.neighbours,
        ticks=margin.ticks(frame.corners, frame.scale) if placed else (),
        corner_texts=_corner_texts(place) if placed else (),
        crosses_mm=place.mm(margin.crosses(frame.corners, frame.scale)) if placed else np.empty((0, 2)),
        bar_m=margin.bar_lengths(frame.scale),
        payload=sheet_payload(frame.key, [entry.piece_code for entry in entries if entry.at_home]),
    )


def _unit_word(code: str) -> str:
    if len(code) == _LEVELS[0] and code.endswith("00"):
        return "村集体"  # land of the village that no group has
    return _UNIT_WORDS.get(len(code), "本图幅")


def sheet_payload(key: str, codes: Sequence[str]) -> str:
    """What a sheet's bar code holds: ``key|group|W-0001,W-0002|group|…``, and ``+n`` for n codes without room."""
    out, group = key, ""
    for number, code in enumerate(codes):
        step = f",{code[15:]}" if code[:14] == group else f"|{code[:14]}|{code[15:]}"
        if len((out + step).encode()) > _QR_BYTES:
            return f"{out}|+{len(codes) - number}"
        out, group = out + step, code[:14]
    return out


def _rows(
    frame: Frame, layers: Mapping[str, pd.DataFrame], found: pd.DataFrame, shapes: Shapely
) -> tuple[pd.DataFrame, Shapely, Shapely]:
    """Pieces the frame lists, in the order of the table, their land, and that of others."""
    listed = found["piece_code"].isin(frame.piece_codes).to_numpy(dtype=bool)
    live = (found["state"] != "superseded").to_numpy(dtype=bool)  # the land of others lies in its children
    table, own = found.loc[listed, [*_COLUMNS]], shapes[listed]
    missing = set(frame.piece_codes) - set(table["piece_code"])
    if missing:
        layer = layers.get("pieces", pd.DataFrame(columns=[*_COLUMNS]))
        more = pd.DataFrame(layer[layer["piece_code"].isin(missing)][[*_COLUMNS]])
        if lost := sorted(missing - set(more["piece_code"])):
            raise MismatchError(f"{frame.number} 列有图块 {lost[0]}，图层中没有：请用同一批次的图层和图幅")
        table = pd.concat([table, more])
        own = np.concatenate([own, np.full(len(more), shapely.Polygon(), dtype=object)])
    home = table["piece_code"].isin(frame.home_codes)
    # A piece whose class or shape is not known is drawn as the field meets it: undetermined land.
    table["piece_class"] = table["piece_class"].where(table["piece_class"].isin(CLASSES), "UNDETERMINED")
    table["piece_shape"] = table["piece_shape"].where(table["piece_shape"].isin(SHAPES), "BLOCK")
    rank = table["piece_shape"].map(_SHAPE_RANK).fillna(0)
    # By group and serial, as the ledger has them: the letter of the class tells nothing of the place.
    key = table["piece_code"].str[: _LEVELS[0]] + table["piece_code"].str[_LEVELS[0] + 2 :]
    table = table.assign(at_home=home, shape_rank=rank, key=key).reset_index(drop=True)
    by = ["at_home", "shape_rank", "key", "piece_code"]
    table = table.sort_values(by, ascending=[False, True, True, True], kind="stable")
    return table.reset_index(drop=True), own[table.index.to_numpy()], shapes[~listed & live]


def _short_codes(codes: Sequence[str]) -> list[str]:
    """Codes without the group if there is one only; else from the group on, or from higher up where that names two."""
    if len({code[: _LEVELS[0]] for code in codes}) == 1 and all(len(code) > _LEVELS[0] for code in codes):
        return [code[_LEVELS[0] :].removeprefix("-") for code in codes]
    out = list(codes)
    for digits in (6, 9, 12):
        short = [code[digits:] for code in codes]
        times = Counter(short)
        out = [text if text and times[text] == 1 else longer for text, longer in zip(short, out, strict=True)]
    return out


def _labels(  # noqa: PLR0913, PLR0917 - what labels depend on
    rows: pd.DataFrame,
    own: Shapely,
    names: Sequence[Name],
    window: Floats,
    settings: LabelSettings,
    measure: Measure,
) -> tuple[Labels, list[tuple[tuple[str, ...], ...]]]:
    texts: list[tuple[tuple[str, ...], ...]] = []
    for short, shape, area in zip(
        _short_codes(rows["piece_code"].tolist()), rows["piece_shape"], mu(rows["area_m2"]), strict=True
    ):
        full = ((short, f"{area:.2f}亩"), (f"{short} {area:.2f}亩",), (short,))
        texts.append(full if shape == "BLOCK" else ())
    labels = place_labels(
        own,
        texts,
        [str(number) for number in range(1, len(rows) + 1)],
        window=window,
        priority=rows["shape_rank"].astype(int).tolist(),
        obstacles=np.array([name.box_mm for name in names]).reshape(-1, 4),
        measure=measure,
        settings=settings,
    )
    return labels, texts


def _entries(
    rows: pd.DataFrame, placed: tuple[Labels, list[tuple[tuple[str, ...], ...]]], remarks: Sequence[str]
) -> tuple[Entry, ...]:
    labels, texts = placed
    shorts = _short_codes(rows["piece_code"].tolist())
    out = []
    areas = mu(rows["area_m2"].to_numpy(dtype=np.float64)).tolist()
    for at, row in enumerate(rows.itertuples(index=False)):
        variant, how = int(labels.variant[at]), labels.how[at]
        lines = texts[at][variant] if variant >= 0 else (str(at + 1),) if how == "key" else ()
        out.append(
            Entry(
                number=at + 1,
                piece_code=str(row.piece_code),
                short_code=shorts[at],
                piece_class=str(row.piece_class),
                piece_shape=str(row.piece_shape),
                area_m2=float(row.area_m2),  # type: ignore[arg-type] # itertuples has no types
                area_mu=areas[at],
                at_home=bool(row.at_home),
                remark=remarks[at],
                how=how,
                lines=lines,
                box_mm=_box(labels.boxes[at]),
                leader_mm=_box(labels.leaders[at]),
            )
        )
    return tuple(out)


def _box(values: Floats) -> tuple[float, float, float, float] | None:
    if np.isnan(values[0]):
        return None
    left, bottom, right, top = values.tolist()
    return left, bottom, right, top


def _page_remarks(frame: Frame, rows: pd.DataFrame, tiles: Sequence[Frame]) -> list[str]:
    """Where else a piece is to be found: its row, or more of its land."""
    wanted = set(rows["piece_code"])
    home: dict[str, int] = {}
    shown: dict[str, list[int]] = {}
    for tile in tiles:
        if tile.kind != "map" or tile.page == frame.page:
            continue
        home |= dict.fromkeys(wanted.intersection(tile.home_codes), tile.page)
        for code in wanted.intersection(tile.piece_codes):
            shown.setdefault(code, []).append(tile.page)
    out = []
    for code, at_home in zip(rows["piece_code"], rows["at_home"], strict=True):
        others = frame.others.get(code)
        if others:
            more = f"等{len(others)}幅" if len(others) > 1 else ""  # the cell has room for one number
            out.append(f"另见{others[0]}{more}" if at_home else others[0])
        elif not at_home:
            out.append(f"第{home[code]}页" if code in home else "见邻页")
        else:
            out.append(_see(sorted(shown.get(code, ()))))
    return out


def _see(pages: Sequence[int]) -> str:
    """Pages that show more of a piece, as many as a cell has room for."""
    if len(pages) <= _PAGES_TOLD:
        return f"另见第{'、'.join(map(str, pages))}页" if pages else ""
    return f"另见第{pages[0]}页等{len(pages)}页"


def _places(rows: pd.DataFrame, tiles: Sequence[Frame]) -> tuple[tuple[str, int], ...]:
    """The page on which each block of an overview has its row, in the order of the tables."""
    home = {code: tile.page for tile in tiles if tile.kind == "map" for code in tile.home_codes}
    blocks = rows.loc[rows["piece_shape"] == "BLOCK", "piece_code"].tolist()
    return tuple(
        (short, home[code]) for code, short in zip(blocks, _short_codes(blocks), strict=True) if code in home
    )


def _totals(rows: pd.DataFrame) -> tuple[Total, ...]:
    """Sums by class and shape, in exact hundredths of a square metre."""
    cents = to_cents(rows["area_m2"].to_numpy(dtype=np.float64))
    sums: dict[tuple[str, str], list[int]] = {}
    for name, shape, area in zip(rows["piece_class"], rows["piece_shape"], cents.tolist(), strict=True):
        mine = sums.setdefault((name, shape), [0, 0])
        mine[0] += 1
        mine[1] += area
    out = []
    for name in CLASSES:
        for shape in SHAPES:
            if (name, shape) in sums:
                count, whole = sums[name, shape]
                area_m2 = float(from_cents(whole))
                out.append(
                    Total(
                        piece_class=name,
                        piece_shape=shape,
                        count=count,
                        area_m2=area_m2,
                        area_mu=float(mu(area_m2)),
                    )
                )
    return tuple(out)


def _parts(entries: Sequence[Entry], plan: Plan) -> tuple[Part, ...]:
    counts = [
        sum(entry.at_home and entry.piece_shape == "BLOCK" for entry in entries),
        sum(entry.at_home and entry.piece_shape != "BLOCK" for entry in entries),
        sum(not entry.at_home for entry in entries),
    ]
    return flow(counts, plan, top_mm=plan.table_top, bottom_mm=plan.table_bottom)


def _balance(frame: Frame, table: pd.DataFrame | None) -> tuple[tuple[str, float], ...]:
    """The unit's areas from the balance, m²; empty where it has no row there."""
    if table is None or table.empty:
        return ()
    mine = table[table["code"] == frame.unit_code]
    if mine.empty:
        return ()
    titles = schema.titles("balance")
    row = mine.iloc[0]
    return tuple((titles[name], float(row[name])) for name in _BALANCE if pd.notna(row[name]))


def _unit_names(layers: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Names of groups and villages by code."""
    out: dict[str, str] = {}
    for layer, code, name in (("villages", "village_code", "village_name"), ("balance", "code", "name")):
        table = layers.get(layer)
        if table is not None and len(table):
            out |= dict(zip(table[code].fillna(""), table[name].fillna("").map(_bare), strict=True))
    return out


def _unit_name(frame: Frame, names: Mapping[str, str]) -> str:
    """The unit's name; for want of one its village's, at last its code."""
    code = frame.unit_code
    return _bare(frame.unit_name) or names.get(code) or names.get(code[:12]) or code


def _bare(name: str) -> str:
    """A village by the name people call it: the committee's suffix left out."""
    for suffix, rest in _SUFFIXES.items():
        if name.endswith(suffix) and name != suffix:
            return name.removesuffix(suffix) + rest
    return name


def _adjoining_land(
    frame: Frame,
    pieces: tuple[pd.DataFrame, Shapely],
    parcels: tuple[pd.DataFrame, Shapely],
    villages: tuple[pd.DataFrame, Shapely],
) -> dict[str, Shapely]:
    """Land of other units within the frame, by unit code: of groups, else of villages."""
    out: dict[str, list[shapely.Geometry]] = {}
    unit = frame.unit_code
    sources = [(villages, "village_code", 12)]
    if len(unit) == _LEVELS[0]:
        sources = [(parcels, "issuer_code", 14), (pieces, "group_code", 14), *sources]
    for (rows, shapes), column, digits in sources:
        if column not in rows:
            continue
        for code, shape in zip(rows[column].fillna(""), shapes, strict=True):
            near = any(other.startswith(code) for other in out) if digits < _LEVELS[0] else False
            if code and code != unit[:digits] and not near and not shape.is_empty:
                out.setdefault(code, []).append(shape)
    return {code: np.array(shapes, dtype=object) for code, shapes in sorted(out.items())}


def _names(  # noqa: PLR0913, PLR0917 - what a name's place depends on
    land: Mapping[str, Shapely],
    names: Mapping[str, str],
    own: Shapely,
    window: Floats,
    plan: Plan,
    measure: Measure,
) -> tuple[Name, ...]:
    """A place for the name of each adjoining unit: on its land, near the middle, where it hides least."""
    out: list[Name] = []
    taken = np.empty((0, 4))
    tree, planes = shapely.STRtree(own), half_planes(window)
    size_pt = plan.text_pt * _NAME_SIZE
    for code, shapes in land.items():
        text = names.get(code, "")
        if not text:
            continue
        points = shapely.get_coordinates(shapely.point_on_surface(shapes))
        off = np.hypot(*(points - np.median(points, axis=0)).T)
        points = points[np.argsort(off, kind="stable")]
        boxes = around(points[:_NAME_TRIES], label_size((text,), size_pt, measure, LabelSettings()))
        boxes = boxes[within(boxes, planes) & ~boxes_meet(boxes, taken).any(axis=1)]
        if not len(boxes):
            continue
        hidden, _ = tree.query(shapely.box(*boxes.T), predicate="intersects")
        best = boxes[np.argmin(np.bincount(hidden, minlength=len(boxes)))]
        taken = np.concatenate([taken, best[None]])
        left, bottom, right, top = best.tolist()
        out.append(Name(text=text, box_mm=(left, bottom, right, top), size_pt=size_pt))
    return tuple(out)


def _convergence(place: OnPaper) -> str:
    if place.crs is None or central_meridian(place.crs) is None:
        return ""
    angle = margin.convergence_deg(place.corners, place.crs)
    return f"平面子午线收敛角 {'+' if angle >= 0 else '-'}{margin.dms(abs(angle), 0)}"


def _corner_texts(place: OnPaper) -> tuple[tuple[str, str], ...]:
    """Of each corner northing and easting in km; of a sheet bounded by meridians latitude and longitude."""
    if margin.is_rectangle(place.corners) or place.crs is None:
        return tuple((margin.kilometres(y, 1), margin.kilometres(x, 1)) for x, y in place.corners.tolist())
    degrees = margin.lonlat(place.corners, place.crs).tolist()
    return tuple((margin.dms(lat), margin.dms(lon)) for lon, lat in degrees)
