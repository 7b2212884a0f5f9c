"""Registrations of contract parcels (CBDKXX), read beside the map and joined to it.

A parcel may have several registrations, and a registration no parcel: where
shares of a village's land were confirmed there is none to draw. Both are kept.

Source: NY/T 2539-2016, tables CBDKXX, FBF, CBF.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import pandas as pd
from geopandas import GeoDataFrame

from geo import schema
from geo.errors import InputError
from geo.exchange import delivery, fields, tables
from geo.exchange.vector import joined
from geo.findings import findings

M2_PER_MU: Final = 1 / 0.0015  # SCMJM = SCMJ x 0.0015, as the confirmation's software had it


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Register:
    """Registrations and those they name, under our names."""

    rights: pd.DataFrame
    issuers: pd.DataFrame
    contractors: pd.DataFrame
    findings: pd.DataFrame
    files: tuple[Path, ...]


def tables_beside(paths: Sequence[Path]) -> tuple[Path | None, Path | None]:
    """Where registrations and issuers are, when they came with the parcels: in their folder or zip."""
    if len(paths) != 1:
        return None, None
    path = paths[0]
    if path.suffix.lower() == ".zip":
        with tables.table_sources(path) as found:
            return (path if tables.find(found, "rights") else None), None
    if path.is_dir() and path.suffix.lower() != ".gdb":
        held = delivery.find(path)
        return held.rights, held.issuers
    return None, None


def read_register(
    given: Path | str | None,
    beside: Path | None,
    units: Path | None,
    *,
    personal: bool,
    contractors: bool = True,
) -> Register:
    """CBDKXX, FBF and CBF, under our names.

    Parameters
    ----------
    given : Path, optional
        Where the caller says they are.
    beside : Path, optional
        Where they are else.
    units : Path, optional
        Table of unit codes: names of issuers where there is no FBF.
    personal : bool
        Whether to read columns of persons.
    contractors : bool
        Whether to read CBF.

    Raises
    ------
    InputError
        If the file cannot be read or has no CBDKXX.
    MissingColumnError
        If CBDKXX has no DKBM.
    """
    path = given if given is not None else beside
    empty = {name: schema.conform(pd.DataFrame(), name) for name in ("rights", "issuers", "contractors")}
    if path is None:
        message = "没有提供承包地块信息（CBDKXX），无法判断地块是否已登记到户"
        return Register(**empty, findings=findings("rights_missing", message, layer="rights"), files=())
    with tables.table_sources(path) as found:
        one = partial(tables.read_one, found, name=Path(path).name, personal=personal)
        read = one("rights", needed=("DKBM",))
        wanted = ("issuers", "contractors") if contractors else ("issuers",)
        others = {role: one(role, optional=True) for role in wanted}
    if read is None:
        raise InputError(f"{Path(path).name} 里没有{tables.ROLE_TITLES['rights']}表")
    if others["issuers"] is None and units is not None:
        others["issuers"] = tables.read(units, "issuers", personal=personal, optional=True)
    notes, files = [read.findings], list(read.files)
    table = read.table
    label = str(Path(path).name)
    for area, mu, field in (
        ("contract_area_m2", "contract_area_mu", "HTMJ"),
        ("former_contract_area_m2", "former_contract_area_mu", "YHTMJ"),
    ):
        if mu in table and area not in table:
            table[area] = (fields.as_number(table[mu]) * M2_PER_MU).round(2)
            message = f"{label} 没有 {field}，由 {field}M（亩）÷ 0.0015 换算"
            notes.append(findings("contract_area_from_mu", message, layer="rights", source_file=label))
    if "share_based" in table:
        table["share_based"] = fields.as_flag(table["share_based"])
    rights = schema.conform(
        table.drop(columns=[name for name in table.columns if str(name).endswith("_mu")]), "rights"
    )
    rights["issuer_code"] = rights["issuer_code"].fillna(_issuer_of(rights["parcel_code"]))
    out = empty | {"rights": rights}
    for role, other in others.items():
        if other is not None:
            notes.append(other.findings)
            files += other.files
            out[role] = schema.conform(other.table, role)
    return Register(**out, findings=joined(notes), files=tuple(dict.fromkeys(files)))


def _issuer_of(parcel_code: pd.Series) -> pd.Series:
    """The issuer a parcel's code begins with; missing where the code is shorter than an issuer's."""
    return parcel_code.str[:14].where(parcel_code.str.len() >= 14)  # noqa: PLR2004 - digits of an issuer code


_JOINED: Final = (
    "issuer_code",
    "contractor_code",
    "acquisition_kind",
    "contract_area_m2",
    "former_contract_area_m2",
    "share_based",
)


def join(table: GeoDataFrame, rights: pd.DataFrame) -> tuple[GeoDataFrame, list[pd.DataFrame]]:
    """Parcels with the registration of the same DKBM; of several the first by contractor."""
    notes = []
    named = rights[rights["parcel_code"].notna()].sort_values(
        ["parcel_code", "contractor_code", "contract_code", "contract_area_m2", "issuer_code"], kind="stable"
    )
    several = named[named["parcel_code"].duplicated(keep=False)].groupby("parcel_code", sort=True)
    told = {
        str(code): f"地块 {code} 有 {len(rows)} 条承包登记，承包方："
        + "、".join(dict.fromkeys(rows["contractor_code"].fillna("（空）")))
        for code, rows in several
    }
    if told:
        notes.append(findings("rights_duplicate", list(told.values()), layer="rights", row_code=list(told)))
    first = named.drop_duplicates("parcel_code").set_index("parcel_code")
    out = table.copy()
    at = first.index.get_indexer(pd.Index(table["parcel_code"]))
    for column in _JOINED:
        out[column] = first[column].reset_index(drop=True).reindex(at).set_axis(out.index)
    out["has_rights"] = at >= 0
    out["issuer_code"] = out["issuer_code"].fillna(_issuer_of(out["parcel_code"]))
    drawn = pd.Index(table["parcel_code"].dropna().unique())
    lone = named[drawn.get_indexer(pd.Index(named["parcel_code"])) < 0]
    village = lone["issuer_code"].fillna(lone["parcel_code"]).str[:12]
    for code, rows in lone.groupby(village, sort=True):
        shares = int(rows["share_based"].sum())
        of_them = f"，其中确权确股 {shares} 条" if shares else ""
        message = f"村 {code} 有 {len(rows)} 条承包登记找不到对应地块{of_them}"
        village_code = str(code)
        notes.append(
            findings(
                "rights_without_parcel",
                message,
                layer="rights",
                row_code=village_code,
                village_code=village_code,
            )
        )
    return out, notes
