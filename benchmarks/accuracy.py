"""How right the result is, and how that falls with noise: ``python -m benchmarks.accuracy``.

Blocks found in generated counties against the land that was really left out
when they were made, area-weighted, at several sizes of the error with which
each parcel was digitised. No setting was chosen on these seeds. ``--scattered``
takes out single fields at random besides, as harder land than the drive met.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import geopandas as gpd
import pandas as pd
import shapely

from geo.reconcile import reconcile
from geo.sample import County, SampleSettings, county

SEEDS: Final = (31, 32, 33)
NOISE_M: Final = ((0.0, 0.0), (0.5, 1.0), (0.5, 2.0), (0.5, 3.0), (1.0, 4.0), (2.0, 5.0))


def scores(found: gpd.GeoDataFrame, truth: gpd.GeoDataFrame) -> dict[str, float]:
    """Precision, recall and F1 of the land two layers have in common, by area."""
    one, other = shapely.union_all(found.geometry.to_numpy()), shapely.union_all(truth.geometry.to_numpy())
    common = shapely.area(shapely.intersection(one, other))
    precision, recall = common / one.area, common / other.area
    return {"precision": precision, "recall": recall, "f1": 2 * precision * recall / (precision + recall)}


def scattered(made: County, share: float) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """Parcels without ``share`` of the confirmed ones, drawn singly, and all land left out then."""
    held = made.parcels[made.parcels["has_rights"] & made.parcels["parcel_class"].eq("10")]
    lost = held.sample(frac=share, random_state=made.settings.seed)["parcel_code"]
    parcels = made.parcels[~made.parcels["parcel_code"].isin(lost)]
    fields = made.truth_parcels[made.truth_parcels["parcel_code"].isin(lost)]
    left = pd.concat(
        [made.truth_pieces[["piece_class", "geometry"]], fields[["geometry"]]], ignore_index=True
    )
    return parcels, left


def measured(settings: SampleSettings, share: float) -> dict[str, float]:
    """Scores of one county, all blocks and each class; ``share`` of its parcels taken out singly."""
    made = county(settings)
    parcels, truth = scattered(made, share)
    result = reconcile(
        made.survey,
        parcels,
        villages=made.villages,
        baseline=made.baseline,
        rights=made.rights,
        issuers=made.issuers,
    )
    blocks = result.pieces[result.pieces["piece_shape"] == "BLOCK"]
    row = {"seed": settings.seed, "least_m": settings.noise_m[0], "most_m": settings.noise_m[1]}
    row |= scores(blocks, truth)
    if share:
        return row
    for name in ("UNCONFIRMED", "NEWLY_ADDED"):
        of_class = made.truth_pieces[made.truth_pieces["piece_class"] == name]
        row[f"f1_{name.lower()}"] = scores(blocks[blocks["piece_class"] == name], of_class)["f1"]
    return row


def curve(seeds: Iterable[int], *, patches: int, share: float) -> pd.DataFrame:
    """One row a county."""
    return pd.DataFrame(
        [
            measured(SampleSettings(villages=3, seed=seed, noise_m=noise, patches_per_village=patches), share)
            for seed in seeds
            for noise in NOISE_M
        ]
    )


def draw(table: pd.DataFrame, path: Path) -> None:
    """The curve as a picture: F1 over the greatest error of a border."""
    from matplotlib import pyplot as plt  # noqa: PLC0415 - only for the picture

    figure, axes = plt.subplots(figsize=(8, 4.5), dpi=150)
    mean = table.groupby("most_m")[["precision", "recall", "f1"]].mean()
    for name, colour in {"precision": "#7b8288", "recall": "#b3b8b0", "f1": "#d55e00"}.items():
        axes.plot(mean.index, mean[name], "o-", color=colour, label=name if name != "f1" else "F1")
    axes.scatter(table["most_m"], table["f1"], s=14, color="#d55e00", alpha=0.4)
    axes.axhline(0.92, color="#2d3436", linewidth=0.8, linestyle=":")
    axes.set(
        ylim=(0.8, 1.005), xlabel="greatest digitising error of a parcel's border, m", ylabel="area-weighted"
    )
    axes.set_title("Blocks found against the land that was left out")
    axes.legend(loc="lower left")
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})


def main() -> None:
    """Print the table; with ``--figure`` draw it too."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--patches", type=int, default=200, help="patches a village, about")
    parser.add_argument(
        "--scattered", type=float, default=0.0, metavar="SHARE", help="single fields taken out"
    )
    parser.add_argument("--figure", type=Path)
    asked = parser.parse_args()
    table = curve(SEEDS, patches=asked.patches, share=asked.scattered)
    mean = table.groupby(["least_m", "most_m"]).mean().drop(columns="seed")
    worst = table.groupby(["least_m", "most_m"])["f1"].min().rename("worst_f1")
    print(mean.join(worst).round(3).to_string())
    if asked.figure is not None:
        draw(table, asked.figure)


if __name__ == "__main__":
    main()
