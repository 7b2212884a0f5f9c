<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology|Labeling|Fields|Forms|MapTips" labelsEnabled="1" simplifyDrawingHints="1" simplifyMaxScale="1">
  <renderer-v2 type="singleSymbol" forceraster="0" symbollevels="0" enableorderby="0">
    <symbols>
      <symbol type="fill" name="0" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" enabled="1" locked="0" pass="0">
          <prop k="color" v="0,0,0,0"/>
          <prop k="style" v="no"/>
          <prop k="outline_color" v="200,60,0,255"/>
          <prop k="outline_style" v="solid"/>
          <prop k="outline_width" v="0.6"/>
          <prop k="outline_width_unit" v="MM"/>
          <prop k="joinstyle" v="bevel"/>
        </layer>
      </symbol>
    </symbols>
  </renderer-v2>
  <labeling type="simple">
    <settings calloutType="simple">
      <text-style fieldName="grid_code" isExpression="1" fontSize="8" fontSizeUnit="Point" fontWeight="75" textColor="40,40,40,255" textOpacity="1" multilineHeight="1">
        <text-buffer bufferDraw="1" bufferSize="0.7" bufferSizeUnits="MM" bufferColor="255,255,255,220" bufferOpacity="1"/>
      </text-style>
      <text-format multilineAlign="1" autoWrapLength="0"/>
      <placement placement="0" polygonPlacementFlags="2" centroidInside="1" centroidWhole="1" priority="5"/>
      <rendering scaleVisibility="0" scaleMin="0" scaleMax="0" obstacle="0" fontMinPixelSize="0" fontLimitPixelSize="0" drawLabels="1" upsidedownLabels="0"/>
    </settings>
  </labeling>
</qgis>
