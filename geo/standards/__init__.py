"""Code lists of the national standards, and our own dictionary, as data files."""

from functools import cache
from importlib.resources import files

import pandas as pd


@cache
def code_list(name: str) -> dict[str, str]:
    """One code list: code to Chinese name.

    ``name`` is the standard's field: DLBM, QSXZ, DKLB, ... (``codes.csv``).

    Raises
    ------
    KeyError
        If there is no list of that name.
    """
    table = _code_lists()
    rows = table[table["list"] == name]
    if rows.empty:
        raise KeyError(name)
    return dict(zip(rows["code"], rows["name"], strict=True))


@cache
def _code_lists() -> pd.DataFrame:
    with (files("geo.standards") / "codes.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, dtype=str, keep_default_na=False)
