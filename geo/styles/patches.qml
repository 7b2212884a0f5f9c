<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology|Labeling|Fields|Forms|MapTips" labelsEnabled="0" simplifyDrawingHints="1" simplifyMaxScale="1">
  <renderer-v2 type="categorizedSymbol" attr="patch_kind" forceraster="0" symbollevels="0" enableorderby="0">
    <categories>
      <category value="COLLECTIVE" label="集体耕地" symbol="0" render="true" type="string"/>
      <category value="STATE" label="国有耕地" symbol="1" render="true" type="string"/>
      <category value="SHARE_BASED" label="确股村耕地" symbol="2" render="true" type="string"/>
    </categories>
    <symbols>
      <symbol type="fill" name="0" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" enabled="1" locked="0" pass="0">
          <prop k="color" v="237,248,220,255"/>
          <prop k="style" v="solid"/>
          <prop k="outline_color" v="120,150,80,255"/>
          <prop k="outline_style" v="solid"/>
          <prop k="outline_width" v="0.2"/>
          <prop k="outline_width_unit" v="MM"/>
          <prop k="joinstyle" v="bevel"/>
        </layer>
      </symbol>
      <symbol type="fill" name="1" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" enabled="1" locked="0" pass="0">
          <prop k="color" v="170,190,210,255"/>
          <prop k="style" v="b_diagonal"/>
          <prop k="outline_color" v="90,110,140,255"/>
          <prop k="outline_style" v="solid"/>
          <prop k="outline_width" v="0.2"/>
          <prop k="outline_width_unit" v="MM"/>
          <prop k="joinstyle" v="bevel"/>
        </layer>
      </symbol>
      <symbol type="fill" name="2" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" enabled="1" locked="0" pass="0">
          <prop k="color" v="200,180,220,255"/>
          <prop k="style" v="f_diagonal"/>
          <prop k="outline_color" v="130,100,160,255"/>
          <prop k="outline_style" v="solid"/>
          <prop k="outline_width" v="0.2"/>
          <prop k="outline_width_unit" v="MM"/>
          <prop k="joinstyle" v="bevel"/>
        </layer>
      </symbol>
    </symbols>
  </renderer-v2>
  <fieldConfiguration>
    <field name="patch_kind">
      <editWidget type="ValueMap">
        <config>
          <Option type="Map">
            <Option type="List" name="map">
              <Option type="Map">
                <Option type="QString" name="集体耕地" value="COLLECTIVE"/>
              </Option>
              <Option type="Map">
                <Option type="QString" name="国有耕地" value="STATE"/>
              </Option>
              <Option type="Map">
                <Option type="QString" name="确股村耕地" value="SHARE_BASED"/>
              </Option>
            </Option>
          </Option>
        </config>
      </editWidget>
    </field>
  </fieldConfiguration>
</qgis>
