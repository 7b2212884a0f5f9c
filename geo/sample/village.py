"""One village, from its land to rows of tables; what worker processes run."""

from dataclasses import dataclass
from typing import Final

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

from geo.area import ellipsoidal_area
from geo.sample import land as kinds
from geo.sample.fields import fields
from geo.sample.land import Patches, patches
from geo.sample.landscape import Landscape, Village
from geo.sample.net import Geometries, dissolve
from geo.sample.noise import digitised
from geo.sample.parcels import Holdings, baseline, holdings, shifted
from geo.sample.terrain import Ints, noise

CRS: Final = "EPSG:4526"
ORIGIN: Final = (38_420_840.0, 4_196_790.0)  # 113.1 E 37.9 N in CGCS2000 3-degree zone 38
CLASS_NAMES: Final = {
    "0101": "水田", "0102": "水浇地", "0103": "旱地", "0201": "果园", "0301": "乔木林地", "0305": "灌木林地",
    "0307": "其他林地", "0404": "其他草地", "0601": "工业用地", "0702": "农村宅基地", "08H2": "科教文卫用地",
    "1003": "公路用地", "1006": "农村道路", "1101": "河流水面", "1104": "坑塘水面", "1106": "内陆滩涂", "1107": "沟渠",
    "1201": "空闲地", "1202": "设施农用地",
}  # fmt: skip
OLD_CLASS: Final = {
    "0101": "011", "0102": "012", "0103": "013", "0201": "021", "0301": "031", "0305": "032", "0307": "033",
    "0404": "043", "0601": "061", "0702": "203", "08H2": "203", "1003": "102", "1006": "013", "1101": "111",
    "1104": "114", "1106": "116", "1107": "013", "1201": "203", "1202": "122",
}  # fmt: skip
RIDGE_RATIO: Final = {"1": 0.0, "2": 0.0680, "3": 0.1195, "4": 0.1886, "5": 0.2557}
PLANTING_NAMES: Final = {"LS": "种植粮食作物", "FLS": "种植非粮食作物", "WG": "未耕种"}
CIRCLED: Final = "一二三四五六七八九"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tables:
    """Rows of one village, by layer."""

    survey: gpd.GeoDataFrame
    parcels: gpd.GeoDataFrame
    village: gpd.GeoDataFrame
    groups: gpd.GeoDataFrame
    baseline: gpd.GeoDataFrame
    pieces: gpd.GeoDataFrame
    true_parcels: gpd.GeoDataFrame


def placed(shapes: Geometries) -> Geometries:
    """Shapes from the county's own metres to map coordinates; not rounded, or some would touch themselves."""
    return np.asarray(shapely.transform(shapes, lambda points: points + ORIGIN))


def _layer(table: dict[str, object], shapes: Geometries) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(table, geometry=shapes, crs=CRS)


def _classes(land: Patches, rng: np.random.Generator) -> NDArray[np.object_]:
    """Land class of each patch."""
    zone, draw = land.zone, rng.uniform(size=len(land.zone))
    area = shapely.area(land.geometry)
    out = np.full(len(zone), "0103", dtype=object)
    for which, choices in {
        kinds.TERRACE: ((0.035, "0201"), (0.05, "0404"), (0.07, "0301"), (1.0, "0103")),
        kinds.TOP: ((0.05, "0201"), (0.07, "0301"), (1.0, "0103")),
        kinds.QUILT: ((0.55, "0102"), (0.59, "0101"), (0.62, "0201"), (0.635, "1104"), (1.0, "0103")),
        kinds.GULLY: ((0.62, "0404"), (0.85, "0305"), (1.0, "0301")),
        kinds.WOOD: ((0.8, "0301"), (1.0, "0307")),
        kinds.SHRUB: ((0.75, "0305"), (1.0, "0404")),
        kinds.FALLOW: ((0.7, "0404"), (0.9, "0305"), (1.0, "0301")),
        kinds.HOME: ((0.86, "0702"), (0.91, "08H2"), (0.96, "1201"), (1.0, "0601")),
        kinds.SHORE: ((1.0, "1106"),),
        kinds.RIVER: ((1.0, "1101"),),
        kinds.HIGHWAY: ((1.0, "1003"),),
        kinds.LANE: ((1.0, "1006"),),
        kinds.DITCH: ((1.0, "1107"),),
    }.items():
        here = zone == which
        limits = np.array([limit for limit, _ in choices])
        names = np.array([name for _, name in choices], dtype=object)
        out[here] = names[np.searchsorted(limits, draw[here])]
    tilled = np.isin(zone, kinds.TILLED)
    # Orchards lie together near the houses; sheds for beasts stand on small plots beside them.
    second = rng.uniform(size=len(zone))
    out[tilled & (land.near_home_m < 420) & (second < 0.16) & (land.slope_deg > 3)] = "0201"
    out[tilled & (land.near_home_m < 350) & (second > 0.95) & (area < 2500)] = "1202"
    out[(out == "1104") & (area > 3000)] = "0102"
    return out


def _slope_class(land: Patches) -> NDArray[np.object_]:
    # Terraced ground is levelled: what is classed is the field, milder than the hill it is cut in.
    slope = np.where(land.zone == kinds.TERRACE, 0.85 * land.slope_deg, np.minimum(land.slope_deg, 5.0))
    return np.array(list("12345"), dtype=object)[np.searchsorted((2, 6, 15, 25), slope)]


def _groups(land: Patches, village: Village) -> Ints:
    """Villagers' group of each patch, from 1: that of the nearest hamlet."""
    spot = shapely.get_coordinates(shapely.point_on_surface(land.geometry))
    far = np.array([np.hypot(*(spot - hamlet).T) for hamlet in village.hamlets])
    return np.asarray(far.argmin(axis=0) + 1)


def _enclaves(land: Patches, farmed: NDArray[np.bool_], rng: np.random.Generator) -> Ints:
    """A patch or two on the border that belong to the neighbour."""
    rim = shapely.buffer(shapely.boundary(land.outline), 0.5)
    able = np.flatnonzero(
        farmed & shapely.intersects(land.geometry, rim) & (shapely.area(land.geometry) > 2500)
    )
    return np.asarray(rng.permutation(able)[: max(1, round(len(farmed) / 250))])


def _survey(
    land: Patches,
    village: Village,
    owner: Village,
    away: Ints,
    state: NDArray[np.bool_],
    classes: NDArray[np.object_],
    rng: np.random.Generator,
) -> gpd.GeoDataFrame:
    farmed = np.isin(classes, ("0101", "0102", "0103"))
    count = len(classes)
    slope = np.where(farmed, _slope_class(land), "")
    terraced = farmed & (slope != "1") & (land.zone == kinds.TERRACE)
    kind = np.where(terraced, "TT", np.where(farmed & (slope != "1"), "PD", ""))
    planting = np.where(farmed, rng.choice(("LS", "FLS", "WG"), p=(0.86, 0.11, 0.03), size=count), "")
    near_river = farmed & (land.zone == kinds.QUILT) & (rng.uniform(size=count) < 0.10)
    planting = np.where(near_river, "LS", planting)
    restorable = np.isin(classes, ("0201", "0301", "0305")) & np.isin(land.zone, kinds.TILLED)
    planting = np.where(restorable, rng.choice(("JKHF", "GCHF"), size=count), planting)
    is_away = np.zeros(count, dtype=bool)
    is_away[away] = True
    own = np.where(is_away, owner.code, village.code).astype(object)
    numbers = [f"{n:04d}" for n in range(1, count + 1)]
    home = classes == "0702"
    table = _layer(
        {
            "patch_code": [f"{village.code}-{n}" for n in numbers],
            "patch_bsm": "",
            "patch_number": numbers,
            "land_class": classes,
            "land_class_name": [CLASS_NAMES[c] for c in classes],
            "ownership_kind": np.where(state, "20", np.where(home, "40", "30")),
            "owner_unit_code": own + "0000000",
            "owner_unit_name": np.where(is_away, f"{owner.name}村民委员会", f"{village.name}村民委员会"),
            "location_unit_code": village.code + "0000000",
            "location_unit_name": f"{village.name}村民委员会",
            "terrace_kind": kind,
            "slope_class": slope,
            "ridge_class": np.where(farmed & (slope != "1"), "1203", ""),
            "ridge_ratio": np.array([RIDGE_RATIO.get(s, 0.0) for s in slope]),
            "detail_code": np.where(near_river, "HDGD", ""),
            "planting_code": planting,
            "is_enclave": is_away,
            "settlement_code": np.where(land.zone == kinds.HOME, "203", ""),
            "data_year": 2019,
            "source_file": "",
            "source_row": range(count),
        },
        placed(land.geometry),
    )
    # Floats of centimetres, each the closest to its two decimals.
    table["patch_area_m2"] = (ellipsoidal_area(table).to_numpy() * 100).round() / 100
    return table


def deducted(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """A survey with its ridge areas worked out anew: KCMJ = TBMJ x KCXS, half up, and TBDLMJ the rest."""
    out = table.copy()
    cents = np.rint(out["patch_area_m2"].to_numpy() * 100).astype(np.int64)
    ratio = np.rint(out["ridge_ratio"].to_numpy() * 10_000).astype(np.int64)
    ridge = (cents * ratio + 5_000) // 10_000
    out["ridge_area_m2"] = ridge / 100
    out["class_area_m2"] = (cents - ridge) / 100
    return out


def _parcel_tables(
    held: Holdings,
    village: Village,
    owner: Village,
    away: Ints,
    noise_m: tuple[float, float],
    seed: int,
) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    count = len(held.parcels)
    foreign = np.isin(held.parcel_patch, away)
    issuer = np.where(
        foreign,
        owner.code + "01",
        np.array([f"{village.code}{g:02d}" for g in held.parcel_group], dtype=object),
    )
    serial = np.zeros(count, dtype=np.int64)
    for code in np.unique(issuer):
        here = np.flatnonzero(issuer == code)
        # An enclave's owner has fields in several villages; each village numbers a run of its own.
        run = 90_000 + 300 * (village.number % 33) if code[:12] != village.code else 0
        serial[here] = np.arange(1, len(here) + 1) + run
    codes = np.array([f"{i}{s:05d}" for i, s in zip(issuer, serial, strict=True)], dtype=object)
    household = np.where(held.household > 0, held.household, 0)
    contractor = np.array(
        [f"{i}{h:04d}" if h else "" for i, h in zip(issuer, household, strict=True)], dtype=object
    )
    drawn = digitised(held.parcels, noise_m, np.random.default_rng([seed, 99, village.number]))
    base = {
        "parcel_code": codes,
        "parcel_name": [f"{village.name[0]}{'坪沟坡梁湾塬'[p % 6]}地" for p in held.parcel_patch],
        "parcel_class": held.parcel_class,
        "issuer_code": issuer,
        "contractor_code": contractor,
        "survey_village": village.code,  # where it lies, and in whose township's file
    }
    table = _layer(base, placed(drawn))
    truth = _layer({"parcel_code": codes}, placed(held.parcels))
    return table, truth


def tables(
    place: Landscape,
    village: Village,
    *,
    neighbour: Village,
    noise_m: tuple[float, float],
    share_based: bool,
    shift: tuple[float, float],
) -> Tables:
    """All rows of one village.

    Parameters
    ----------
    place : Landscape
    village, neighbour : Village
        The village, and the one its enclaves belong to (itself where it has none).
    noise_m : (float, float)
        Least and greatest digitising error of parcels, m; truth does not know it.
    share_based : bool
        Whether rights are by share, without parcels of households.
    shift : (float, float)
        East and north error of all parcels of the village, m.
    """
    seed = place.seed
    rng = np.random.default_rng([seed, 13, village.number])
    land = patches(place, village)
    classes = _classes(land, rng)
    farmed = np.isin(classes, ("0101", "0102", "0103"))
    state = np.isin(land.zone, (kinds.RIVER, kinds.HIGHWAY, kinds.SHORE))
    shore = np.flatnonzero(farmed & (land.zone == kinds.QUILT))
    state[rng.permutation(shore)[: max(1, round(0.02 * farmed.sum()))]] = True
    away = _enclaves(land, farmed & ~state, rng) if neighbour is not village else np.array([], dtype=np.int64)
    group = _groups(land, village)
    survey = _survey(land, village, neighbour, away, state, classes, rng)
    made, owner = fields(land, farmed & ~state, rng)
    open_patch = farmed & ~state & (not share_based)
    held = holdings(land, made, owner, open_patch, group, rng)
    parcels, true_parcels = _parcel_tables(held, village, neighbour, away, noise_m, seed)
    if any(shift):
        parcels["geometry"] = parcels.geometry.translate(*shift)
    old = np.array([OLD_CLASS[c] for c in classes], dtype=object)
    parts, old_kinds = baseline(land, old, held)
    wave = (
        1.6 * noise(seed * 977, 160.0, land.xs, land.ys),
        1.6 * noise(seed * 977 + 1, 160.0, land.xs, land.ys),
    )
    group_shapes, names = dissolve(land.geometry, group)
    piece_foreign = np.isin(held.piece_patch, away)
    piece_codes = np.asarray(survey["patch_code"])[held.piece_patch]
    pieces = _layer(
        {
            "truth_id": "",
            "piece_class": np.where(held.piece_class == 1, "UNCONFIRMED", "NEWLY_ADDED"),
            "group_code": np.where(
                piece_foreign,
                f"{neighbour.code}01",
                [f"{village.code}{g:02d}" for g in group[held.piece_patch]],
            ),
            "village_code": np.where(piece_foreign, neighbour.code, village.code),
            "patch_code": piece_codes,
        },
        placed(held.pieces),
    )
    pieces["area_m2"] = (ellipsoidal_area(pieces).to_numpy() * 100).round() / 100
    return Tables(
        survey=deducted(survey),
        parcels=parcels,
        village=_layer(
            {"village_code": [village.code], "village_name": [f"{village.name}村民委员会"]},
            placed(np.array([land.outline])),
        ),
        groups=_layer(
            {
                "group_code": [f"{village.code}{g:02d}" for g in names],
                "group_name": [f"{village.name}第{CIRCLED[g - 1]}村民小组" for g in names],
            },
            placed(group_shapes),
        ),
        baseline=_layer(
            {
                "land_class": old_kinds,
                "patch_number": [f"{n:04d}" for n in range(1, len(parts) + 1)],
                "location_unit_code": village.code + "0000000",
            },
            placed(shifted(parts, land, wave)),
        ),
        pieces=pieces,
        true_parcels=true_parcels,
    )
