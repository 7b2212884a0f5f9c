"""Painters that draw next to nothing, for tests of the run; in a module of their own, so that workers find them."""

import os
from dataclasses import dataclass
from pathlib import Path

from geo.errors import InputError
from geo.sheets.page import PAPERS, Page, Shapes, Style, Text
from tests.geo.county import CRS


@dataclass(frozen=True, kw_only=True)
class Plain:
    """Codes of the pieces at home, one under the other; may fail at pages, or die."""

    fails: tuple[str, ...] = ()
    breaks: tuple[str, ...] = ()
    dies: tuple[str, ...] = ()
    word: str = ""
    lacks: str = ""
    pages: int = 1  # of each frame
    identity: str = ""
    problems: tuple[str, ...] = ()
    marks: str = ""  # folder: a file a page that was painted

    def __repr__(self):
        return "Plain()"  # what goes wrong is no part of what a page is made from

    def on(self, photos, *, county_name, crs):
        assert (photos, county_name, crs) == (None, "寿阳县", CRS)
        return self

    def __call__(self, frame, layers, unit):
        assert frame in unit
        assert set(frame.piece_codes) <= set(layers["pieces"]["piece_code"])
        if frame.key in self.dies:
            os._exit(9)
        if frame.key in self.fails:
            raise InputError(f"第 {frame.page} 页画不了")
        if frame.key in self.breaks:
            raise ZeroDivisionError(frame.key)
        if self.marks:
            (Path(self.marks) / frame.key).touch()
        width, height = PAPERS[frame.paper]
        texts = [
            Text(layer="t", text=text, x_mm=10, y_mm=height - 10 - 4 * at, size_pt=8)
            for at, text in enumerate([frame.number, self.word, *frame.home_codes])
            if text
        ]
        line = Shapes(layer="t", rings=(((5, 5), (9, 9)),), style=Style(stroke=(0, 0, 0)), closed=False)
        page = Page(width_mm=width, height_mm=height, title=frame.unit_name, items=(*texts, line))
        return (page,) * self.pages, self.lacks
