"""National map sheets: which sheet holds a point, what land a sheet covers."""

from geo.sheets.index import sheet_code, sheet_frame

__all__ = ["sheet_code", "sheet_frame"]
