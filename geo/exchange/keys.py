"""Codes that name one row each: where a file has one twice, the later ones get a number behind it.

Which of them comes first is settled by the rows themselves, so the order they
stand in a file does not matter.
"""

import pandas as pd
import shapely
from geopandas import GeoDataFrame

from geo.findings import findings


def unique(  # noqa: PLR0913 - of a layer and its names
    code: pd.Series,
    table: GeoDataFrame,
    *,
    bsm: pd.Series,
    layer: str,
    field: str,
    stem: pd.Series | None = None,
) -> tuple[pd.Series, list[pd.DataFrame]]:
    """Codes made unique: of rows alike the first by BSM keeps its code, the others get '~2', '~3' behind it.

    Where BSM does not tell them apart their place does, so that the order of rows
    in the file does not matter.

    Parameters
    ----------
    code : Series, n rows
        Codes; missing where a row has none.
    table : GeoDataFrame, n rows
        The layer, with ``source_file`` and ``source_row``.
    bsm : Series, n rows
        The file's own identifiers.
    layer, field : str
        What findings say: name of the layer, Chinese name of the code's field.
    stem : Series, n rows, optional
        What stands for a missing code, without it nothing.

    Returns
    -------
    Series, list of findings
        Codes on the index of ``table``, each once; `code_missing` and `duplicate_code`.
    """
    missing = code.isna()
    code = code.fillna("" if stem is None else stem)
    notes = []
    if missing.any():
        rows = table[missing]
        messages = [
            f"{file} 第 {row + 1} 行没有{field}"
            for file, row in zip(rows["source_file"], rows["source_row"], strict=True)
        ]
        notes.append(findings("code_missing", messages, layer=layer, rows=rows, row_code=list(code[missing])))
    again = code.duplicated(keep=False)
    if not again.any():
        return code, notes
    boxes = shapely.bounds(table.geometry.to_numpy()[again])
    order = pd.DataFrame(boxes, columns=["west", "south", "east", "north"], index=code.index[again])
    order.insert(0, "code", code[again])
    order.insert(1, "bsm", bsm[again].fillna(""))
    order["area"] = shapely.area(table.geometry.to_numpy()[again])
    order["file"], order["row"] = table.loc[again, "source_file"], table.loc[again, "source_row"]
    order = order.sort_values(list(order.columns), kind="stable")
    rank = order.groupby("code").cumcount() + 1
    out = code.copy()
    later = rank[rank > 1]
    out[later.index] = code[later.index] + "~" + later.astype("str")
    rows = table[again & ~missing]
    if len(rows):
        count = code.map(code[again].value_counts())
        messages = [
            f"编码 {value} 有 {number} 行；本行记为 {new}"
            for value, number, new in zip(
                code[rows.index], count[rows.index].astype(int), out[rows.index], strict=True
            )
        ]
        notes.append(
            findings("duplicate_code", messages, layer=layer, rows=rows, row_code=list(out[rows.index]))
        )
    return out, notes
