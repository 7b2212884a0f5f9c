"""Vector tiles for a caller: stored ones for the whole county, made on the spot where scope or edits ask for it.

A tile is kept by layer, edition and villages of the caller, so that nobody is
ever given what was made for somebody else. The edition changes with every edit,
and what is kept of older ones falls out by itself.
"""

import gzip
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Hashable
from pathlib import Path
from typing import Final

from api.task import file_part
from geo.errors import InputError
from geo.store import Scope, Store
from geo.tiles import TILE_COLUMNS, Archive, Tile, TileLayer, encode

LIVE_FROM: Final = 14  # zoom from which tiles are made on the spot: a county's parcels below cost seconds
# Layers of few rows are made on the spot from further away.
_LIVE_FROM: Final = {"villages": 7, "grids": 10, "sheets": 11}
LIVE_TO: Final = 19
_KEPT_BYTES: Final = 96 * 2**20
_LEVEL: Final = 4  # of gzip
_OPEN: Final = 16  # archives


class Tiles:
    """Tiles of one store; threads may share it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept = Kept(_KEPT_BYTES)
        self._archives: OrderedDict[Path, Archive] = OrderedDict()
        self._lock = threading.Lock()

    def version(self, layer: str, scope: Scope) -> str:
        """A text that changes whenever a caller's tiles of a layer may; part of their address."""
        return _version(self._store.edition(layer), scope)

    def zooms(self, layer: str, scope: Scope) -> tuple[int, int]:
        """First and last zoom a caller's tiles of a layer have."""
        first = _LIVE_FROM.get(layer, LIVE_FROM)
        stored = self._stored(layer, self._store.edition(layer), scope)
        return (first if stored is None else min(first, stored[0].min_zoom)), LIVE_TO

    def tile(self, layer: str, tile: Tile, scope: Scope) -> bytes | None:
        """A tile as gzip; None if there is nothing in it, or it is too far away to be made.

        Raises
        ------
        InputError
            If a stored archive is damaged.
        """
        edition = self._store.edition(layer)
        live_from = _LIVE_FROM.get(layer, LIVE_FROM)
        stored = self._stored(layer, edition, scope)
        if stored is not None:
            archive, current = stored
            # Of an older edition of the same run only what shows no single piece is good enough.
            if archive.min_zoom <= tile.z <= archive.max_zoom and (current or tile.z < live_from):
                return archive.tile(*tile, compressed=True)
        if tile.z < live_from:
            return None
        key = (layer, _version(edition, scope), tile)
        found = self._kept.get(key)
        if found is None:
            found = self._made(layer, tile, scope)
            self._kept.put(key, found)
        return found or None

    def close(self) -> None:
        """Let go of all archives."""
        with self._lock:
            for archive in self._archives.values():
                archive.close()
            self._archives.clear()

    def _made(self, layer: str, tile: Tile, scope: Scope) -> bytes:
        crs = self._store.workspace.crs
        bbox = tile.within(crs)
        if bbox is None:
            return b""
        columns = TILE_COLUMNS[layer]
        shapes, held = self._store.raw(layer, columns, bbox=bbox, scope=scope)
        if not len(shapes):
            return b""
        told = {name: held[name] for name in columns if name in held}
        made = encode([TileLayer(name=layer, geometry=shapes, columns=told, crs=crs)], tile)
        return gzip.compress(made, _LEVEL, mtime=0) if made else b""

    def _stored(self, layer: str, edition: str, scope: Scope) -> tuple[Archive, bool] | None:
        """The archive of a layer, and whether it is of this very edition; none for callers of some villages."""
        if scope.villages is not None:
            return None
        folder = self._store.folder / "tiles"
        exact = folder / f"{layer}-{file_part(edition)}.pmtiles"
        if exact.is_file():
            archive = self._opened(exact)
            return None if archive is None else (archive, True)
        run = file_part(edition.rpartition("-")[0])
        older = sorted(folder.glob(f"{layer}-{run}_*.pmtiles")) if folder.is_dir() else []
        archive = self._opened(older[-1]) if older else None
        return None if archive is None else (archive, False)

    def _opened(self, path: Path) -> Archive | None:
        with self._lock:
            if (held := self._archives.get(path)) is not None:
                self._archives.move_to_end(path)
                return held
            try:
                archive = Archive(path)
            except InputError:
                return None  # it went away, or a job is not done with it: tiles are then made on the spot
            self._archives[path] = archive
            while len(self._archives) > _OPEN:
                self._archives.popitem(last=False)  # whoever reads from it keeps it open till then
            return archive


class Kept:
    """What was used last, up to a number of bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[Hashable, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """How much is kept, with something for the keys."""
        return self._bytes

    def get(self, key: Hashable) -> bytes | None:
        """What is kept under a key."""
        with self._lock:
            if (found := self._held.get(key)) is not None:
                self._held.move_to_end(key)
            return found

    def put(self, key: Hashable, value: bytes) -> None:
        """Keep it; what was not used for longest goes."""
        with self._lock:
            if (old := self._held.pop(key, None)) is not None:
                self._bytes -= _cost(old)
            self._held[key] = value
            self._bytes += _cost(value)
            while self._bytes > self._most and len(self._held) > 1:
                _, gone = self._held.popitem(last=False)
                self._bytes -= _cost(gone)


def _version(edition: str, scope: Scope) -> str:
    if scope.villages is None:
        return edition
    return f"{edition}-{hashlib.sha256(','.join(sorted(scope.villages)).encode()).hexdigest()[:12]}"


def _cost(value: bytes) -> int:
    return len(value) + 300  # an empty tile costs its key
