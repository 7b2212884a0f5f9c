"""What a result was made from: the content of its inputs, its settings, and the libraries that compute.

A run is named by them alone: same name, same result, byte for byte. No clock
is in it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import pandas as pd
import shapely

from geo import schema

_COMPUTING: Final = ("taotu", "geopandas", "shapely", "pyproj", "pyogrio", "numpy", "pandas", "scipy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: its name, and its row of layer ``runs``."""

    run_id: str
    inputs: str  # JSON: files by role, each with its hash and rows
    settings: str  # JSON
    versions: str  # JSON

    @staticmethod
    def of(inputs: Mapping[str, Mapping[str, object]], settings: str, *, more: Sequence[str] = ()) -> "Run":
        """The run of some inputs and settings with the libraries at hand; ``more`` are further ones that count."""
        versions = {name: version(name) for name in (*_COMPUTING, *more)} | {
            "GEOS": shapely.geos_version_string
        }
        text = json.dumps(
            [inputs, settings, versions, schema.WORKSPACE_VERSION], sort_keys=True, ensure_ascii=False
        )
        return Run(
            run_id=hashlib.sha256(text.encode()).hexdigest()[:16],
            inputs=json.dumps(inputs, ensure_ascii=False, sort_keys=True),
            settings=settings,
            versions=json.dumps(versions, sort_keys=True),
        )

    def after(self, before: pd.DataFrame | None) -> pd.DataFrame:
        """Layer ``runs`` with this one last; one that is repeated keeps its row."""
        row = pd.DataFrame(
            {
                "run_id": [self.run_id],
                "inputs": [self.inputs],
                "settings": [self.settings],
                "versions": [self.versions],
            }
        )
        if before is None:
            return schema.conform(row, "runs")
        if self.run_id in set(before["run_id"]):
            return schema.conform(before, "runs")
        return schema.conform(pd.concat([before, row], ignore_index=True), "runs")


def hashes(paths: Sequence[Path]) -> dict[str, str]:
    """Content (SHA-256) of files by name; of one name, numbered."""
    files: dict[str, str] = {}
    for name, content in sorted((path.name, _sha256(path)) for path in paths if path.is_file()):
        same = sum(other.partition("#")[0] == name for other in files)
        files[f"{name}#{same + 1}" if same else name] = content
    return files


def content(table: pd.DataFrame, columns: Sequence[str]) -> str:
    """Content (SHA-256) of some columns of a table, in the order of its rows."""
    digest = hashlib.sha256()
    for name in columns:
        values = table[name]
        if name == "geometry":
            texts = shapely.to_wkb(values.to_numpy(), hex=True)
        else:
            texts = values.astype("str").fillna("").to_numpy(dtype=object)
        digest.update("\x1f".join([name, *("" if text is None else text for text in texts)]).encode())
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
