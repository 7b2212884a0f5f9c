"""Which pages a county's set has: the land each page shows, and at what place in the set it stands."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["map", "overview", "empty"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """One page's land and its place in the set."""

    key: str  # names the page's file: group code, page; or sheet number; without characters a file name may not have
    kind: Kind  # an overview shows the whole set at a smaller scale; empty says that there are no pieces
    unit_code: str  # group or village code, or sheet number
    unit_name: str
    number: str  # as printed under the name: the sheet number, or group code and page
    scale: int  # denominator
    corners: npt.NDArray[np.float64]  # 4 x 2, map CRS: from the south-west corner, clockwise
    paper: str  # key of geo.sheets.page.PAPERS, landscape
    page: int  # 1..pages within the unit
    pages: int
    neighbours: dict[
        str, str
    ]  # "n", "ne", … "nw" to the number of the page there; absent where there is none
    piece_codes: tuple[str, ...]  # pieces of the page's unit that meet it, sorted
