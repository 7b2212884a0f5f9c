"""A QGIS atlas of given frames, headless: run by `benchmarks.sheets` with the system's own Python.

Arguments: workspace, mosaic, frames, output folder, dpi. The last line printed
is JSON. The page is far barer than ours: map, title and scale bar, without
tables, hatching, neat lines, adjoining index, bar codes and key numbers.
"""

import json
import sys
import time

from qgis.core import (
    Qgis,
    QgsApplication,
    QgsFillSymbol,
    QgsLayoutExporter,
    QgsLayoutItemLabel,
    QgsLayoutItemMap,
    QgsLayoutItemPage,
    QgsLayoutItemScaleBar,
    QgsLayoutPoint,
    QgsLayoutSize,
    QgsPalLayerSettings,
    QgsPrintLayout,
    QgsProject,
    QgsRasterLayer,
    QgsSingleSymbolRenderer,
    QgsTextBufferSettings,
    QgsTextFormat,
    QgsUnitTypes,
    QgsVectorLayer,
    QgsVectorLayerSimpleLabeling,
)

WORK, MOSAIC, FRAMES, OUT, DPI = sys.argv[1:6]
MAP = (27.0, 30.0, 250.0, 220.0)  # left, top, width, height on A3, mm


def filled(layer: QgsVectorLayer, **style: str) -> QgsVectorLayer:
    """The layer in one symbol."""
    layer.setRenderer(QgsSingleSymbolRenderer(QgsFillSymbol.createSimple(style)))
    return layer


def main() -> None:  # noqa: PLR0915 - a layout is a row of settings
    """Export a PDF a frame and say how long it took."""
    application = QgsApplication([], False)  # noqa: FBT003 - without windows
    application.initQgis()
    start, before = time.perf_counter(), time.process_time()
    project = QgsProject.instance()
    mosaic = QgsRasterLayer(MOSAIC, "photo")
    parcels = filled(
        QgsVectorLayer(f"{WORK}|layername=parcels", "parcels", "ogr"),
        style="no",
        outline_color="200,200,200",
        outline_width="0.13",
    )
    patches = filled(
        QgsVectorLayer(f"{WORK}|layername=patches", "patches", "ogr"),
        style="no",
        outline_color="0,120,0",
        outline_width="0.15",
    )
    pieces = filled(
        QgsVectorLayer(f"{WORK}|layername=pieces", "pieces", "ogr"),
        color="255,120,0,80",
        outline_color="200,60,0",
        outline_width="0.35",
    )
    frames = QgsVectorLayer(f"{FRAMES}|layername=frames", "frames", "ogr")
    text, halo = QgsTextFormat(), QgsTextBufferSettings()
    halo.setEnabled(True)
    text.setSize(7.5)
    text.setBuffer(halo)
    labels = QgsPalLayerSettings()
    labels.fieldName, labels.isExpression = "right(piece_code, 6) || '\\n' || area_mu || '亩'", True
    labels.setFormat(text)
    pieces.setLabeling(QgsVectorLayerSimpleLabeling(labels))
    pieces.setLabelsEnabled(True)
    for layer in (mosaic, parcels, patches, pieces, frames):
        project.addMapLayer(layer)
    project.setCrs(pieces.crs())
    if not all(layer.isValid() for layer in (mosaic, parcels, patches, pieces, frames)):
        raise SystemExit("a layer cannot be read")
    layout = QgsPrintLayout(project)
    layout.initializeDefaults()
    layout.pageCollection().page(0).setPageSize("A3", QgsLayoutItemPage.Landscape)
    layout.renderContext().setDpi(float(DPI))
    drawn = QgsLayoutItemMap(layout)
    layout.addLayoutItem(drawn)
    drawn.attemptMove(QgsLayoutPoint(*MAP[:2]))
    drawn.attemptResize(QgsLayoutSize(*MAP[2:]))
    drawn.setLayers([pieces, patches, parcels, mosaic])
    drawn.setKeepLayerSet(True)
    drawn.setCrs(pieces.crs())
    drawn.setFrameEnabled(True)
    drawn.setAtlasDriven(True)
    drawn.setAtlasScalingMode(QgsLayoutItemMap.Fixed)
    title = QgsLayoutItemLabel(layout)
    title.setText("未确权耕地认定图 [% sheet_number %]")
    title.adjustSizeToText()
    title.attemptMove(QgsLayoutPoint(100, 15))
    title.attemptResize(QgsLayoutSize(150, 10))
    layout.addLayoutItem(title)
    bar = QgsLayoutItemScaleBar(layout)
    bar.setLinkedMap(drawn)
    bar.applyDefaultSize(QgsUnitTypes.DistanceMeters)
    bar.attemptMove(QgsLayoutPoint(120, 260))
    layout.addLayoutItem(bar)
    atlas = layout.atlas()
    atlas.setCoverageLayer(frames)
    atlas.setEnabled(True)
    atlas.setFilenameExpression("sheet_key")
    drawn.setExtent(frames.extent())
    drawn.setScale(2000)
    settings = QgsLayoutExporter.PdfExportSettings()
    settings.dpi = float(DPI)
    result, error = QgsLayoutExporter.exportToPdfs(atlas, f"{OUT}/atlas.pdf", settings)
    if result != QgsLayoutExporter.Success:
        raise SystemExit(error)
    told = {
        "version": Qgis.QGIS_VERSION.partition("-")[0],
        "sheets": atlas.count(),
        "wall_s": time.perf_counter() - start,
        "cpu_s": time.process_time() - before,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
