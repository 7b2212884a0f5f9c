"""A loess-hill county whose right answer is known.

Survey, contract parcels, rights, baseline and villages as an officer would
have them, and beside them the truth: which farmland was never confirmed,
which is new, where each parcel really lies, and every flaw that was planted.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd

from geo import schema
from geo.sample import flaws, house_flaws
from geo.sample.drawn_grids import drawn_grids
from geo.sample.houses import houses
from geo.sample.landscape import Landscape, Village, landscape
from geo.sample.village import CRS, ORIGIN, Tables, tables

FULL_PATCHES: Final = 590  # patches of a village of full size
_SURNAMES: Final = "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张孔曹严华金魏"
_GIVEN: Final = "福贵明华建国文军春秀英兰桂芳玉梅志强德全有财金宝永生根旺"


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSettings:
    """What county to make. Truth depends on all of it but ``noise_m`` and ``shift_m``."""

    villages: int = 3
    seed: int = 1
    noise_m: tuple[float, float] = (0.5, 3.0)  # least and greatest digitising error of a parcel's border
    shift_m: float = 0.0  # one village's parcels lie this far off, to the north-east
    messy: bool = False  # with flaws in codes, geometry and coordinate systems
    patches_per_village: int | None = None  # about; a village of full size without
    share_based_villages: int | None = None  # with rights by share; one in six without, at least one if messy

    @classmethod
    def small(cls) -> "SampleSettings":
        """The county that comes with the product, in ``data_samples``."""
        return cls(villages=3, seed=1, messy=True, patches_per_village=120)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class County:
    """Layers of a county in EPSG:4526, columns as in `geo.schema`, and its truth."""

    survey: gpd.GeoDataFrame
    parcels: gpd.GeoDataFrame
    villages: gpd.GeoDataFrame
    groups: gpd.GeoDataFrame
    baseline: gpd.GeoDataFrame
    rights: pd.DataFrame
    issuers: pd.DataFrame
    contractors: pd.DataFrame
    truth_pieces: gpd.GeoDataFrame  # truth_id, piece_class, group, village and patch code, area_m2, geometry
    truth_parcels: gpd.GeoDataFrame  # parcel_code, geometry
    truth_flaws: pd.DataFrame  # kind, layer, code, note
    houses: gpd.GeoDataFrame  # footprints: columns of "household_file" but coordinates, householder_name
    drawn_grids: gpd.GeoDataFrame  # as somebody drew them: grid_code, grid_name, village, households
    house_flaws: pd.DataFrame  # of houses and drawn grids; as truth_flaws
    settings: SampleSettings
    townships: dict[str, str] = field(default_factory=dict)  # name of each township by its 9-digit code


def _share_based(settings: SampleSettings) -> set[int]:
    """Numbers of the villages with rights by share: the last ones of the county, every sixth."""
    count = settings.share_based_villages
    if count is None:
        count = max(settings.villages // 6, int(settings.messy))
    count = min(count, settings.villages)
    return {settings.villages - 1 - k * max(settings.villages // max(count, 1), 1) for k in range(count)}


def _shift(settings: SampleSettings, number: int) -> tuple[float, float]:
    if settings.shift_m and number == shifted_village(settings):
        return 0.8 * settings.shift_m, 0.6 * settings.shift_m
    return 0.0, 0.0


def shifted_village(settings: SampleSettings) -> int:
    """Number of the village whose parcels are shifted: the second, or the only one."""
    return min(1, settings.villages - 1)


def _neighbour(place: Landscape, village: Village) -> Village:
    """The nearest other village of the county, if it is near; otherwise the village itself."""
    hearts = place.sites[: len(place.villages)]
    far = np.hypot(*(hearts - hearts[village.number]).T)
    far[village.number] = np.inf
    nearest = int(np.argmin(far))
    return place.villages[nearest] if far[nearest] < 2.0 * place.spacing_m else village


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Made:
    """What a worker hands back of one village."""

    land: Tables
    houses: gpd.GeoDataFrame
    grids: gpd.GeoDataFrame


def _make(place: Landscape, settings: SampleSettings, village: Village) -> _Made:
    land = tables(
        place,
        village,
        neighbour=_neighbour(place, village),
        noise_m=settings.noise_m,
        share_based=village.number in _share_based(settings),
        shift=_shift(settings, village.number),
    )
    homes = houses(place, village, land.survey, ORIGIN)
    return _Made(land=land, houses=homes, grids=drawn_grids(village, land.groups, homes, place.seed))


def county(settings: SampleSettings, *, jobs: int = 1) -> County:
    """A county in memory.

    Parameters
    ----------
    settings : SampleSettings
    jobs : int
        Processes that make villages, 0 for one a core; the county is the same whatever their number.

    Returns
    -------
    County
    """
    place = landscape(
        villages=settings.villages,
        patches_per_village=settings.patches_per_village or FULL_PATCHES,
        seed=settings.seed,
    )
    make = partial(_make, place, settings)
    jobs = jobs or os.cpu_count() or 1
    if jobs > 1 and settings.villages > 1:
        with ProcessPoolExecutor(max_workers=jobs) as pool:
            whole = list(pool.map(make, place.villages, chunksize=1))
    else:
        whole = [make(village) for village in place.villages]
    made = [one.land for one in whole]
    survey = _stacked([m.survey for m in made])
    survey["patch_bsm"] = [f"1407252001{n:08d}" for n in range(1, len(survey) + 1)]
    parcels = _stacked([m.parcels for m in made])
    truth_pieces = _stacked([m.pieces for m in made])
    truth_pieces["truth_id"] = [f"T{n:06d}" for n in range(1, len(truth_pieces) + 1)]
    parcels, rights = _rights(parcels, settings)
    villages = _stacked([m.village for m in made])
    total = survey.groupby(survey["location_unit_code"].str[:12])["patch_area_m2"].sum().round(2)
    villages["survey_area_m2"] = villages["village_code"].map(total)
    groups = _stacked([m.groups for m in made])
    shares = {place.villages[n].code for n in sorted(_share_based(settings))}
    rights = pd.concat([rights, _share_rights(survey, groups, shares)], ignore_index=True)
    out = County(
        survey=schema.conform(survey, "survey"),
        parcels=parcels,
        villages=schema.conform(villages, "villages"),
        groups=schema.conform(groups, "groups"),
        baseline=schema.conform(_stacked([m.baseline for m in made]), "baseline"),
        rights=schema.conform(rights, "rights"),
        issuers=_issuers(groups),
        contractors=_contractors(rights, groups, settings.seed),
        truth_pieces=truth_pieces,
        truth_parcels=_stacked([m.true_parcels for m in made]),
        truth_flaws=pd.DataFrame(columns=["kind", "layer", "code", "note"], dtype="str"),
        houses=_stacked([one.houses for one in whole]),
        drawn_grids=_stacked([one.grids for one in whole]),
        house_flaws=pd.DataFrame(columns=["kind", "layer", "code", "note"], dtype="str"),
        settings=settings,
        townships={v.code[:9]: v.township_name for v in place.villages},
    )
    return house_flaws.planted(flaws.planted(out, shifted_village(settings)))


def _stacked(layers: list[gpd.GeoDataFrame]) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(pd.concat(layers, ignore_index=True), geometry="geometry", crs=CRS)


def _rights(parcels: gpd.GeoDataFrame, settings: SampleSettings) -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
    """Parcels with all their columns, and the table of registrations."""
    rng = np.random.default_rng([settings.seed, 17])
    out = parcels.copy()
    held = (out["parcel_class"] == "10").to_numpy()
    out["ownership_kind"] = "31"
    out["land_use"] = "013"
    # Contract figures are older than any measurement: a mu here was a mu of the grandfathers.
    former = np.round(out.geometry.area.to_numpy() * 0.0015 * rng.normal(0.95, 0.06, len(out)), 1) / 0.0015
    out["surveyed_area_m2"] = out.geometry.area.round(2)
    out["surveyed_area_mu"] = (out["surveyed_area_m2"] * 0.0015).round(2)
    out["acquisition_kind"] = np.where(held, np.where(rng.uniform(size=len(out)) < 0.985, "110", "123"), "")
    out["contract_area_m2"] = np.where(held, out["surveyed_area_m2"], np.nan)
    out["former_contract_area_m2"] = np.where(held, np.maximum(former.round(2), 66.67), np.nan)
    out["share_based"] = False
    out["has_rights"] = held
    out["source_file"] = ""
    out["source_row"] = range(len(out))
    own = out.loc[held]
    contract = own["contractor_code"] + np.where(own["acquisition_kind"] == "110", "J", "Q")
    rights = pd.DataFrame(
        {
            "parcel_code": own["parcel_code"],
            "issuer_code": own["issuer_code"],
            "contractor_code": own["contractor_code"],
            "acquisition_kind": own["acquisition_kind"],
            "contract_area_m2": own["contract_area_m2"],
            "former_contract_area_m2": own["former_contract_area_m2"],
            "contract_code": contract,
            "certificate_code": contract,
            "share_based": False,
        }
    )
    return schema.conform(out, "parcels"), rights


def _share_rights(survey: gpd.GeoDataFrame, groups: gpd.GeoDataFrame, shares: set[str]) -> pd.DataFrame:
    """Registrations by share: households of a village have areas, but no ground of their own."""
    rows = []
    for group in groups["group_code"][groups["group_code"].str[:12].isin(sorted(shares))]:
        here = survey["location_unit_code"].str[:12].eq(group[:12]) & survey["land_class"].isin(
            ["0101", "0102", "0103"]
        )
        homes = max(3, round(survey.loc[here, "patch_area_m2"].sum() / 4500))
        for number in range(1, homes + 1):
            contractor = f"{group}{number:04d}"
            rows.append(
                {
                    "parcel_code": f"{group}{number:05d}",
                    "issuer_code": group,
                    "contractor_code": contractor,
                    "acquisition_kind": "110",
                    "contract_area_m2": round(3000.0 + 37.5 * (number % 40), 2),
                    "former_contract_area_m2": round(2900.0 + 37.5 * (number % 40), 2),
                    "contract_code": f"{contractor}J",
                    "certificate_code": f"{contractor}J",
                    "share_based": True,
                }
            )
    return pd.DataFrame(rows)


def _issuers(groups: gpd.GeoDataFrame) -> pd.DataFrame:
    return schema.conform(
        pd.DataFrame({"issuer_code": groups["group_code"], "issuer_name": groups["group_name"]}), "issuers"
    )


def _contractors(rights: pd.DataFrame, groups: gpd.GeoDataFrame, seed: int) -> pd.DataFrame:
    """Households with invented names."""
    codes = np.sort(rights["contractor_code"].unique())
    rng = np.random.default_rng([seed, 19])
    first = rng.choice(list(_SURNAMES), len(codes))
    given = rng.choice(list(_GIVEN), (len(codes), 2))
    where = dict(zip(groups["group_code"], groups["group_name"], strict=True))
    return schema.conform(
        pd.DataFrame(
            {
                "contractor_code": codes,
                "contractor_kind": "1",
                "member_count": rng.integers(1, 7, len(codes)),
                "contractor_name": [f"{a}{b}{c}" for a, (b, c) in zip(first, given, strict=True)],
                "address": [f"寿阳县{where.get(code[:14], '')}" for code in codes],
            }
        ),
        "contractors",
    )
