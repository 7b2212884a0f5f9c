"""A full A1 sheet to PDF, beside cairo, reportlab and typst where they are installed; and memory over 500 sheets.

Run with ``python -m benchmarks.drawing [--rounds N] [--sheets N] [--keep DIR]``.
"""

import argparse
import io
import sys
import tempfile
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pikepdf
import pypdfium2

from benchmarks import drawing_peers
from benchmarks.drawing_page import PIECES, photo, sheet
from benchmarks.measure import Run, measured
from geo.sheets.draw import pdf
from geo.sheets.page import Page, Text
from geo.sheets.picture import write_png

SHEETS: Final = 20
PEERS: Final = {"cairo": "cairocffi", "reportlab": "reportlab", "typst": "typst"}


def prepare(folder: Path) -> tuple[list[Page], Path]:
    """Twenty sheets, and a font for whoever takes no other than TrueType."""
    image = folder / "photo.jpg"
    if not image.exists():
        image.write_bytes(photo(1))
    jpeg = image.read_bytes()
    pages = [sheet(number, jpeg) for number in range(SHEETS)]
    font = folder / "sheet.ttf"
    if not font.exists():
        texts = {item.text for page in pages for item in page.items if isinstance(item, Text)}
        drawing_peers.truetype(set("".join(texts)), font)
    return pages, font


def draw(name: str, folder: Path, given: tuple[list[Page], Path]) -> dict[str, Any]:
    """All sheets by one library; the last is kept in the folder."""
    pages, font = given
    if name == "taotu":
        made = [pdf(page) for page in pages]
    elif name == "reportlab":
        made = drawing_peers.reportlab(pages, font)
    else:
        made = getattr(drawing_peers, name)(pages)
    (folder / f"{name}.pdf").write_bytes(made[0])
    return {"kb": sum(map(len, made)) / len(made) / 1000}


def described(folder: Path, name: str) -> dict[str, str]:
    """What the first sheet's file holds: is the photo as it was, and how often is each code found."""
    data = (folder / f"{name}.pdf").read_bytes()
    with pikepdf.open(io.BytesIO(data)) as document:
        streams = [item for item in document.objects if isinstance(item, pikepdf.Stream)]
        original = (folder / "photo.jpg").read_bytes()
        passed = any(
            item.read_raw_bytes() == original for item in streams if item.get("/Subtype") == "/Image"
        )
    text = pypdfium2.PdfDocument(data)[0].get_textpage().get_text_range()
    counts = {text.count(f"WQ000{serial:02d}") for serial in range(PIECES)}
    return {"photo": "as it was" if passed else "changed", "found": ", ".join(map(str, sorted(counts)))}


def many(sheets: int, jpeg: bytes) -> dict[str, Any]:
    """Memory of the process after a few sheets, half of them and all, each of other land."""
    held = {}
    for number in range(1, sheets + 1):
        pdf(sheet(number, jpeg))
        if number in {20, sheets // 2, sheets}:
            held[str(number)] = _memory_mb()
    return held


def _memory_mb() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) // 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sheets", type=int, default=500, help="for the memory run; 0 leaves it out")
    parser.add_argument("--keep", type=Path, help="folder for one sheet of each")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        prepare(folder)
        names = ["taotu", *(name for name, module in PEERS.items() if find_spec(module))]
        for name in PEERS.keys() - set(names):
            print(f"{name}: not installed, left out", file=sys.stderr)
        runs = [
            measured(name, partial(prepare, folder), partial(draw, name, folder))
            for _ in range(asked.rounds)
            for name in names
        ]
        print(table(runs, folder))
        began = time.process_time()
        picture = folder / "taotu.png"
        write_png((folder / "taotu.pdf").read_bytes(), picture, dpi=150)
        took, size = time.process_time() - began, picture.stat().st_size / 1e6
        print(f"\nPNG of the sheet at 150 dpi: {took:.1f} s CPU, {size:.1f} MB")
        if asked.sheets and Path("/proc/self/status").exists():
            run = measured("memory", (folder / "photo.jpg").read_bytes, partial(many, asked.sheets))
            print("\n" + "; ".join(f"after {number} sheets {mb} MB" for number, mb in run.result.items()))


def table(runs: list[Run], folder: Path) -> str:
    """Best run of each library, a sheet, as a Markdown table."""
    lines = [
        "| library | CPU ms a sheet | sheets a second | peak MB | PDF KB | photo | each code found | lacks |"
    ]
    lines.append("|---|--:|--:|--:|--:|---|---|---|")
    for name in dict.fromkeys(run.name for run in runs):
        best = min((run for run in runs if run.name == name), key=lambda run: run.cpu_s)
        what, ms = described(folder, name), 1000 * best.cpu_s / SHEETS
        lines.append(
            f"| {name} | {ms:.0f} | {1000 / ms:.0f} | {best.peak_mb:.0f} | {best.result['kb']:.0f} "
            f"| {what['photo']} | {what['found']} (true: 2) | {drawing_peers.LACKS.get(name, '')} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
