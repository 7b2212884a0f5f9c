"""From a frame and its land to finished pages: layout, photo and composition in one call, the same in every process."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from pyproj import CRS

from geo.sheets.compose import PHOTO, compose
from geo.sheets.fonts import measure
from geo.sheets.frames import Frame
from geo.sheets.layout import Layout, LayoutSettings, layout
from geo.sheets.page import Page, Photo
from geo.sheets.photo import Rasters, photo, rasters

Photos = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Painter:
    """Draws frames of one set."""

    settings: LayoutSettings
    rasters: Rasters | None
    dpi: float
    quality: int
    crs: CRS  # of the layers
    identity: str  # of all that decides a page beside the land

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the photos as a whole, in Chinese."""
        return self.rasters.problems if self.rasters is not None else ()

    def __call__(
        self, frame: Frame, layers: Mapping[str, pd.DataFrame], unit: Sequence[Frame]
    ) -> tuple[tuple[Page, ...], str]:
        """Pages of a frame, among the frames of its unit, and what is lacking on them."""
        page = layout(frame, layers, settings=self.settings, tiles=unit, measure=measure)
        image, note = self._photo(frame, page)
        full = f"{page.unmarked} 块图上注不下，只列在表中（序号带*）" if page.unmarked else ""
        return compose(frame, page, image), "；".join(filter(None, [note, full]))

    def _photo(self, frame: Frame, page: Layout) -> tuple[Photo | None, str]:
        """The photo under a map; an overview has none, for at its scale it would hide more than it shows."""
        if self.rasters is None or frame.kind != "map" or np.isnan(frame.corners).any():
            return None, ""
        taken = photo(
            self.rasters,
            frame.corners,
            frame.crs or self.crs,
            scale=frame.scale,
            dpi=self.dpi,
            quality=self.quality,
        )
        if taken.jpeg is None:
            return None, taken.reason
        corners = page.place.mm(taken.corners)
        return Photo(layer=PHOTO, jpeg=taken.jpeg, corners_mm=corners), taken.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Painting:
    """How pages look."""

    layout: LayoutSettings = field(default_factory=LayoutSettings)
    photo_dpi: float = 150.0  # of the photo on paper: finer pixels are gathered
    photo_quality: int = 75  # of its JPEG

    def on(self, photos: Photos | None, *, county_name: str, crs: CRS) -> Painter:
        """A painter for a county, over photos if there are any.

        Raises
        ------
        InputError
            If there is no such photo, or none can be read.
        MissingDatumError
            If no photo says where it lies.
        """
        settings = self.layout if self.layout.county_name else replace(self.layout, county_name=county_name)
        known, told = None, ""
        if photos is not None:
            paths = [photos] if isinstance(photos, str | os.PathLike) else list(photos)
            known = rasters([Path(path) for path in paths])
            about = [(one.path.name, one.path.stat()) for one in known.rasters]
            # A county's mosaic is too large to be hashed: name, size and time stand for it.
            told = repr([(name, stat.st_size, stat.st_mtime_ns) for name, stat in about])
        return Painter(
            settings=settings,
            rasters=known,
            dpi=self.photo_dpi,
            quality=self.photo_quality,
            crs=crs,
            identity=f"{settings!r} {told} {self.photo_dpi} {self.photo_quality}",
        )
