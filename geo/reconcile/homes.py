"""Which village land belongs to: the survey's patches by owner, the parcels' issuers by where their land lies.

The survey's 12-digit village code and the first 12 digits of an issuer's code
come from different years and need not agree, so issuers are mapped to villages
by their parcels, and the map is said.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from geopandas import GeoDataFrame

from geo.codes import is_digits, lookup
from geo.findings import findings, joined
from geo.reconcile.sources import Sources

NO_VILLAGE: Final = "0" * 12  # a patch whose codes name no village
ENOUGH: Final = 10  # parcels, from which on they say something of the whole issuer
MAJORITY: Final = 0.5  # of an issuer village's parcels: where they lie is where it is


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Homes:
    """Villages of patches, issuers and parcels."""

    patch_village: "pd.Series[str]"  # on the survey's index: the owner's village, 12 digits
    location_village: "pd.Series[str]"  # on the survey's index: the village it lies in
    issuer_village: dict[str, str]  # first 12 digits of an issuer to survey village
    parcel_village: "pd.Series[str]"  # on the parcels' index: village of the issuer
    parcel_location: "pd.Series[str]"  # on the parcels' index: village the parcel lies in; empty outside all
    village_names: dict[str, str]
    findings: pd.DataFrame


def homes(sources: Sources) -> Homes:
    """Villages of every patch and parcel, and what is doubtful about them."""
    survey, parcels = sources.survey, sources.parcels
    location = _village_of(survey["location_unit_code"])
    owner = _village_of(survey["owner_unit_code"])
    located = location.where(location != NO_VILLAGE, owner)
    # Only collective land has an owner village; state land stays where it lies.
    collective = survey["ownership_kind"].str[:1].isin(["3", "4"])
    elsewhere = collective & (owner != NO_VILLAGE) & (owner != located)
    village = located.where(~elsewhere, owner)

    where = _locations(sources, located)
    issuer12 = parcels["issuer_code"].fillna("").str[:12]
    mapping, notes = _issuer_villages(issuer12, where, set(located) | set(village))
    mapped = lookup(issuer12, mapping)
    parcel_village = mapped.where(mapped.ne(""), where)
    names = _names(sources, located)
    return Homes(
        patch_village=village,
        location_village=located,
        issuer_village=mapping,
        parcel_village=parcel_village,
        parcel_location=where,
        village_names=names,
        findings=joined([notes, _enclave_findings(survey, elsewhere, village)]),
    )


def _village_of(unit: "pd.Series[str]") -> "pd.Series[str]":
    code = unit.fillna("").str[:12]
    good = is_digits(code, 12) & (code.str[9:] != "000")
    return code.where(good, NO_VILLAGE)


def _locations(sources: Sources, located: "pd.Series[str]") -> "pd.Series[str]":
    """Village each parcel lies in: by the village layer, else by the survey's patches; '' outside."""
    if sources.villages is not None and len(sources.villages):
        bounds, codes = sources.villages, sources.villages["village_code"].fillna("").str[:12]
    else:
        bounds, codes = sources.survey, located
    return pd.Series(_code_at(sources.parcels, bounds, codes), index=sources.parcels.index, dtype="str")


def _code_at(layer: GeoDataFrame, bounds: GeoDataFrame, codes: "pd.Series[str]") -> npt.NDArray[np.object_]:
    """Code of the polygon that holds a point of each row; the least where several do, '' where none."""
    points = shapely.point_on_surface(np.asarray(layer.geometry.array))
    polygons = np.asarray(bounds.geometry.array)
    # Few large polygons ask for many points: a polygon that asks is prepared once for all of them.
    other, row = shapely.STRtree(points).query(polygons, predicate="intersects")
    hit = pd.DataFrame({"row": row, "code": codes.to_numpy(dtype=object)[other]})
    hit = hit.sort_values(["row", "code"]).drop_duplicates("row")
    out = np.full(len(layer), "", dtype=object)
    out[hit["row"].to_numpy()] = hit["code"].to_numpy()
    return out


def _issuer_villages(
    issuer12: "pd.Series[str]", where: "pd.Series[str]", known: set[str]
) -> tuple[dict[str, str], pd.DataFrame]:
    table = pd.DataFrame({"issuer": issuer12, "where": where})
    table = table[(table["where"] != "") & (is_digits(table["issuer"], 12))]
    counts = table.groupby(["issuer", "where"], as_index=False).size()
    total = counts.groupby("issuer")["size"].transform("sum")
    counts["share"] = counts["size"] / total
    best = counts.sort_values(["issuer", "size", "where"], ascending=[True, False, True]).drop_duplicates(
        "issuer"
    )
    mapping: dict[str, str] = {code: code for code in issuer12.unique() if code in known}
    messages, codes, rules = [], [], []
    for issuer, lies_in, share, size in zip(
        best["issuer"], best["where"], best["share"], best["size"], strict=True
    ):
        if issuer in known:
            if issuer != lies_in and share > MAJORITY and size >= ENOUGH:
                messages.append(
                    f"发包方 {issuer} 的地块有 {share:.0%} 落在村 {lies_in}；仍按编码归 {issuer}，请核对偏移或编码"
                )
                codes.append(issuer)
                rules.append("issuer_lies_elsewhere")
            continue
        mapping[issuer] = lies_in
        messages.append(
            f"发包方编码 {issuer} 不在三调村级调查区中，按地块位置（{share:.0%}）对应到村 {lies_in}"
        )
        codes.append(issuer)
        rules.append("issuer_village_mapped")
    parts = [
        findings(rule, message, layer="parcels", row_code=code)
        for rule, message, code in zip(rules, messages, codes, strict=True)
    ]
    return mapping, joined(parts)


def _enclave_findings(
    survey: GeoDataFrame, elsewhere: "pd.Series[bool]", village: "pd.Series[str]"
) -> pd.DataFrame:
    flagged = survey["is_enclave"]
    collective = survey["ownership_kind"].str[:1].isin(["3", "4"])
    land = survey.assign(village_code=village)
    unflagged = land[elsewhere & ~flagged]
    pointless = land[flagged & collective & ~elsewhere]
    return joined(
        [
            findings(
                "enclave_not_flagged",
                [
                    f"图斑 {c} 的权属单位与坐落单位不同而未标飞入地；按权属单位计入"
                    for c in unflagged["patch_code"]
                ],
                layer="survey",
                rows=unflagged,
                row_code=unflagged["patch_code"],
            ),
            findings(
                "enclave_same_unit",
                [f"图斑 {c} 标为飞入地，但权属单位与坐落单位相同" for c in pointless["patch_code"]],
                layer="survey",
                rows=pointless,
                row_code=pointless["patch_code"],
            ),
        ]
    )


def _names(sources: Sources, located: "pd.Series[str]") -> dict[str, str]:
    names = dict(zip(located, sources.survey["location_unit_name"].fillna(""), strict=True))
    if sources.villages is not None:
        codes = sources.villages["village_code"].fillna("").str[:12]
        names |= dict(zip(codes, sources.villages["village_name"].fillna(""), strict=True))
    return names
