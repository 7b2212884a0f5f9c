"""A sheet as full as the ones the county prints: A1, 300 parcels, 40 pieces, a table, an orthophoto."""

import io
from typing import Final

import numpy as np
import numpy.typing as npt
import segno
from PIL import Image
from scipy.ndimage import gaussian_filter

from geo.sheets.page import Item, Modules, Page, Photo, Registration, Shapes, Style, Text

PIECES, ROWS = 40, 42
FRAME: Final = np.array([[40.0, 50.0], [40.0, 550.0], [540.0, 550.0], [540.0, 50.0]])  # 500 x 500 mm: 1 km
GREY: Final = Style(stroke=(0.45, 0.45, 0.45), width_mm=0.12)
PIECE: Final = Style(stroke=(0.8, 0.1, 0.1), width_mm=0.3, fill=(1.0, 0.85, 0.3), opacity=0.45)
PATCH: Final = Style(stroke=(0.1, 0.35, 0.1), width_mm=0.15, dash_mm=(2.0, 1.0))
BLACK: Final = Style(stroke=(0, 0, 0), width_mm=0.15)
HEADS: Final = ("编码", "类别", "面积（亩）", "认定", "实测亩", "现使用人", "备注")


def photo(seed: int, side: int = 2000) -> bytes:
    """A JPEG with grain like land seen from above; about 900 KB."""
    rng = np.random.default_rng(seed)
    ground = gaussian_filter(rng.normal(size=(side, side, 3)), (12, 12, 0)) * 400
    grain = gaussian_filter(rng.normal(size=(side, side, 1)), (0.8, 0.8, 0)) * 40
    pixels = np.clip(ground + grain + [105, 120, 90], 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=75)
    return file.getvalue()


def sheet(number: int, jpeg: bytes) -> Page:
    """One page; another number gives other land, codes and names."""
    rng = np.random.default_rng(number)
    names = [chr(code) for code in rng.integers(0x4E00, 0x9FA0, size=60)]
    items: list[Item] = [Photo(layer="影像", jpeg=jpeg, corners_mm=FRAME[[1, 2, 0]], clip=FRAME)]
    items += [
        Shapes(layer="承包地块", rings=(_blob(rng, spot, 9.0, 22),), style=GREY, clip=FRAME)
        for spot in _spots(20, 15)
    ]
    items += [
        Shapes(layer="图斑", rings=(_blob(rng, spot, 45.0, 20),), style=PATCH, clip=FRAME)
        for spot in _spots(5, 4)
    ]
    codes = [f"WQ{number:03d}{serial:02d}" for serial in range(PIECES)]
    spots = _spots(8, 5)
    items += [
        Shapes(layer="剩余图块", rings=(_blob(rng, spot, 14.0, 25),), style=PIECE, clip=FRAME)
        for spot in spots
    ]
    for code, (x, y) in zip(codes, spots, strict=True):
        label = {"layer": "注记", "x_mm": x, "anchor": "middle", "size_pt": 7.5, "halo_mm": 0.35}
        items.append(Text(text=code, y_mm=y + 0.4, **label))
        items.append(Text(text=f"{rng.uniform(0.1, 9):.2f}亩", y_mm=y - 2.6, **label))
    items += _margin(number, codes, names, rng)
    lonlat = np.array([[114.0, 38.0], [114.0, 38.009], [114.0114, 38.009], [114.0114, 38.0]])
    return Page(
        width_mm=841.0,
        height_mm=594.0,
        title=f"第{number}幅",
        items=tuple(items),
        registration=Registration(
            epsg=4526, frame_mm=FRAME, frame_map=38_500_000 + FRAME * 2, frame_lonlat=lonlat
        ),
        layers=("影像", "承包地块", "图斑", "剩余图块", "注记"),
    )


def _spots(columns: int, rows: int) -> list[tuple[float, float]]:
    return [
        (40 + 500 * (x + 0.5) / columns, 50 + 500 * (y + 0.5) / rows)
        for y in range(rows)
        for x in range(columns)
    ]


def _blob(
    rng: np.random.Generator, spot: tuple[float, float], size: float, points: int
) -> npt.NDArray[np.float64]:
    turn = np.linspace(0, 2 * np.pi, points, endpoint=False)
    radius = size * rng.uniform(0.7, 1.1, size=points)
    return np.array(spot) + np.column_stack([radius * np.cos(turn), radius * np.sin(turn)])


def _margin(number: int, codes: list[str], names: list[str], rng: np.random.Generator) -> list[Item]:
    outer = Shapes(layer="图廓", rings=(FRAME,), style=Style(stroke=(0, 0, 0), width_mm=0.8))
    ticks = [
        np.array([[40 + 50 * step, y], [40 + 50 * step, y + 4]]) for step in range(11) for y in (46.0, 550.0)
    ]
    items: list[Item] = [outer, Shapes(layer="图廓", rings=tuple(ticks), style=BLACK, closed=False)]
    title = f"{''.join(names[:3])}村剩余图块外业调查图"
    items.append(Text(layer="图廓", text=title, x_mm=290, y_mm=566, size_pt=24, anchor="middle", bold=True))
    for step in range(11):
        place = {"layer": "图廓", "x_mm": 40 + 50 * step, "size_pt": 6, "anchor": "middle"}
        items.append(Text(text=f"385{step:02d}.0", y_mm=42, **place))
    top, left = 548.0, 556.0
    edges = left + np.cumsum([0, 34, 26, 30, 26, 30, 50, 60])
    lines = [np.array([[left, top - 10 * row], [edges[-1], top - 10 * row]]) for row in range(ROWS + 1)]
    lines += [np.array([[x, top], [x, top - 10 * ROWS]]) for x in edges]
    items.append(Shapes(layer="表", rings=tuple(lines), style=BLACK, closed=False))
    rows = [list(HEADS)] + [
        [code, "耕地", f"{rng.uniform(0.1, 9):.2f}", "", "", "".join(names[n : n + 3]), ""]
        for n, code in enumerate(codes)
    ]
    for row, cells in enumerate(rows):
        for x, cell in zip(edges, cells, strict=False):
            if cell:
                items.append(
                    Text(layer="表", text=cell, x_mm=x + 2, y_mm=top - 7 - 10 * row, size_pt=9, bold=row == 0)
                )
    dark = np.array(segno.make(f"SHEET-{number:06d}", micro=False, mask=2).matrix, dtype=bool)
    items.append(Modules(layer="图廓", dark=dark, x_mm=790, y_mm=56, size_mm=25))
    return [*items, *_piece_codes(codes)]


def _piece_codes(codes: list[str]) -> list[Item]:
    matrices = [np.array(segno.make(code, micro=False, mask=2).matrix, dtype=bool) for code in codes]
    return [
        Modules(layer="图廓", dark=dark, x_mm=560 + 11 * (n % 20), y_mm=60 + 12 * (n // 20), size_mm=9)
        for n, dark in enumerate(matrices)
    ]
