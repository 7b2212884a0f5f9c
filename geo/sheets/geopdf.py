"""Where on the earth a page's map lies, in the words of a PDF file.

Readers take the corners' places on the page as shares of a box around the
map, and their latitudes and longitudes; both quadrilaterals are given as they
are, so a sheet turned by the convergence of its meridians stays true.

Source: ISO 32000-2:2020, 12.9 and 12.10 (measure and geospatial features); OGC 08-139r3 is the older way and not used.
"""

from functools import cache

import numpy as np
import pikepdf
from pyproj import CRS
from pyproj.enums import WktVersion

from geo.errors import GeoError
from geo.sheets.page import Registration

_PT_PER_MM = 72 / 25.4


def viewport(registration: Registration) -> pikepdf.Dictionary:
    """The page's viewport, with its measure.

    Parameters
    ----------
    registration : Registration
        Four corners on paper and on the earth, in one order.

    Returns
    -------
    pikepdf.Dictionary
        One entry of a page's ``/VP``.

    Raises
    ------
    GeoError
        If the four corners on paper enclose no area.
    """
    corners = np.asarray(registration.frame_mm, dtype=np.float64) * _PT_PER_MM
    low, high = corners.min(axis=0), corners.max(axis=0)
    if not (high > low).all():
        raise GeoError("图廓四角不成面，无法写入地理坐标；请检查该页的图廓")
    shares = (corners - low) / (high - low)
    lonlat = np.asarray(registration.frame_lonlat, dtype=np.float64)
    return pikepdf.Dictionary(
        Type=pikepdf.Name.Viewport,
        BBox=_numbers([*low, *high], 6),
        Name=pikepdf.String("地图"),
        Measure=pikepdf.Dictionary(
            Type=pikepdf.Name.Measure,
            Subtype=pikepdf.Name.GEO,
            Bounds=_numbers(shares.ravel(), 9),
            GPTS=_numbers(lonlat[:, ::-1].ravel(), 11),  # 1e-11 degree: a thousandth of a millimetre
            LPTS=_numbers(shares.ravel(), 9),
            GCS=pikepdf.Dictionary(
                Type=pikepdf.Name.PROJCS,
                EPSG=registration.epsg,
                WKT=pikepdf.String(_wkt(registration.epsg)),
            ),
        ),
    )


@cache
def _wkt(epsg: int) -> str:
    return CRS.from_epsg(epsg).to_wkt(WktVersion.WKT1_ESRI)


def _numbers(
    values: "list[float] | np.ndarray[tuple[int, ...], np.dtype[np.float64]]", places: int
) -> pikepdf.Array:
    return pikepdf.Array([pikepdf.Object.parse(f"{value:.{places}f}".encode("ascii")) for value in values])
