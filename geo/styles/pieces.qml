<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology|Labeling|Fields|Forms|MapTips" labelsEnabled="1" simplifyDrawingHints="1" simplifyMaxScale="1">
  <renderer-v2 type="RuleRenderer" forceraster="0" symbollevels="0" enableorderby="0">
    <rules key="pieces">
      <rule key="block-w" label="图块：未确权地" filter="&quot;piece_shape&quot; = 'BLOCK' AND &quot;piece_class&quot; = 'UNCONFIRMED'" symbol="0"/>
      <rule key="block-x" label="图块：新增地" filter="&quot;piece_shape&quot; = 'BLOCK' AND &quot;piece_class&quot; = 'NEWLY_ADDED'" symbol="1"/>
      <rule key="block-d" label="图块：待定" filter="&quot;piece_shape&quot; = 'BLOCK' AND &quot;piece_class&quot; = 'UNDETERMINED'" symbol="2"/>
      <rule key="strip" label="细条" filter="&quot;piece_shape&quot; = 'STRIP'" symbol="3"/>
      <rule key="sliver" label="碎屑" filter="&quot;piece_shape&quot; = 'SLIVER'" symbol="4"/>
    </rules>
    <symbols>
      <symbol type="fill" name="0" alpha="0.85" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" enabled="1" locked="0" pass="0">
          <prop k="color" v="230,85,13,255"/>
          <prop k="style" v="solid"/>
          <prop k="outline_color" v="127,39,4,255"/>
          <prop k="outline_style" v="solid"/>
          <prop k="outline_width" v="0.35"/>
          <prop k="outline_width_unit" v="MM"/>
          <prop k="joinstyle" v="bevel"/>
        </layer>
      </symbol>
      <symbol type="fill" name="1" alpha="0.85" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" enabled="1" locked="0" pass="0">
          <prop k="color" v="33,113,181,255"/>
          <prop k="style" v="solid"/>
          <prop k="outline_color" v="8,48,107,255"/>
          <prop k="outline_style" v="solid"/>
          <prop k="outline_width" v="0.35"/>
          <prop k="outline_width_unit" v="MM"/>
          <prop k="joinstyle" v="bevel"/>
        </layer>
      </symbol>
      <symbol type="fill" name="2" alpha="0.85" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" enabled="1" locked="0" pass="0">
          <prop k="color" v="150,90,180,255"/>
          <prop k="style" v="solid"/>
          <prop k="outline_color" v="84,39,143,255"/>
          <prop k="outline_style" v="solid"/>
          <prop k="outline_width" v="0.35"/>
          <prop k="outline_width_unit" v="MM"/>
          <prop k="joinstyle" v="bevel"/>
        </layer>
      </symbol>
      <symbol type="fill" name="3" alpha="0.4" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" enabled="1" locked="0" pass="0">
          <prop k="color" v="253,190,133,255"/>
          <prop k="style" v="solid"/>
          <prop k="outline_color" v="200,140,90,255"/>
          <prop k="outline_style" v="solid"/>
          <prop k="outline_width" v="0.1"/>
          <prop k="outline_width_unit" v="MM"/>
          <prop k="joinstyle" v="bevel"/>
        </layer>
      </symbol>
      <symbol type="fill" name="4" alpha="0.35" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" enabled="1" locked="0" pass="0">
          <prop k="color" v="200,200,200,255"/>
          <prop k="style" v="solid"/>
          <prop k="outline_color" v="150,150,150,255"/>
          <prop k="outline_style" v="solid"/>
          <prop k="outline_width" v="0.05"/>
          <prop k="outline_width_unit" v="MM"/>
          <prop k="joinstyle" v="bevel"/>
        </layer>
      </symbol>
    </symbols>
  </renderer-v2>
  <labeling type="simple">
    <settings calloutType="simple">
      <text-style fieldName="CASE WHEN &quot;piece_shape&quot; = 'BLOCK' THEN regexp_substr(&quot;piece_code&quot;, '([WXD]-.*)$') || '\n' || format_number(&quot;area_mu&quot;, 2) || '亩' END" isExpression="1" fontSize="8" fontSizeUnit="Point" fontWeight="50" textColor="60,20,0,255" textOpacity="1" multilineHeight="1">
        <text-buffer bufferDraw="1" bufferSize="0.7" bufferSizeUnits="MM" bufferColor="255,255,255,220" bufferOpacity="1"/>
      </text-style>
      <text-format multilineAlign="1" autoWrapLength="0"/>
      <placement placement="1" polygonPlacementFlags="2" centroidInside="1" centroidWhole="1" priority="5"/>
      <rendering scaleVisibility="1" scaleMin="0" scaleMax="8000" obstacle="0" fontMinPixelSize="0" fontLimitPixelSize="0" drawLabels="1" upsidedownLabels="0"/>
    </settings>
  </labeling>
  <fieldConfiguration>
    <field name="piece_class">
      <editWidget type="ValueMap">
        <config>
          <Option type="Map">
            <Option type="List" name="map">
              <Option type="Map">
                <Option type="QString" name="未确权地" value="UNCONFIRMED"/>
              </Option>
              <Option type="Map">
                <Option type="QString" name="新增地" value="NEWLY_ADDED"/>
              </Option>
              <Option type="Map">
                <Option type="QString" name="待定" value="UNDETERMINED"/>
              </Option>
            </Option>
          </Option>
        </config>
      </editWidget>
    </field>
    <field name="class_source">
      <editWidget type="ValueMap">
        <config>
          <Option type="Map">
            <Option type="List" name="map">
              <Option type="Map">
                <Option type="QString" name="基期调查" value="BASELINE"/>
              </Option>
              <Option type="Map">
                <Option type="QString" name="非承包地块" value="PARCEL_EVIDENCE"/>
              </Option>
              <Option type="Map">
                <Option type="QString" name="确权调查范围" value="CONFIRMATION_EXTENT"/>
              </Option>
              <Option type="Map">
                <Option type="QString" name="无依据" value="NONE"/>
              </Option>
            </Option>
          </Option>
        </config>
      </editWidget>
    </field>
    <field name="piece_shape">
      <editWidget type="ValueMap">
        <config>
          <Option type="Map">
            <Option type="List" name="map">
              <Option type="Map">
                <Option type="QString" name="图块" value="BLOCK"/>
              </Option>
              <Option type="Map">
                <Option type="QString" name="细条" value="STRIP"/>
              </Option>
              <Option type="Map">
                <Option type="QString" name="碎屑" value="SLIVER"/>
              </Option>
            </Option>
          </Option>
        </config>
      </editWidget>
    </field>
    <field name="state">
      <editWidget type="ValueMap">
        <config>
          <Option type="Map">
            <Option type="List" name="map">
              <Option type="Map">
                <Option type="QString" name="待核实" value="candidate"/>
              </Option>
              <Option type="Map">
                <Option type="QString" name="已认定" value="identified"/>
              </Option>
              <Option type="Map">
                <Option type="QString" name="已实测" value="measured"/>
              </Option>
              <Option type="Map">
                <Option type="QString" name="已确认" value="confirmed"/>
              </Option>
              <Option type="Map">
                <Option type="QString" name="已公示" value="published"/>
              </Option>
              <Option type="Map">
                <Option type="QString" name="已发包" value="let"/>
              </Option>
              <Option type="Map">
                <Option type="QString" name="已预留" value="reserved"/>
              </Option>
              <Option type="Map">
                <Option type="QString" name="已剔除" value="rejected"/>
              </Option>
              <Option type="Map">
                <Option type="QString" name="有争议" value="disputed"/>
              </Option>
              <Option type="Map">
                <Option type="QString" name="已替代" value="superseded"/>
              </Option>
            </Option>
          </Option>
        </config>
      </editWidget>
    </field>
  </fieldConfiguration>
  <mapTip>&lt;b>[% "piece_code" %]&lt;/b>&lt;br>[% "village_name" %] [% format_number("area_m2", 2) %] 平方米，[% format_number("area_mu", 2) %] 亩&lt;br>[% "class_reason" %]</mapTip>
</qgis>
