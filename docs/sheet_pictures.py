"""Draws the guide's pictures of sheets, one of each kind of page, from a workspace of a real run.

``python -m docs.sheet_pictures out/demo/county.gpkg`` writes docs/images/sheet_*.png. The photo under
one of them is drawn too: fields as the data have them, not a place on the earth.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import geopandas as gpd
from PIL import Image

import geo.workspace
from benchmarks.orthophoto import write_orthophoto
from geo.sheets.run import By, LayoutSettings, Painting, SheetSettings, make_sheets

IMAGES = Path(__file__).parent / "images"
WIDTH_PX, COLOURS = 1600, 64
EXACT = 8
PHOTO_PX, PHOTO_COLOURS = 1000, 64  # a photo packs badly
DPI = {"A3": 110.0, "A1": 62.0}  # a little finer than WIDTH_PX
MARGIN = LayoutSettings(
    producer="某测绘院", date="2026年11月", survey_vintage="2023年12月31日", parcels_vintage="2016年"
)


def main() -> None:
    """Draw the pictures from the workspace named on the command line."""
    county = geo.workspace.open(sys.argv[1] if len(sys.argv) > 1 else "out/demo/county.gpkg")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        groups = pages(county, out / "group", "group")
        full = fullest(groups)
        save(out / "group", full, "sheet_group")
        save(
            out / "group",
            of_kind(groups[groups["unit_code"] == full["unit_code"]], "overview"),
            "sheet_overview",
        )
        save(out / "group", of_kind(groups, "empty"), "sheet_empty")
        save(out / "village", fullest(pages(county, out / "village", "village")), "sheet_village")
        national = pages(county, out / "sheet", "sheet")
        save(out / "sheet", fullest(national), "sheet_national")
        longest = national[national["file"].str.contains(r"_2\.png")]
        save(out / "sheet", fullest(longest), "sheet_continuation", sheet=2)
        photo = out / "dom.tif"
        land = groups[groups["unit_code"] == full["unit_code"]]
        write_orthophoto(land.dropna(subset="geometry"), photo, pixel_m=0.5)
        over = pages(county, out / "photo", "group", photo=photo, only=full["unit_code"])
        save(out / "photo", fullest(over), "sheet_photo")


def pages(
    county: geo.workspace.Workspace,
    out: Path,
    by: By,
    *,
    photo: Path | None = None,
    only: str | None = None,
) -> gpd.GeoDataFrame:
    """The set's pages, drawn as PNG."""
    dpi = DPI["A3" if by == "group" else "A1"]
    settings = SheetSettings(dpi=dpi, painting=Painting(layout=MARGIN))
    outcome = make_sheets(county, out, by=by, formats=("png",), settings=settings, photo=photo, only=only)
    return outcome.sheets


def fullest(sheets: gpd.GeoDataFrame) -> dict[str, Any]:
    """The map page with most rows."""
    maps = sheets[sheets["sheet_kind"] == "map"]
    return dict(maps.sort_values(["home_count", "sheet_key"], ascending=[False, True]).iloc[0])


def of_kind(sheets: gpd.GeoDataFrame, kind: str) -> dict[str, Any]:
    """The first page of a kind; of pages without pieces one that lies somewhere, if any does."""
    rows = sheets[sheets["sheet_kind"] == kind]
    return dict(rows.assign(nowhere=rows.geometry.isna()).sort_values(["nowhere", "sheet_key"]).iloc[0])


def save(out: Path, page: dict[str, Any], name: str, *, sheet: int = 1) -> None:
    """One page as a small picture of few colours."""
    stem = page["sheet_key"] + (f"_{sheet}" if sheet > 1 else "")
    (file,) = (out / path for path in page["file"].split(";") if Path(path).stem == stem)
    with Image.open(file) as image:
        width, colours = (PHOTO_PX, PHOTO_COLOURS) if name == "sheet_photo" else (WIDTH_PX, COLOURS)
        width = min(width, image.width)
        size = (width, round(width * image.height / image.width))
        small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    picture = IMAGES / f"{name}.png"
    # By coverage: else the few pixels of a class would take the colour of many others. But a mean
    # would give grey land a tint: the colours there are most of stand in the palette as they are.
    counted: list[tuple[int, Any]] = small.getcolors(small.width * small.height) or []
    common = [part for _, colour in sorted(counted, reverse=True)[:EXACT] for part in colour]
    spread = small.quantize(colours - EXACT, method=Image.Quantize.MAXCOVERAGE).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette(common + spread[: 3 * (colours - EXACT)])
    few = small.quantize(palette=palette, dither=Image.Dither.NONE)
    few.save(picture, optimize=True)
    sys.stdout.write(f"{picture} {picture.stat().st_size // 1024} KB\n")


if __name__ == "__main__":
    main()
