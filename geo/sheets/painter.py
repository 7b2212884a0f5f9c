"""From a frame and its land to finished pages: layout, photo and composition in one call, the same in every process."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from geo.errors import InputError
from geo.sheets.compose import compose
from geo.sheets.fonts import measure
from geo.sheets.frames import Frame
from geo.sheets.layout import LayoutSettings, layout
from geo.sheets.page import Page, Photo


@dataclass(frozen=True, slots=True, kw_only=True)
class Painter:
    """Draws frames of one set."""

    settings: LayoutSettings
    raster: Path | None
    identity: str  # of settings and raster, by its name, size and time: a county's mosaic is too large to be hashed

    def __call__(self, frame: Frame, layers: Mapping[str, pd.DataFrame], unit: Sequence[Frame]) -> tuple[Page, ...]:
        """Pages of a frame, among the frames of its unit."""
        page = layout(frame, layers, settings=self.settings, tiles=unit, measure=measure)
        return compose(frame, page, self._photo(frame))

    def _photo(self, _frame: Frame) -> Photo | None:
        if self.raster is not None:
            raise InputError("本版尚不能垫影像")
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Painting:
    """How pages look."""

    layout: LayoutSettings = field(default_factory=LayoutSettings)

    def on(self, raster: str | os.PathLike[str] | None, county_name: str) -> Painter:
        """A painter for a county, over a photo if there is one.

        Raises
        ------
        InputError
            If there is no such photo.
        """
        settings = self.layout if self.layout.county_name else replace(self.layout, county_name=county_name)
        if raster is None:
            return Painter(settings=settings, raster=None, identity=repr(settings))
        path = Path(raster)
        if not path.is_file():
            raise InputError(f"没有影像文件 {path}：请核对 --photo 的路径")
        about = path.stat()
        return Painter(settings=settings, raster=path, identity=f"{settings!r} {path.name} {about.st_size} {about.st_mtime_ns}")
