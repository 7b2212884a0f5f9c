"""The workspace as QGIS shows it: titles in Chinese, the styles of the file, land in its colours.

Runs where the system's Python has QGIS; the product does not need it.
"""

import json
import shutil
import subprocess

import pytest

from geo import schema, workspace
from tests.geo.county import CRS, county_tables

SYSTEM_PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin")
SCRIPT = """
import json, sys
from qgis.core import (QgsApplication, QgsMapRendererSequentialJob, QgsMapSettings, QgsRectangle, QgsVectorLayer)
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor

workspace, picture = sys.argv[1:3]
app = QgsApplication([], False)
app.initQgis()
layers = {}
for name in sys.argv[3:]:
    layers[name] = QgsVectorLayer(f"{workspace}|layername={name}", name, "ogr")
told = {
    name: {
        "valid": layer.isValid(),
        "title": layer.metadata().title(),
        "rows": layer.featureCount(),
        "crs": layer.crs().authid(),
        "titles": {f.name(): layer.attributeDisplayName(i) for i, f in enumerate(layer.fields())},
        "legend": [item.label() for item in layer.renderer().legendSymbolItems()] if layer.renderer() else [],
        "labels": layer.labelsEnabled(),
    }
    for name, layer in layers.items()
}
drawn = [layers[name] for name in ("villages", "pieces", "parcels", "patches")]
settings = QgsMapSettings()
settings.setLayers(drawn)
settings.setDestinationCrs(drawn[0].crs())
settings.setExtent(QgsRectangle(drawn[0].extent()))
settings.setOutputSize(QSize(1000, 500))
settings.setBackgroundColor(QColor("white"))
job = QgsMapRendererSequentialJob(settings)
job.start()
job.waitForFinished()
image = job.renderedImage()
image.save(picture)
colours = {image.pixelColor(x, y).name() for x in range(0, 1000, 2) for y in range(0, 500, 2)}
print(json.dumps({"layers": told, "colours": sorted(colours), "errors": [e.message for e in job.errors()]}))
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What QGIS says of the workspace."""
    folder = tmp_path_factory.mktemp("qgis")
    folder.chmod(0o700)
    home = {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    environment = {"QT_QPA_PLATFORM": "offscreen", "PATH": "/usr/bin:/bin"} | home
    probe = [SYSTEM_PYTHON or "python3", "-c", "import qgis.core"]
    if subprocess.run(probe, env=environment, capture_output=True, check=False).returncode != 0:
        pytest.skip("no QGIS on this machine")
    workspace.write(folder / "w.gpkg", county_tables(), crs=CRS)
    command = [SYSTEM_PYTHON, "-c", SCRIPT, folder / "w.gpkg", folder / "map.png", *schema.RUN_LAYERS]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1]) | {"said": run.stderr}


def test_every_layer_opens_with_its_rows(seen):
    rows = {name: len(table) for name, table in county_tables().items()}
    for name, layer in seen["layers"].items():
        assert layer["valid"], name
        assert layer["title"] == schema.LAYER_TITLES[name]
        assert layer["rows"] == rows.get(name, layer["rows"])
        assert layer["crs"] == (CRS if name in workspace.GEOMETRIES else "")
    assert seen["errors"] == []
    assert "GeoPackage" not in seen["said"], "an older QGIS warns of versions it does not know"


def test_every_column_has_its_chinese_title(seen):
    for name, layer in seen["layers"].items():
        assert layer["titles"] == {"fid": "fid"} | schema.titles(name)


def test_the_default_styles_are_taken_from_the_file(seen):
    layers = seen["layers"]
    assert layers["pieces"]["legend"] == ["图块：未确权地", "图块：新增地", "图块：待定", "细条", "碎屑"]
    assert layers["patches"]["legend"] == ["集体耕地", "国有耕地", "确股村耕地"]
    assert layers["findings"]["legend"] == ["错误", "警告", "提示"]
    assert layers["villages"]["labels"]
    assert layers["pieces"]["labels"]


def test_the_map_shows_blocks_of_each_class_and_parcels_in_grey(seen):
    def near(wanted):
        red, green, blue = wanted
        for colour in seen["colours"]:
            r, g, b = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
            if abs(r - red) + abs(g - green) + abs(b - blue) < 40:
                return True
        return False

    for wanted in ((234, 106, 50), (67, 135, 190), (164, 110, 190), (228, 228, 228), (237, 248, 220)):
        assert near(wanted), wanted
