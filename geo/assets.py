"""Files that pages load from the service itself: where they lie, and an address that changes with them.

An address ends in a part of the file's hash, so a browser may keep it for
ever: what has changed has another address.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from geo.errors import OutputError

STATIC: Final = "/static"  # where the service mounts `static_files`
OWN_FOLDERS: Final = ("map", "page", "service")  # written for this project; every other folder is vendored

_DIGITS: Final = 12
_FILE_TYPES: Final = frozenset({".js", ".css", ".png", ".svg", ".woff2"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendored:
    """A library kept beside the code: its release, licence, the package it was taken from, its files."""

    name: str
    version: str
    licence: str
    source: str  # file name of the released package
    source_sha256: str
    files: Mapping[str, str]  # path under `static_files`: sha256


def static_files() -> Path:
    """The folder to be served at `STATIC`, read only."""
    return Path(str(files("geo") / "webassets"))


def asset_url(name: str) -> str:
    """Address of one file for ``src`` or ``href``: ``/static/map/map.js?v=…``.

    Parameters
    ----------
    name : str
        Path under `static_files`, with ``/``.

    Raises
    ------
    OutputError
        If there is no such file, or it is none that pages load.
    """
    return f"{STATIC}/{name}?v={_sha256(name)[:_DIGITS]}"


@cache
def vendored() -> tuple[Vendored, ...]:
    """Libraries of other people, by name, as the manifest lists them."""
    rows = json.loads((static_files() / "manifest.json").read_text(encoding="utf-8"))
    return tuple(sorted((Vendored(**row) for row in rows), key=lambda item: item.name))


@cache
def _sha256(name: str) -> str:
    path = static_files() / name
    if path.suffix not in _FILE_TYPES or not path.is_file() or not path.is_relative_to(static_files()):
        raise OutputError(f"网页要用的文件 {name} 不在安装包中：请重新安装")
    return hashlib.sha256(path.read_bytes()).hexdigest()
