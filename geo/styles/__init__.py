"""Default QGIS styles, one file a layer, written into every workspace."""
