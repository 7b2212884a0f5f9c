"""How QGIS shows a workspace when nobody has said otherwise: colours, and Chinese titles of columns."""

import sqlite3
from importlib.resources import files
from typing import Final
from xml.etree import ElementTree as ET

from geo import schema
from geo.workspace.tables import GEOMETRIES

DATE: Final = "2000-01-01T00:00:00.000Z"  # the standard wants one; the run's identity is in ``runs``

# The table in which QGIS looks for the styles of a GeoPackage, in its own words.
_STYLE_TABLE: Final = """
CREATE TABLE layer_styles (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256), f_table_schema TEXT(256),
  f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
  useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30), update_time DATETIME)
"""


def style(layer: str) -> str:
    """Default QGIS style (QML) of a layer: ``styles/{layer}.qml`` and the Chinese titles of its columns.

    A table has titles only. QGIS before 3.28 does not read titles from the
    GeoPackage's own table of columns, so the style carries them too.
    """
    file = files("geo.styles") / f"{layer}.qml"
    if layer not in GEOMETRIES or not file.is_file():
        file = files("geo.styles") / "table.qml"
    root = ET.fromstring(file.read_text(encoding="utf-8"))  # noqa: S314 - a file of ours
    aliases = ET.SubElement(root, "aliases")
    for name, title in schema.titles(layer).items():
        ET.SubElement(aliases, "alias", field=name, name=title)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


def describe(base: sqlite3.Connection) -> None:
    """Chinese titles in the column the standard means for people, and the default styles."""
    base.execute("UPDATE gpkg_data_columns SET title = name")
    base.execute(_STYLE_TABLE)
    base.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, last_change, srs_id)"
        " VALUES ('layer_styles', 'attributes', 'layer_styles', ?, 0)",
        (DATE,),
    )
    for layer in schema.RUN_LAYERS:
        base.execute(STYLE_ROW, style_row(layer))
    base.execute("INSERT INTO gpkg_ogr_contents VALUES ('layer_styles', ?)", (len(schema.RUN_LAYERS),))
    base.commit()


STYLE_ROW: Final = (
    "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column,"
    " styleName, styleQML, styleSLD, useAsDefault, description, owner, ui, update_time)"
    " VALUES ('', '', ?, ?, ?, ?, '', 1, '', '', NULL, ?)"
)


def style_row(layer: str) -> tuple[str, str, str, str, str]:
    """Values of `STYLE_ROW` for a layer."""
    return layer, "geom" if layer in GEOMETRIES else "", schema.LAYER_TITLES[layer], style(layer), DATE
