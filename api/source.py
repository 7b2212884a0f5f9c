"""The workspace a service stands on: what was read of it is kept until the file is replaced."""

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, TypeVar, cast

from fastapi import Depends, Request

from geo import webmap, workspace
from geo.workspace import Workspace

Kept = TypeVar("Kept")

# What the page shows; the rest of the workspace is not read for it.
_PAGE_LAYERS: Final[tuple[str, ...]] = (
    "villages", "patches", "parcels", "parcels_original", "pieces", "findings", "shifts", "balance",
    "grids", "grid_villages", "households",
)  # fmt: skip


class Source:
    """One workspace file; a new run that replaces it is seen at the next request."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._locks: dict[str, threading.Lock] = {}  # one a name: a page being built delays no one else
        self._kept: dict[str, tuple[tuple[int, int, int] | None, object]] = {}
        self.open()

    def open(self) -> Workspace:
        """The workspace as it now is.

        Raises
        ------
        InputError, WorkspaceError
            If the file is gone or no workspace any more.
        """
        return self._keep("workspace", lambda: workspace.open(self.path))

    def codes(self, layer: str, key: str) -> list[str]:
        """Every value of a layer's key, in order."""
        opened = self.open()
        return self._keep(
            f"codes {layer}",
            lambda: sorted(opened.read(layer, columns=[key], geometry=False)[key].dropna()),
        )

    def page(self) -> tuple[bytes, str]:
        """The map page, and the tag that changes when it does."""
        opened = self.open()

        def build() -> tuple[bytes, str]:
            tables = {layer: opened.read(layer) for layer in _PAGE_LAYERS if layer in opened.layers}
            page = webmap.page(webmap.county_map(tables)).encode()
            return page, f'"{hashlib.sha256(page).hexdigest()[:32]}"'

        return self._keep("page", build)

    def _keep(self, name: str, build: Callable[[], Kept]) -> Kept:
        stamp = self._now()
        with self._locks.setdefault(name, threading.Lock()):
            if stamp is None or self._kept.get(name, (None,))[0] != stamp:
                self._kept[name] = (stamp, build())
            return cast("Kept", self._kept[name][1])

    def _now(self) -> tuple[int, int, int] | None:
        try:
            state = self.path.stat()
        except OSError:
            return None  # opening says what is wrong
        return state.st_ino, state.st_mtime_ns, state.st_size


def _of(request: Request) -> Source:
    return cast("Source", request.app.state.source)


SourceDep = Annotated[Source, Depends(_of)]

LAYER_KEYS: Final = {
    "pieces": "piece_code",
    "patches": "patch_code",
    "villages": "village_code",
    "findings": "finding_id",
    "balance": "code",
}
