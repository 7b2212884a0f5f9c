"""How well shifts are found, what that is worth, and what it costs: ``python -m benchmarks.alignment``.

Counties are made whose parcels lie where the survey has them; then every
village is laid off by a movement of its own, and must be brought back. No
setting was chosen on these seeds. Parcels are drawn anew for every trial, so
trials differ in all that chance decides.
"""

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from benchmarks.accuracy import scattered, scores
from geo.movement import Movement
from geo.reconcile import Settings, reconcile
from geo.reconcile.align import AlignSettings, align, movement_of
from geo.reconcile.check import mended
from geo.reconcile.classify import is_farmland
from geo.reconcile.overlay import OverlaySettings, overlay
from geo.reconcile.sources import Sources, prepared
from geo.sample import County, SampleSettings, county
from geo.sample.noise import dense_rings, digitised

SEEDS: Final = (71, 72, 73, 74, 75, 76)
SIZES: Final = {25: 6, 60: 4, 200: 3, 600: 2}  # villages of a county by their patches
NOISES: Final[dict[str, tuple[tuple[float, float], ...]]] = {
    "0.5-1": ((0.5, 1.0),),
    "0.5-3": ((0.5, 3.0),),
    "mixed": ((0.2, 0.8), (0.5, 2.0), (1.0, 4.0)),  # each parcel drawn by one of three hands
}
SCATTERED: Final = 0.35
MESSY_FROM: Final = 60  # patches; the smallest counties have villages whose file is planted in another datum
FAR_M: Final = 100.0
TURN_DEG: Final = 0.5
NEAR_M: Final = 0.2  # what counts as found
GROSS_M: Final = 1.0
LIMITS_M: Final = (0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.3, 0.5)
CLASSES: Final = {"under 100": 0, "100-300": 100, "300-1000": 300, "over 1000": 1000}  # least parcels
SHIFTS_M: Final = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0)
F1_SEEDS: Final = (71, 72, 73)
REAL_TRIALS: Final = 20
ROUNDS: Final = 3
WORDS: Final = {"none": "right", "shift": "up to 100 m off", "turn": "off and turned by up to 0.5°"}
SHARED: Final = Path(__file__).parents[2] / "shared" / "data"

_WIDEST_INSET_M: Final = 1.05  # parcels of a sample county stay inside their patch by a metre at most

Shapes = npt.NDArray[np.object_]


def movement(kind: str, middle: npt.NDArray[np.float64], rng: np.random.Generator) -> Movement:
    """One movement of a kind: ``none``, ``shift`` or ``turn`` (a shift with a rotation)."""
    if kind == "none":
        return Movement()
    way, far = rng.uniform(0, 2 * np.pi), rng.uniform(0, FAR_M)
    turn = np.deg2rad(rng.uniform(-TURN_DEG, TURN_DEG)) if kind == "turn" else 0.0
    return Movement(
        dx_m=far * np.cos(way),
        dy_m=far * np.sin(way),
        rotation_rad=float(turn),
        origin_x=float(middle[0]),
        origin_y=float(middle[1]),
    )


def laid_off(
    parcels: gpd.GeoDataFrame, kind: str, rng: np.random.Generator, far: float | None = None
) -> gpd.GeoDataFrame:
    """Parcels with every issuer village moved by a movement of its own; ``far`` fixes the length of a shift."""
    shapes = np.asarray(parcels.geometry.array).copy()
    for _, rows in sorted(parcels.groupby(parcels["issuer_code"].str[:12]).indices.items()):
        move = movement(kind, shapely.get_coordinates(shapes[rows]).mean(axis=0), rng)
        if far is not None:
            way = rng.uniform(0, 2 * np.pi)
            move = Movement(dx_m=far * np.cos(way), dy_m=far * np.sin(way))
        shapes[rows] = shapely.transform(shapes[rows], move)
    return parcels.set_geometry(list(shapes), crs=parcels.crs)


def redrawn(
    made: County, hands: tuple[tuple[float, float], ...], rng: np.random.Generator
) -> gpd.GeoDataFrame:
    """The county's parcels drawn anew from where they truly lie, each by one of the hands."""
    true = np.asarray(made.truth_parcels.geometry.array)
    hand = rng.integers(len(hands), size=len(true))
    shapes = np.empty(len(true), dtype=object)
    for number, limits in enumerate(hands):
        shapes[hand == number] = digitised(true[hand == number], limits, rng)
    return made.parcels.set_geometry(list(shapes), crs=made.parcels.crs)


def sources(made: County, parcels: gpd.GeoDataFrame) -> Sources:
    """Layers of a county as the main job takes them."""
    return prepared(
        Sources(
            survey=made.survey,
            parcels=parcels,
            villages=made.villages,
            rights=made.rights,
            issuers=made.issuers,
        )
    )


def recovered(
    given: Sources, kind: str, rng: np.random.Generator, best: "pd.Series[float]", **known: object
) -> list[dict[str, object]]:
    """Villages laid off and found again: one row a row of shifts."""
    home = np.asarray(given.parcels.geometry.array)
    off = replace(given, parcels=laid_off(given.parcels, kind, rng))
    checked = mended(off, AlignSettings(accept_far=True), stop=False, jobs=1)
    shifts = checked.alignment.shifts
    village, issuer = checked.homes.parcel_village, given.parcels["issuer_code"]
    rows = []
    for _, shift in shifts.iterrows():
        batches = set(shifts.loc[shifts["village_code"] == shift["village_code"], "batch"])
        mine = village.eq(shift["village_code"])
        mine &= issuer.eq(shift["batch"]) if shift["batch"] else ~issuer.isin(batches)
        mine &= ~shapely.is_missing(home) & ~shapely.is_empty(home)
        true = shapely.get_coordinates(home[mine])
        lain = shapely.get_coordinates(np.asarray(off.parcels.geometry.array)[mine])
        found = shift["confidence"] != "none"
        here = movement_of(shift)(lain) if found else lain
        end = here if shift["accepted"] else lain
        rows.append(
            {
                **known,
                "kind": kind,
                "floor_m": best.get(shift["village_code"], np.nan),
                "parcels": int(mine.sum()),
                "planted_m": _apart(lain, true),
                "missed_m": _apart(here, true) if found else np.inf,
                "left_m": _apart(end, true),
                **shift[
                    ["distance_m", "error_m", "rms_m", "matched_share", "second_peak", "confidence", "reason"]
                ],
                "moved": bool(shift["accepted"]),
                "batch": shift["batch"],
                "rotation_deg": shift["rotation_deg"],
            }
        )
    return rows


def _apart(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    return float(np.hypot(*(one - other).T).mean())


def floors(made: County, parcels: gpd.GeoDataFrame) -> "pd.Series[float]":
    """Error of each village's shift with every pairing known, m: chance in the drawing leaves that to anyone.

    Of each drawn edge whose true place is on the border of a farmland patch it
    is known how far it was drawn off, at right angles; least squares tell the
    shift. Nothing is left to find out but what chance did.
    """
    drawn, lies = (
        np.asarray(parcels.geometry.array),
        np.asarray(made.truth_parcels.geometry.array)[parcels.index],
    )
    # A ring that comes back to its first point by itself is not closed once more; it is left out.
    alike = np.bincount(dense_rings(lies)[1], minlength=len(lies)) == shapely.get_num_coordinates(drawn) - 1
    drawn, parcels = drawn[alike], parcels[alike]
    true, ring, _ = dense_rings(lies[alike])
    off = shapely.get_coordinates(drawn)[_not_last(drawn)] - true
    after = np.append(np.arange(1, len(ring)), 0)
    last = np.append(ring[1:] != ring[:-1], True)
    after[last] = np.flatnonzero(np.insert(last[:-1], 0, True))
    along = true[after] - true
    length = np.hypot(*along.T)
    land = shapely.get_parts(shapely.boundary(np.asarray(_farmland(made.survey).geometry.array)))
    middle = shapely.points((true + true[after]) / 2)
    on_border = shapely.STRtree(land).query(middle, predicate="dwithin", distance=_WIDEST_INSET_M)[0]
    used = np.intersect1d(on_border, np.flatnonzero(length > 0))
    normal = np.stack((along[:, 1], -along[:, 0]), axis=1)[used] / length[used, None]
    gap = ((off + off[after])[used] / 2 * normal).sum(axis=1)
    village = parcels["issuer_code"].str[:12].to_numpy(dtype=object)[ring[used]]
    out = {}
    for code in np.unique(village):
        mine = village == code
        weighted = normal[mine] * length[used][mine, None]
        out[code] = float(np.hypot(*np.linalg.solve(weighted.T @ normal[mine], weighted.T @ gap[mine])))
    return pd.Series(out)


def _not_last(polygons: Shapes) -> npt.NDArray[np.bool_]:
    """All points of rings but the one that repeats the first."""
    _, ring = shapely.get_coordinates(polygons, return_index=True)
    return np.append(ring[1:] == ring[:-1], False)


def _farmland(survey: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    return survey[is_farmland(survey["land_class"]).to_numpy(dtype=bool)]


def trials(draws: int, seeds: Iterable[int]) -> Iterator[dict[str, object]]:
    """Every trial of recovery: settings by seeds by movements."""
    for seed in seeds:
        for size, villages in SIZES.items():
            settings = SampleSettings(
                villages=villages, seed=seed, patches_per_village=size, share_based_villages=0
            )
            made = county(settings)
            for draw in range(draws if size < max(SIZES) else 1):
                rng = np.random.default_rng([seed, size, draw])
                for noise, hands in NOISES.items():
                    for land in ("whole", "scattered"):
                        parcels = redrawn(made, hands, rng)
                        if land == "scattered":
                            parcels, _ = scattered(replace(made, parcels=parcels), SCATTERED)
                        given, best = sources(made, parcels), floors(made, parcels)
                        known = {"seed": seed, "noise": noise, "land": land}
                        for kind in ("none", "shift", "turn"):
                            yield from recovered(given, kind, rng, best, **known)
            if MESSY_FROM <= size < max(SIZES):
                messy = county(replace(settings, messy=True, noise_m=(0.5, 2.0)))
                given, rng = sources(messy, messy.parcels), np.random.default_rng([seed, size])
                known = {"seed": seed, "noise": "0.5-2", "land": "messy"}
                none = pd.Series(dtype="float64")
                for kind in ("none", "shift", "turn"):
                    yield from recovered(given, kind, rng, none, **known)


def recovery_table(rows: pd.DataFrame) -> str:
    """Villages by parcels and noise: how many were found, how many could be, and what we said of ourselves."""
    found = rows["missed_m"] <= NEAR_M
    high = rows["confidence"] == "high"
    rows = rows.assign(
        found=found,
        # With every pairing known, chance alone leaves so much; unknown where flaws were planted.
        knowable=rows["floor_m"].le(NEAR_M).astype("float64").where(rows["floor_m"].notna()),
        mended=rows["moved"].astype("float64").where(rows["planted_m"] > GROSS_M),
        worse=rows["left_m"] > rows["planted_m"] + 1e-6,
        high=high,
        wrong=high & ~found,
        gross=rows["missed_m"].between(GROSS_M, np.inf, inclusive="neither"),
        known=rows["missed_m"].replace(np.inf, np.nan),
        squared=(rows["missed_m"].replace(np.inf, np.nan) / rows["error_m"].astype("float64")) ** 2,
    )
    table = rows.groupby(["class", "noise"], sort=False).agg(
        trials=("found", "size"),
        found=("found", "mean"),
        knowable=("knowable", "mean"),
        mended=("mended", "mean"),
        worse=("worse", "sum"),
        high=("high", "mean"),
        wrong=("wrong", "sum"),
        gross=("gross", "sum"),
        median_m=("known", "median"),
        greatest_m=("known", "max"),
        honest=("squared", lambda squared: float(np.sqrt(squared.mean()))),
    )
    return _markdown(table.reset_index())


def unmoved_table(rows: pd.DataFrame) -> str:
    """What is said of villages that lie right."""
    still = rows[rows["kind"] == "none"]
    table = still.groupby("class", sort=False).agg(
        trials=("distance_m", "size"),
        median_m=("distance_m", "median"),
        greatest_m=("distance_m", "max"),
        moved=("moved", "sum"),
        greatest_move_m=("left_m", "max"),
    )
    return _markdown(table.reset_index())


def honesty_table(rows: pd.DataFrame) -> str:
    """Villages whose stated error is at most a limit: how many lie off by more than 0.2 m."""
    settings = AlignSettings()
    sure = rows[
        rows["matched_share"].ge(settings.min_matched_share)
        & rows["second_peak"].le(settings.max_second_peak)
    ]
    lines = []
    for limit in LIMITS_M:
        within = sure[sure["error_m"] <= limit]
        lines.append(
            {
                "error_m up to": limit,
                "trials": len(within),
                "off by more than 0.2 m": int((within["missed_m"] > NEAR_M).sum()),
                "greatest_m": within["missed_m"].max(),
            }
        )
    return _markdown(pd.DataFrame(lines))


def worth() -> pd.DataFrame:
    """F1 of blocks by shift, with and without alignment, and of all that plain overlay leaves."""
    rows = []
    for seed in F1_SEEDS:
        for noise in ("0.5-1", "0.5-3"):
            made = county(
                SampleSettings(villages=3, seed=seed, patches_per_village=200, noise_m=NOISES[noise][0])
            )
            for far in SHIFTS_M:
                off = laid_off(made.parcels, "none", np.random.default_rng([seed, round(far * 10)]), far)
                known = {"seed": seed, "noise": noise, "shift_m": far}
                for mode in ("none", "auto"):
                    result = reconcile(
                        made.survey,
                        off,
                        villages=made.villages,
                        baseline=made.baseline,
                        rights=made.rights,
                        issuers=made.issuers,
                        settings=Settings(align=AlignSettings(mode=mode)),
                    )
                    blocks = result.pieces[result.pieces["piece_shape"] == "BLOCK"]
                    moved = int(result.shifts["accepted"].sum()) if len(result.shifts) else 0
                    rows.append({**known, "way": mode, "moved": moved, **scores(blocks, made.truth_pieces)})
                    if mode == "none":
                        rows.append({**known, "way": "plain", **scores(result.pieces, made.truth_pieces)})
    return pd.DataFrame(rows)


def real() -> pd.DataFrame | None:
    """Villages of real cadastres laid off and found again; None without the data."""
    if not SHARED.exists():
        return None
    rows = []
    for number, (name, land, parcels) in enumerate(_real_cases()):
        rng = np.random.default_rng([number, 5])
        layer = gpd.GeoDataFrame(
            {"parcel_class": "10", "issuer_code": "V", "source_file": ""}, index=range(len(parcels)),
            geometry=parcels, crs=land.crs,
        )  # fmt: skip
        village = pd.Series("V", index=layer.index, dtype="str")
        true = shapely.get_coordinates(parcels)
        for kind in ("none", "shift", "turn"):
            for _ in range(1 if kind == "none" else REAL_TRIALS):
                move = movement(kind, true.mean(axis=0), rng)
                off = layer.set_geometry(list(shapely.transform(parcels, move)), crs=layer.crs)
                settings = AlignSettings(accept_far=True)
                shift = align(off, land, villages=village, settings=settings, jobs=1).shifts.iloc[0]
                found = shift["confidence"] != "none"
                missed = _apart(movement_of(shift)(move(true)), true) if found else np.inf
                rows.append(
                    {"village": name, "parcels": len(parcels), "kind": kind, "missed_m": missed, **shift}
                )
    return pd.DataFrame(rows)


def _real_cases() -> Iterator[tuple[str, gpd.GeoDataFrame, Shapes]]:
    """Name, farmland and parcels."""
    swiss = {"252400": "Hüniken", "246300": "Unterramsern", "249800": "Rohr", "245600": "Lüterswil"}
    for number, name in swiss.items():
        file = SHARED / "ch_solothurn_villages" / f"{number}.gpkg"
        cover = gpd.read_file(file, layer="landcover")
        farmed = cover["art"].astype("str").str.contains("Acker")
        yield name, cover[farmed], _drawn(gpd.read_file(file, layer="parcels"))
    file = SHARED / "fr_cadastre_luxiol" / "luxiol.gpkg"
    yield (
        "Luxiol",
        gpd.read_file(file, layer="fiscal_subdivisions"),
        _drawn(gpd.read_file(file, layer="parcels")),
    )
    fields = gpd.read_file(SHARED / "be_flanders_parcels" / "polygon-parcel.gpkg")
    fields = fields[~fields.geometry.is_empty]
    once_more = digitised(shapely.get_parts(_drawn(fields)), (0.3, 1.0), np.random.default_rng(5))
    yield "Flanders, drawn anew by 0.3-1 m", fields, once_more


def _drawn(layer: gpd.GeoDataFrame) -> Shapes:
    shapes = np.asarray(layer.geometry.array)
    return np.asarray(shapes[~shapely.is_missing(shapes) & ~shapely.is_empty(shapes)], dtype=object)


def real_table(rows: pd.DataFrame) -> str:
    """Errors by village."""
    table = rows.groupby("village", sort=False).agg(
        parcels=("parcels", "first"),
        trials=("missed_m", "size"),
        median_m=("missed_m", "median"),
        greatest_m=("missed_m", "max"),
        error_m=("error_m", "median"),
        second_peak=("second_peak", "max"),
        high=("confidence", lambda said: (said == "high").mean()),
        moved=("accepted", "sum"),
    )
    return _markdown(table.reset_index())


def cost() -> pd.DataFrame:
    """Processor seconds of alignment beside those of overlay, one thread each, the best of some rounds."""
    rows = []
    for size in (600, 200):
        settings = SampleSettings(villages=4, seed=SEEDS[0], patches_per_village=size, share_based_villages=0)
        given = sources(made := county(settings), made.parcels)
        land = _farmland(given.survey)
        village = given.parcels["issuer_code"].str[:12]
        held = given.parcels[given.parcels["parcel_class"].eq("10") & given.parcels["has_rights"]]
        laid: dict[str, list[float]] = {"overlay": []}
        for _ in range(ROUNDS):
            laid["overlay"].append(_seconds(lambda: overlay(land, held, OverlaySettings(jobs=1))))  # noqa: B023 - called at once
            for kind in ("none", "shift", "turn"):
                off = laid_off(given.parcels, kind, np.random.default_rng(size))
                how = AlignSettings(accept_far=True)
                took = _seconds(lambda: align(off, land, villages=village, settings=how, jobs=1))  # noqa: B023 - called at once
                laid.setdefault(kind, []).append(took)
        rows += [
            {
                "parcels a village": round(len(held) / settings.villages),
                "villages lie": WORDS[kind],
                "align s": min(laid[kind]),
                "overlay s": min(laid["overlay"]),
                "ratio": min(laid[kind]) / min(laid["overlay"]),
            }
            for kind in ("none", "shift", "turn")
        ]
    return pd.DataFrame(rows)


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def draw(table: pd.DataFrame, path: Path) -> None:
    """F1 over shift as a picture, one panel a noise."""
    from matplotlib import pyplot as plt  # noqa: PLC0415 - only for the picture

    figure, panels = plt.subplots(1, 2, figsize=(10, 4.6), dpi=150, sharey=True)
    looks = {
        "auto": ("#d55e00", "o-", "blocks, aligned"),
        "none": ("#7b8288", "s-", "blocks, not aligned"),
        "plain": ("#2d6a9f", "^--", "plain overlay, all pieces"),
    }
    for axes, (noise, part) in zip(panels, table.groupby("noise"), strict=True):
        for way, (colour, marks, label) in looks.items():
            mine = part[part["way"] == way]
            mean = mine.groupby("shift_m")["f1"].mean()
            axes.plot(mean.index, mean, marks, color=colour, label=label)
            axes.scatter(mine["shift_m"], mine["f1"], s=10, color=colour, alpha=0.35)
        axes.set(
            ylim=(0.78, 1.005), xlabel="shift of every village, m", title=f"borders drawn off by {noise} m"
        )
        axes.grid(alpha=0.25)
    panels[0].set_ylabel("F1 against the land that was left out, by area")
    panels[0].legend(loc="lower left")
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})


def _markdown(table: pd.DataFrame) -> str:
    kinds = [pd.api.types.is_numeric_dtype(table[name]) for name in table.columns]
    lines = ["| " + " | ".join(table.columns) + " |"]
    lines.append("|" + "|".join(" --: " if number else " --- " for number in kinds) + "|")
    for row in table.itertuples(index=False):
        cells = [f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure what is asked for and print it as tables; with ``--figure`` draw F1 over shift."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alignment", description=__doc__)
    parser.add_argument("--only", choices=("recovery", "f1", "real", "cost"), action="append")
    parser.add_argument("--draws", type=int, default=1, help="times the parcels of a county are drawn anew")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many counties of each size")
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--keep", type=Path, help="folder for every trial's row, as CSV")
    asked = parser.parse_args()
    chosen = asked.only or ["recovery", "f1", "real", "cost"]
    if "recovery" in chosen:
        rows = _kept(
            _classed(pd.DataFrame(trials(asked.draws, SEEDS[: asked.seeds]))), asked.keep, "recovery"
        )
        print(f"\n## Recovery, {len(rows)} trials\n\n{recovery_table(rows)}")
        print(f"\n## Villages that lie right\n\n{unmoved_table(rows)}")
        print(f"\n## Stated error against true error\n\n{honesty_table(rows)}")
    if "f1" in chosen:
        table = _kept(worth(), asked.keep, "f1")
        wide = table.pivot_table("f1", ["noise", "way"], "shift_m").rename(columns="{:g} m".format)
        print(f"\n## F1 by shift\n\n{_markdown(wide.reset_index())}")
        if asked.figure is not None:
            draw(table, asked.figure)
    if "real" in chosen:
        found = real()
        text = (
            f"left out: no data at {SHARED.name}"
            if found is None
            else real_table(_kept(found, asked.keep, "real"))
        )
        print(f"\n## Real cadastres\n\n{text}")
    if "cost" in chosen:
        print(f"\n## Cost, processor seconds\n\n{_markdown(_kept(cost(), asked.keep, 'cost'))}")


def _classed(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with the class of their number of parcels, ordered by it."""
    place = np.searchsorted(list(CLASSES.values()), rows["parcels"], side="right") - 1
    order = np.lexsort((rows["noise"], place))
    return rows.assign(**{"class": np.array(list(CLASSES), dtype=object)[place]}).iloc[order]


def _kept(table: pd.DataFrame, folder: Path | None, name: str) -> pd.DataFrame:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        table.to_csv(folder / f"{name}.csv", index=False)
    return table


if __name__ == "__main__":
    main()
