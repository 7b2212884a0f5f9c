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
# # 十分钟看懂一个县 · A county in ten minutes
#
# Two official maps of one county were never compared: the third land survey (三调), which knows
# every patch of land and its class, and the contract-rights parcels (确权), which know the farmland
# confirmed to each household. Farmland on the first that no household holds on the second is
# collective land that somebody farms without a contract. This notebook lays one over the other
# and accounts for every square metre.

# %%
from pathlib import Path

import geopandas as gpd
import matplotlib.pyplot as plt
import pandas as pd
import shapely
from matplotlib.patches import Patch

from geo import workspace
from geo.area import M2_PER_MU
from geo.exchange import read
from geo.ledger import write_ledger
from geo.reconcile import reconcile
from geo.standards import code_list

plt.rcParams["font.sans-serif"] = [
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "WenQuanYi Micro Hei",
    "sans-serif",
]
plt.rcParams["axes.unicode_minus"] = False
SAMPLE = next(Path("../data_samples").glob("**/三调")).parent
HELD = next(SAMPLE.glob("*/矢量数据")).parent

# %% [markdown]
# ## 1. The two maps, as they are delivered
#
# GBK text without a `.cpg`, parcels cut by township, some without a `.prj`, the rights in a table of
# their own: reading works all that out and says each thing it had to infer as a *finding*.

# %%
survey = read.survey(SAMPLE / "三调" / "DLTB.shp")
parcels = read.parcels(HELD, near=survey.table)
villages = read.villages(SAMPLE / "三调" / "CJDCQ.shp", near=survey.table)
baseline = read.baseline(SAMPLE / "二调" / "DLTB.shp", near=survey.table)
inferred = pd.concat([reading.findings for reading in (survey, parcels, villages, baseline)])
inferred[["severity", "title", "source_file", "message"]].head(12)

# %%
COLOURS = {
    "01": "#f2e6a0",
    "02": "#c9d88a",
    "03": "#7fae6b",
    "04": "#bcd9a3",
    "07": "#d98880",
    "10": "#9a9a9a",
}
COLOURS |= {"11": "#9cc9e3", "12": "#d9c7a8", "06": "#b39bb5", "09": "#b39bb5"}
NAMES = {
    "01": "耕地",
    "02": "园地",
    "03": "林地",
    "04": "草地",
    "07": "住宅",
    "10": "道路",
    "11": "水域",
    "12": "其他",
}
land = survey.table
fig, axes = plt.subplots(1, 2, figsize=(15, 7.5), sharex=True, sharey=True)
land.plot(
    ax=axes[0],
    color=land["land_class"].str[:2].map(COLOURS).fillna("#eeeeee"),
    edgecolor="white",
    linewidth=0.15,
)
axes[0].set_title("三调：每一块地和它的地类")
axes[0].legend(
    handles=[Patch(color=COLOURS[k], label=n) for k, n in NAMES.items()], loc="lower left", ncols=2
)
land.plot(ax=axes[1], color="#f4f4f0")
kinds = {"10": "#7f9c6c", "21": "#c6a15b", "22": "#d46a4c", "23": "#b07cc6", "99": "#8a8a8a"}
with_land = parcels.table[parcels.table.geometry.notna()]
with_land.plot(
    ax=axes[1], color=with_land["parcel_class"].map(kinds).fillna("#000000"), edgecolor="white", linewidth=0.1
)
axes[1].set_title("确权：登记到户的承包地，以及自留地、机动地等")
axes[1].legend(
    handles=[Patch(color=c, label=code_list("DKLB")[k]) for k, c in kinds.items()], loc="lower left"
)
for ax in axes:
    villages.table.boundary.plot(ax=ax, color="#444444", linewidth=0.8)
    ax.set_axis_off()
fig.tight_layout()

# %% [markdown]
# ## 2. One over the other
#
# Two lines. Only parcels that a household holds by a rights record take land out; reserve land, private
# plots and the like are evidence. Every patch keeps its official area (TBMJ): what is covered and what is
# left are shares of it, in whole cents.

# %%
result = reconcile(
    survey.table,
    parcels.table,
    villages=villages.table,
    baseline=baseline.table,
    rights=parcels.rights,
    issuers=parcels.issuers,
)
balance = result.balance
balance[balance["level"].isin(["county", "village"])].drop(columns="level").set_index("code").T

# %% [markdown]
# The proof that nothing was lost: on every row, farmland = covered + blocks + strips + slivers, to the cent.

# %%
cents = (balance.filter(regex="_m2$") * 100).round().astype(int)
left = cents["farmland_m2"] - cents[["covered_m2", "block_m2", "strip_m2", "sliver_m2"]].sum(axis=1)
assert (left == 0).all()
parts = balance[balance["level"] == "village"].set_index("name")
shown = ["covered_m2", "block_m2", "strip_m2", "sliver_m2", "state_m2", "share_based_m2"]
labels = ["已确权", "图块", "细条", "碎屑", "国有（另列）", "确股村（另列）"]
ax = (parts[shown] / M2_PER_MU).plot.barh(
    stacked=True, figsize=(12, 3.2), color=["#a9b8a0", "#d55e00", "#e8a33d", "#f1d9a7", "#9fb4c7", "#d8cba8"]
)
ax.legend(labels, loc="center left", bbox_to_anchor=(1, 0.5))
ax.set(xlabel="亩", ylabel="", title="各村耕地去向")
ax.figure.tight_layout()

# %% [markdown]
# ## 3. The pieces, and why each is what it is
#
# A piece that was farmland at the base date (二调) was never confirmed (未确权地); one that was grass, wood
# or river flat then is newly added (新增地). Each carries its reason.

# %%
CLASS_COLOURS = {"UNCONFIRMED": "#d55e00", "NEWLY_ADDED": "#0072b2", "UNDETERMINED": "#e0c000"}
pieces = result.pieces
blocks = pieces[pieces["piece_shape"] == "BLOCK"].sort_values("area_m2", ascending=False)
blocks[["piece_code", "area_mu", "net_area_mu", "class_reason", "group_source", "sheet_code"]].head(8)

# %%
fig, axes = plt.subplots(1, 2, figsize=(15, 7.5), width_ratios=[1, 1.1])
for ax in axes:
    result.patches.plot(ax=ax, color="#f1eedd", edgecolor="#cfc9ac", linewidth=0.3)
    result.parcels.plot(ax=ax, color="#d9ddd4", edgecolor="white", linewidth=0.2)
    for name, colour in CLASS_COLOURS.items():
        chosen = blocks[blocks["piece_class"] == name]
        if len(chosen):
            chosen.plot(ax=ax, color=colour, edgecolor="#333333", linewidth=0.3)
    ax.set_axis_off()
axes[0].set_title("全县：剩余图块")
axes[0].legend(handles=[Patch(color=c, label=code_list("piece_class")[n]) for n, c in CLASS_COLOURS.items()])
x, y = blocks.iloc[0].geometry.centroid.coords[0]
axes[1].set(xlim=(x - 260, x + 260), ylim=(y - 230, y + 230), title="近看：最大的图块和它的邻居（编号、亩）")
near = blocks[blocks.intersects(shapely.box(x - 240, y - 210, x + 240, y + 210)) & (blocks["area_m2"] > 400)]
for code, mu, point in zip(near["piece_code"], near["area_mu"], near.representative_point(), strict=True):
    axes[1].annotate(f"{code[-6:]}\n{mu:.2f}", point.coords[0], ha="center", va="center", fontsize=8)
fig.tight_layout()

# %% [markdown]
# ## 4. Blocks, strips, slivers
#
# Parcels were digitised by hand, so along every border the maps miss each other by a metre or two. Those
# strips are no land to let, but they are area: they stay in the books. A strip is wider somewhere than borders of its
# village err.

# %%
fig, ax = plt.subplots(figsize=(11, 4))
for name, colour in {"SLIVER": "#c9b9a5", "STRIP": "#e8a33d", "BLOCK": "#d55e00"}.items():
    rows = pieces[pieces["piece_shape"] == name]
    ax.scatter(
        rows["area_m2"],
        rows["mean_width_m"],
        s=7,
        color=colour,
        label=f"{code_list('piece_shape')[name]} {len(rows)}",
    )
ax.set(xscale="log", yscale="log", xlabel="面积 m²", ylabel="平均宽度 2A/L，m", title="形状怎样分")
ax.legend()
fig.tight_layout()

# %% [markdown]
# ## 5. How right is it? The sample county knows the answer
#
# `truth/` holds what was really left out when the county was made; no step above has seen it.

# %%
truth = gpd.read_file(SAMPLE / "truth" / "truth.gpkg", layer="truth_pieces").to_crs(pieces.crs)


def scores(found, expected):
    found, expected = shapely.union_all(found.to_numpy()), shapely.union_all(expected.to_numpy())
    common = shapely.area(shapely.intersection(found, expected))
    precision, recall = common / found.area, common / expected.area
    return {"precision": precision, "recall": recall, "F1": 2 * precision * recall / (precision + recall)}


table = {"全部图块": scores(blocks.geometry, truth.geometry)}
for name in ("UNCONFIRMED", "NEWLY_ADDED"):
    table[code_list("piece_class")[name]] = scores(
        blocks[blocks["piece_class"] == name].geometry, truth[truth["piece_class"] == name].geometry
    )
pd.DataFrame(table).T.round(3)

# %% [markdown]
# ## 6. What is wrong with the data
#
# Nothing stopped the run; everything is in the list, with advice.

# %%
findings = result.findings
findings.groupby(["severity", "title"]).size().rename("count").sort_values(ascending=False).to_frame()

# %%
findings.loc[findings["severity"] == "error", ["title", "message", "advice"]]

# %% [markdown]
# ## 7. A workspace, a ledger
#
# The GeoPackage opens in QGIS with Chinese titles and styles; the ledger is a workbook a village, with the
# balance proof in it. `taotu demo` does all of this, and a map that needs no network.

# %%
workspace.write("county.gpkg", result.tables(), crs=pieces.crs)
books = write_ledger(workspace.open("county.gpkg"), "台账")
[book.name for book in books]
