# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 一个村的网格 · Grids of a village
#
# A grid (网格) is a part of a village with about as many households as one person can look after: 30 to 50 in
# the country. Drawn by hand, a quarter of them end up too small or too large. This notebook draws the
# grids of one village anew, reads the proof of how good they are, and then does what a county that has
# grids would rather do: change the existing ones as little as the norm allows.
#
# The first run on a machine compiles the search, which takes a minute or two.

# %%
from pathlib import Path

import geopandas as gpd
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.patches import Patch

from geo.certificate import certificate_text
from geo.exchange import read
from geo.exchange.grid_file import read_grids
from geo.exchange.household_file import read_households
from geo.grids import GridSettings, adjust_grids, norm_costs, partition, profile_of
from geo.grids.check import check_grids
from geo.grids.households import households

plt.rcParams["font.sans-serif"] = [
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "WenQuanYi Micro Hei",
    "sans-serif",
]
plt.rcParams["axes.unicode_minus"] = False
SAMPLE = Path("../data_samples")
VILLAGE = "140725100200"

# %% [markdown]
# ## 1. Homes
#
# Every row of the house layer becomes a home: a place with a number of households, in a village, under a
# key of its own. What is doubtful is a finding, and the row stays.

# %%
villages = read.villages(SAMPLE / "三调" / "CJDCQ.shp").table
survey = read.survey(SAMPLE / "三调" / "DLTB.shp", near=villages).table
houses = read_households(SAMPLE / "住户", near=villages).table
homes = households(houses, villages, residential=survey)
assert homes.points["households"].sum() >= houses["households"].fillna(0).clip(lower=0).sum()
homes.findings[["severity", "title", "message"]]

# %% [markdown]
# ## 2. Grids, drawn anew
#
# Land is cut into blocks along roads, rivers and patches; blocks become connected grids that are in the
# norm first, and compact second. All grids together are exactly the village.

# %%
fast = GridSettings(profile=profile_of("rural"), budget="fast")
made = partition(homes.points, villages, survey=survey, settings=fast, only=[VILLAGE], jobs=1)
land = villages[villages["village_code"] == VILLAGE]
apart = made.grids.union_all().symmetric_difference(land.union_all()).area
assert apart < 1e-6 * land.union_all().area
made.grids[["grid_code", "households", "homes", "radius_m", "mean_distance_m", "balance"]]

# %%
COLOURS = {"IN_BAND": "#d7e8d4", "UNDER": "#f6d9a8", "OVER": "#eeb4a6"}
WORDS = {"IN_BAND": "合格", "UNDER": "不足", "OVER": "超出"}
people = made.households[made.households["village_code"] == VILLAGE]
west, south, east, north = people.total_bounds


def show(ax: plt.Axes, grids: gpd.GeoDataFrame, title: str) -> None:
    """Grids by balance with their households, around where people live."""
    ax.set(xlim=(west - 60, east + 60), ylim=(south - 60, north + 60), title=title)
    grids.plot(ax=ax, color=grids["balance"].map(COLOURS), edgecolor="#333333", linewidth=0.8, aspect=None)
    people.plot(ax=ax, color="#4a5157", markersize=3 + people["households"].astype(float), aspect=None)
    for x, y, count in zip(grids["centre_x"], grids["centre_y"], grids["households"], strict=True):
        ax.annotate(str(count), (x, y), weight="bold", ha="center", va="center")
    ax.set_aspect("equal")
    ax.set_axis_off()


fig, ax = plt.subplots(figsize=(8, 8))
show(ax, made.grids, "新划的网格（数字为户数）")
ax.legend(handles=[Patch(color=COLOURS[key], label=WORDS[key]) for key in COLOURS], loc="lower right")
fig.tight_layout()

# %% [markdown]
# ## 3. How good is that?
#
# With the grids comes a certificate: a number that no other division goes below, and so how much could be
# saved at most. `budget="standard"` searches longer and proves more.

# %%
for title, text in certificate_text(made.grid_villages.iloc[0]):
    print(f"{title}：{text}")

# %% [markdown]
# ## 4. The grids there are
#
# The sample county has grids that somebody drew. A check tells what is wrong with them: sizes, overlaps,
# land in none, homes in two.

# %%
drawn = read_grids(SAMPLE / "网格" / "现状网格.gpkg", near=villages).table
norm = profile_of("20-50")
rows, found = check_grids(drawn, homes.points, villages, profile=norm)
found["title"].value_counts()

# %% [markdown]
# What would it cost to bring them into a norm? Households that would have to change grid, by norm:

# %%
norms = [profile_of(text) for text in ("20-50", "25-45", "30-50")]
costs = norm_costs(homes.points, villages, drawn, norms, survey=survey, settings=fast, only=[VILLAGE], jobs=1)
costs[["profile", "out_before", "grids", "in_band", "moved", "moved_share", "kept"]]

# %% [markdown]
# ## 5. Adjusted, not drawn anew
#
# A grid that need not change keeps its code and its polygon to the byte.

# %%
adjusted = adjust_grids(
    homes.points,
    villages,
    drawn,
    survey=survey,
    settings=GridSettings(profile=norm, budget="fast"),
    only=[VILLAGE],
    jobs=1,
)
fig, axes = plt.subplots(1, 2, figsize=(15, 7.5))
show(axes[0], rows[rows["village_code"] == VILLAGE], "现状")
moved = adjusted.grid_villages["moved"].iloc[0]
show(axes[1], adjusted.grids, f"调整后：{moved} 户换了网格")
fig.tight_layout()

# %%
before = drawn.set_index("grid_code").geometry
kept = adjusted.grids[adjusted.grids["change"] == "KEPT"].set_index("grid_code").geometry
same = pd.Series(
    {code: shape.wkb == before[code].wkb for code, shape in kept.items() if code in before.index}
)
print(f"不变的网格 {len(kept)} 个，其中图形逐字节相同 {int(same.sum())} 个")
adjusted.grid_lineage[["old_code", "new_code", "change", "households"]].head(12)
