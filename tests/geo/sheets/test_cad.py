"""LibreCAD, where it is installed, reads each Chinese character of a drawing as itself, in both kinds of file.

It draws with fonts of strokes, of which Debian ships none that has these
characters. So one is made in which 村 and 亩 look like a and b: the drawings
have to look the same.
"""

import os
import shutil
import subprocess

import numpy as np
import pypdfium2
import pytest
import shapely

from geo.sheets.dxf import DxfSettings, dxf
from tests.helpers import layer

pytestmark = pytest.mark.skipif(not shutil.which("librecad"), reason="LibreCAD is not installed")

LIKE = {"村": "a", "亩": "b"}
SHAPES = {"a": "0,0;9,9", "b": "0,9;4,0;9,9"}
HEAD = "# Format: LibreCAD Font 1\n# Name: test\n# Encoding: UTF-8\n# LetterSpacing: 3\n# WordSpacing: 6\n"


def drawn(text, version, folder):
    """Pixels of a frame with a text above it."""
    land = {"frames": layer(shapely.box(0, 0, 100, 30), crs="EPSG:4526", key="a", number=text)}
    data = dxf(land, settings=DxfSettings(version=version))
    # LibreCAD's paper is in the drawing's units: one of metres is too large to be printed.
    data = data.replace(b"$INSUNITS\n 70\n6\n", b"$INSUNITS\n 70\n4\n", 1)
    work = folder / f"{version}{len(list(folder.iterdir()))}"
    fonts, config = work / "fonts", work / ".config" / "LibreCAD"
    for place in (fonts, config):
        place.mkdir(parents=True)
    (work / "a.dxf").write_bytes(data)
    # The name of a text's style is the name of its font.
    glyphs = [(ord(mark), SHAPES[like]) for mark, like in [*LIKE.items(), ("a", "a"), ("b", "b")]]
    told = "".join(f"\n[{code:04x}] x\n{lines}\n" for code, lines in glyphs)
    (fonts / "taotu.lff").write_text(HEAD + told, encoding="utf-8")
    (config / "LibreCAD.conf").write_text(f"[Paths]\nFonts={fonts}\n", encoding="utf-8")
    subprocess.run(
        ["librecad", "dxf2pdf", "-a", "-p", "210x90", "-r", "150", "a.dxf"],
        cwd=work,
        env=os.environ | {"HOME": str(work), "QT_QPA_PLATFORM": "offscreen", "XDG_RUNTIME_DIR": str(work)},
        capture_output=True,
        check=True,
        timeout=120,
    )
    return pypdfium2.PdfDocument(work / "a.pdf")[0].render(scale=1).to_numpy()


@pytest.mark.parametrize("version", ["R2004", "R2010"])
def test_a_character_is_read_as_itself(version, tmp_path):
    chinese = drawn("村亩村", version, tmp_path)
    assert (chinese < 128).any()  # there is something to be seen
    assert np.array_equal(chinese, drawn("aba", version, tmp_path))
    assert not np.array_equal(chinese, drawn("abb", version, tmp_path))
