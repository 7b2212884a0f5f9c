"""Land of a village in all layers a drawing may have; in a module of its own, so that other processes find it."""

import shapely

from geo.codes import CLASS_LETTERS
from tests.helpers import layer

CRS = "EPSG:4526"
X0, Y0 = 38_429_600.1234, 4_196_700.5678
GROUP = "14072510220101"
POND = [(X0 + 20, Y0 + 20), (X0 + 30.25, Y0 + 20), (X0 + 30.25, Y0 + 30)]
HOLED = shapely.Polygon([(X0, Y0), (X0, Y0 + 80.123456), (X0 + 60.987, Y0 + 80), (X0 + 60, Y0)], [POND])
APART = shapely.MultiPolygon([shapely.box(X0 + d, Y0, X0 + d + 20, Y0 + 20) for d in (100, 140)])


def pieces(*shapes, classes=None):
    count = len(shapes)
    kinds = classes or [list(CLASS_LETTERS)[at % 3] for at in range(count)]
    return layer(
        *shapes,
        crs=CRS,
        piece_code=[f"{GROUP}-{CLASS_LETTERS[kind]}-{at:04d}" for at, kind in enumerate(kinds, start=1)],
        piece_class=kinds,
        piece_shape="BLOCK",
        patch_code="14072510220100001",
        area_m2=1234.56,
        net_area_m2=1200.00,
        area_mu=1.85,
    )


def all_layers(name="柳沟村"):
    frame = shapely.box(X0 - 10, Y0 - 10, X0 + 200, Y0 + 100)
    return {
        "villages": layer(frame, crs=CRS, village_code=GROUP[:12], village_name=name),
        "patches": layer(HOLED, crs=CRS, patch_code="p1", land_class="0103", patch_area_m2=5000.0),
        "parcels": layer(HOLED, crs=CRS, parcel_code="1407251022010100001", parcel_class="10"),
        "pieces": pieces(HOLED, APART),
        "frames": layer(frame, crs=CRS, key=GROUP, number=f"{name} 第1页"),
        "points": layer(shapely.Point(X0, Y0), crs=CRS, number="J1"),
    }
