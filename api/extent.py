"""Where the county lies, for collections to say and for boxes to be cut to; worked out once a run."""

import threading
from weakref import WeakKeyDictionary

import numpy as np
import shapely

from api.systems import Bounds
from geo.store import EVERYTHING, Store

_kept: WeakKeyDictionary[Store, tuple[str, Bounds | None]] = WeakKeyDictionary()
_guard = threading.Lock()


def reach(store: Store) -> Bounds | None:
    """Bounds of the villages in the workspace's CRS, of the patches where there are none, None of an empty county."""
    edition = store.edition("villages")
    with _guard:
        held = _kept.get(store)
    if held is not None and held[0] == edition:
        return held[1]
    found = _bounds(store, "villages") or _bounds(store, "patches") or _bounds(store, "parcels")
    with _guard:
        _kept[store] = (edition, found)
    return found


def _bounds(store: Store, layer: str) -> Bounds | None:
    shapes, _ = store.raw(layer, [], scope=EVERYTHING)
    if not len(shapes):
        return None
    west, south, east, north = shapely.total_bounds(shapely.from_wkb(shapes))
    if not np.isfinite([west, south, east, north]).all():
        return None
    return float(west), float(south), float(east), float(north)
