"""Villages that are done, kept on disk until the whole run is: a killed run goes on from there.

A checkpoint belongs to one run: same inputs, settings and program. It is a
folder beside the workspace, ``W.gpkg.part``, and goes away when the workspace
is written.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import geopandas as gpd
import pandas as pd

from geo.errors import OutputError
from geo.reconcile.part import VillagePart

_TABLES: Final = ("patches", "pieces", "covered", "findings")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A folder of finished villages of one run."""

    folder: Path

    def load(self, village: str) -> VillagePart | None:
        """A finished village, or None; one that was cut off in writing does not count."""
        folder = self.folder / village
        if not (folder / "done").exists():
            return None
        tables = {}
        try:
            for name in _TABLES:
                path = folder / f"{name}.parquet"
                plain = name == "covered"
                tables[name] = (pd if plain else gpd).read_parquet(path, page_checksum_verification=True)
        except (OSError, ValueError, KeyError):  # a power cut may leave less than was written
            return None
        return VillagePart(**tables)

    def save(self, village: str, part: VillagePart) -> None:
        """Keep a finished village.

        Raises
        ------
        OutputError
            If the folder cannot be written.
        """
        folder = self.folder / village
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for name in _TABLES:
                table = getattr(part, name)
                if name == "findings":
                    table = gpd.GeoDataFrame(table, geometry="geometry", crs=part.pieces.crs)
                table.to_parquet(folder / f"{name}.parquet", write_page_checksum=True)
            (folder / "done").touch()
        except OSError as error:
            raise OutputError(
                f"无法写入断点文件夹 {folder}：{error.strerror or error}；请检查磁盘空间与权限"
            ) from error

    def drop(self) -> None:
        """Remove the folder: the run is whole."""
        shutil.rmtree(self.folder, ignore_errors=True)


def open_checkpoint(workspace: str | os.PathLike[str], run_id: str, *, resume: bool) -> Checkpoint:
    """The checkpoint of a workspace: emptied, unless it is to be resumed and is of the same run.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    folder = Path(f"{os.fspath(workspace)}.part")
    mark = folder / "run.json"
    try:
        same = resume and mark.exists() and json.loads(mark.read_text(encoding="utf-8")) == {"run_id": run_id}
        if not same:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            mark.write_text(json.dumps({"run_id": run_id}), encoding="utf-8")
    except (OSError, ValueError) as error:
        raise OutputError(
            f"无法使用断点文件夹 {folder}：{error}；请检查磁盘空间与权限，或删除该文件夹"
        ) from error
    return Checkpoint(folder=folder)
