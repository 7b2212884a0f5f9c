"""Layers as collections of OGC API - Features: pages, boxes, systems, filters, and nothing that was not asked for."""

import json
import re

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import box, shape

from api.errors import PROBLEM
from api.ogc import CONFORMANCE
from geo import schema
from tests.api.conftest import GONE
from tests.geo.county import (
    CRS,
    D_CODE,
    LOWER,
    REASON,
    SLIVER_CODE,
    STRIP_CODE,
    UPPER,
    W_CODE,
    X_CODE,
    county_tables,
)

ALL_CODES = [W_CODE, X_CODE, STRIP_CODE, D_CODE, SLIVER_CODE]
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
EPSG = "http://www.opengis.net/def/crs/EPSG/0/"
ZONE = f"{EPSG}4526"


@pytest.fixture
def client(reading):
    return reading


def problem(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    body = answer.json()
    assert body["status"] == status
    assert re.search(r"[\u4e00-\u9fff]", body["title"])
    return body


def items(client, layer="pieces", **asked):
    answer = client.get(f"/collections/{layer}/items", params=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def codes(client, **asked):
    return [feature["id"] for feature in items(client, **asked)["features"]]


def followed(client, address):
    while address:
        body = client.get(address).json()
        yield body
        address = next((link["href"] for link in body["links"] if link["rel"] == "next"), None)


# --- what the service says of itself ----------------------------------------------------------------


def test_the_landing_document_leads_to_everything(client):
    links = {link["rel"]: link["href"] for link in client.get("/").json()["links"]}
    assert {"self", "service-desc", "conformance", "data"} <= set(links)
    for rel in ("service-desc", "conformance", "data"):
        assert client.get(links[rel]).status_code == 200
    assert client.get(links["conformance"]).json()["conformsTo"] == list(CONFORMANCE)
    described = client.get(links["service-desc"])
    assert described.headers["content-type"].startswith("application/vnd.oai.openapi+json")
    assert "/collections/{layer}/items" in described.json()["paths"]


def test_a_collection_says_where_it_lies_and_in_which_systems(client):
    found = {one["id"]: one for one in client.get("/collections").json()["collections"]}
    assert {"pieces", "patches", "parcels", "villages", "findings", "balance", "cases"} <= set(found)
    assert not {"runs", "meta", "audit", "conflicts"} & set(found)
    pieces = found["pieces"]
    assert pieces["itemType"] == "feature"
    assert pieces["crs"] == [CRS84, f"{EPSG}4490", f"{EPSG}4326", ZONE]
    assert pieces["storageCrs"] == ZONE
    (bounds,) = pieces["extent"]["spatial"]["bbox"]
    lonlat = county_tables()["villages"].to_crs("EPSG:4490").total_bounds
    assert bounds == pytest.approx(lonlat.tolist(), abs=1e-6)
    assert "extent" not in found["balance"]
    assert client.get("/collections/pieces").json() == pieces


def test_every_link_of_a_collection_leads_somewhere(client):
    for link in client.get("/collections/villages").json()["links"]:
        assert client.get(link["href"]).status_code == 200, link


def test_queryables_are_a_schema_with_chinese_titles_and_codes(client):
    answer = client.get("/collections/pieces/queryables")
    assert answer.headers["content-type"] == "application/schema+json"
    known = answer.json()["properties"]
    assert set(known) == {*schema.column_names("pieces"), "geometry"}
    assert known["piece_class"]["enum"] == ["UNCONFIRMED", "NEWLY_ADDED", "UNDETERMINED"]
    assert (known["area_m2"]["type"], known["area_m2"]["title"]) == ("number", "面积")
    assert client.get("/collections/pieces/items", params={"area_m2": "4000"}).status_code == 200


# --- pages -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 5, 1000])
@pytest.mark.parametrize("order", [None, "-area_m2", "+piece_class,-piece_code", "baseline_farmland_share"])
def test_pages_of_any_size_give_every_piece_once(client, limit, order):
    address = f"/collections/pieces/items?limit={limit}" + (f"&sortby={order}" if order else "")
    pages = list(followed(client, address))
    assert all(page["numberReturned"] == len(page["features"]) <= limit for page in pages)
    assert pages[0]["numberMatched"] == 5
    seen = [feature["id"] for page in pages for feature in page["features"]]
    assert sorted(seen) == sorted(ALL_CODES)
    if order is None:
        assert seen == ALL_CODES
    if order == "-area_m2":
        assert seen == [X_CODE, D_CODE, W_CODE, STRIP_CODE, SLIVER_CODE]


def test_a_page_holds_a_hundred_rows_by_default_and_ten_thousand_at_most(client):
    parameters = client.get("/api").json()["paths"]["/collections/{layer}/items"]["get"]["parameters"]
    limit = next(one["schema"] for one in parameters if one["name"] == "limit")
    assert (limit["default"], limit["maximum"]) == (100, 10_000)
    assert items(client, limit=10**15)["numberReturned"] == 5


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1.5", "", "1e3", "9" * 30])
def test_a_limit_that_is_no_number_of_rows_is_refused(client, limit):
    assert "limit" in problem(client.get(f"/collections/pieces/items?limit={limit}"), 400)["detail"]


@pytest.mark.parametrize("cursor", ["x", "W10", "'; DROP TABLE pieces; --", "eyJhIjoxfQ", "\u00ff", "bnVsbA"])
def test_a_cursor_nobody_gave_out_is_refused(client, cursor):
    problem(client.get("/collections/pieces/items", params={"cursor": cursor}), 400)


def test_a_page_that_has_not_changed_is_not_sent_again(client):
    answer = client.get("/collections/pieces/items")
    again = client.get("/collections/pieces/items", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = client.get("/collections/pieces/items?limit=1", headers={"If-None-Match": answer.headers["etag"]})
    assert other.status_code == 200


def test_a_feature_has_the_table_s_numbers_and_its_place_in_degrees(client):
    answer = client.get("/collections/pieces/items?limit=1")
    assert answer.headers["content-type"] == "application/geo+json"
    assert answer.headers["content-crs"] == f"<{CRS84}>"
    body = answer.json()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body["timeStamp"])
    (feature,) = body["features"]
    assert feature["properties"]["area_m2"] == 4000.00
    assert feature["properties"]["class_reason"] == REASON
    assert feature["properties"]["baseline_farmland_share"] is None
    assert list(feature["properties"]) == schema.column_names("pieces")
    piece = county_tables()["pieces"].to_crs("EPSG:4490").geometry[0]
    assert shape(feature["geometry"]).hausdorff_distance(piece) < 2e-7


def test_a_script_in_a_name_stays_data(client):
    (feature,) = [one for one in items(client, "villages")["features"] if one["id"] == LOWER]
    assert feature["properties"]["village_name"] == "<i>柳沟</i>村"
    assert client.get("/collections/villages/items").headers["x-content-type-options"] == "nosniff"


def test_rows_of_tables_without_places_have_none(client):
    body = items(client, "balance")
    assert {feature["geometry"] for feature in body["features"]} == {None}
    assert body["numberReturned"] == 5


@pytest.mark.parametrize("layer", ["grids", "sheets", "cases", "parcels_original"])
def test_a_collection_without_rows_is_an_empty_page(client, layer):
    body = items(client, layer, bbox="-180,-90,180,90") if layer != "cases" else items(client, layer)
    assert (body["features"], body["numberReturned"], body["numberMatched"]) == ([], 0, 0)


def test_only_the_columns_that_were_asked_for_come(client):
    (feature,) = items(client, limit=1, properties="area_m2,state", skipGeometry="true")["features"]
    assert feature == {
        "type": "Feature",
        "id": W_CODE,
        "geometry": None,
        "properties": {"state": "candidate", "area_m2": 4000.0},
    }


# --- boxes and systems -------------------------------------------------------------------------------


def bounds_of(row, crs="EPSG:4490"):
    return county_tables()["pieces"].to_crs(crs).geometry[row].bounds


def test_a_box_in_degrees_finds_what_lies_in_it_and_no_more(client):
    west, south, east, north = bounds_of(3)
    inside = f"{west + 1e-5},{south + 1e-5},{east - 1e-5},{north - 1e-5}"
    assert codes(client, bbox=inside) == [D_CODE]
    assert codes(client, bbox=f"{west},{south},-100,{east},{north},900") == [D_CODE]
    assert codes(client, bbox="100,30,100.1,30.1") == []


def test_a_box_takes_what_meets_it_not_what_its_bounds_meet(client):
    # The pond's middle: inside the bounds of the piece around it, and no land of it.
    middle = county_tables()["pieces"].to_crs("EPSG:4490").geometry[1].centroid
    west, south, east, north = middle.buffer(1e-5).bounds
    assert codes(client, bbox=f"{west},{south},{east},{north}") == []


@pytest.mark.parametrize("named", ["EPSG:4490", f"{EPSG}4326", f"[{EPSG}4490]", "urn:ogc:def:crs:EPSG::4326"])
def test_a_box_in_a_system_of_latitude_first_is_read_so(client, named):
    west, south, east, north = bounds_of(3)
    asked = {"bbox": f"{south},{west},{north},{east}", "bbox-crs": named}
    assert [one["id"] for one in items(client, **asked)["features"]] == [D_CODE]


def test_a_box_in_the_county_s_zone_has_north_first_as_its_register_says(client):
    west, south, east, north = bounds_of(3, CRS)
    asked = {"bbox": f"{south},{west},{north},{east}", "bbox-crs": ZONE}
    assert [one["id"] for one in items(client, **asked)["features"]] == [D_CODE]


def test_a_box_of_the_globe_holds_everything(client):
    assert codes(client, bbox="-180,-90,180,90") == ALL_CODES


def test_a_box_over_the_antimeridian_is_two(client):
    assert codes(client, bbox="100,30,-100,50") == ALL_CODES
    assert codes(client, bbox="120,30,100,50") == []


def test_a_box_without_width_is_a_point(client):
    place = county_tables()["pieces"].to_crs("EPSG:4490").geometry[0].representative_point()
    assert codes(client, bbox=f"{place.x},{place.y},{place.x},{place.y}") == [W_CODE]


@pytest.mark.parametrize(
    "bbox",
    ["1,2,3", "a,b,c,d", "0,0,400,1", "nan,0,1,1", "", "0,0,inf,1", "0,5,1,4", "1,2,3,4,5", "1,2,3,4,5,6,7"],
)
def test_a_box_that_means_nothing_is_refused(client, bbox):
    assert "bbox" in problem(client.get("/collections/pieces/items", params={"bbox": bbox}), 400)["detail"]


def test_a_box_over_a_table_without_places_is_refused(client):
    problem(client.get("/collections/balance/items?bbox=1,2,3,4"), 400)


@pytest.mark.parametrize(
    ("named", "north_first"), [(CRS84, False), (f"{EPSG}4490", True), (f"{EPSG}4326", True), (ZONE, True)]
)
def test_coordinates_go_out_in_the_system_and_order_that_was_asked_for(client, named, north_first):
    answer = client.get("/collections/pieces/items", params={"crs": named, "limit": 1})
    assert answer.headers["content-crs"] == f"<{named}>"
    got = shape(answer.json()["features"][0]["geometry"])
    if north_first:
        got = shapely.transform(got, lambda points: points[:, ::-1])
    wanted = county_tables()["pieces"].to_crs(CRS if named == ZONE else "EPSG:4490").geometry[0]
    assert got.hausdorff_distance(wanted) < (1e-4 if named == ZONE else 2e-7)


@pytest.mark.parametrize("name", ["crs", "bbox-crs", "filter-crs"])
@pytest.mark.parametrize("value", ["EPSG:3857", "x", "http://example.invalid/4490", "EPSG:9" * 999])
def test_a_system_that_is_not_offered_is_refused(client, name, value):
    asked = {name: value, "bbox": "1,2,3,4", "filter": "area_m2 > 1"}
    problem(client.get("/collections/pieces/items", params=asked), 400)


# --- filters -----------------------------------------------------------------------------------------


def test_a_column_s_value_chooses_rows(client):
    assert codes(client, piece_class="NEWLY_ADDED") == [X_CODE]
    assert codes(client, village_code=LOWER, piece_shape="BLOCK") == [D_CODE]
    assert codes(client, area_m2="500.01") == [STRIP_CODE]
    assert codes(client, is_enclave="false") == ALL_CODES
    assert codes(client, is_enclave="true") == []
    assert codes(client, mean_width_m="") == ALL_CODES
    assert codes(client, piece_class=["NEWLY_ADDED", "UNDETERMINED"]) == [X_CODE, D_CODE]


def test_the_number_of_rows_a_filter_leaves_is_told(client):
    assert items(client, piece_class="UNCONFIRMED")["numberMatched"] == 3


@pytest.mark.parametrize(
    "asked",
    [{"piece_klass": "X"}, {"area_m2": "big"}, {"is_enclave": "maybe"}, {"sortby": "geom"}, {"sortby": "state,-state"},
     {"properties": "state,nope"}, {"skipGeometry": "perhaps"}, {"f": "html"}, {"datetime": "yesterday"},
     {"limit": ["1", "2"]}, {"filter-lang": "cql2-json"}, {"sortby": "(select 1)"}, {"area_m2": "1e999"}],
)  # fmt: skip
def test_a_parameter_that_is_unknown_or_means_nothing_is_refused(client, asked):
    problem(client.get("/collections/pieces/items", params=asked), 400)


@pytest.mark.parametrize("when", ["2026-05-31", "2026-05-31T00:00:00Z", "../2026-05-31", "2026-05-31/.."])
def test_a_time_is_read_and_rows_without_time_stay(client, when):
    assert codes(client, datetime=when) == ALL_CODES


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("piece_class = 'NEWLY_ADDED'", [X_CODE]),
        ("area_m2 > 4000 AND area_m2 < 7000", [D_CODE]),
        ("area_m2 = 120 OR piece_class = 'NEWLY_ADDED' AND area_m2 > 1e9", [SLIVER_CODE]),
        ("(area_m2 = 120 OR piece_class = 'NEWLY_ADDED') AND area_m2 > 1000", [X_CODE]),
        ("NOT piece_shape = 'BLOCK'", [STRIP_CODE, SLIVER_CODE]),
        ("piece_shape NOT IN ('BLOCK', 'STRIP')", [SLIVER_CODE]),
        ("piece_code LIKE '%-D-%'", [D_CODE]),
        ("piece_code NOT LIKE '14072510020101%'", [D_CODE, SLIVER_CODE]),
        ("area_m2 BETWEEN 120 AND 500.01", [STRIP_CODE, SLIVER_CODE]),
        ("mean_width_m IS NULL AND class_reason IS NOT NULL AND area_m2 < 200", [SLIVER_CODE]),
        ("is_enclave = FALSE AND 7000 <= area_m2", [X_CODE]),
        ("\"piece_class\" = 'UNDETERMINED'", [D_CODE]),
        ("TRUE", ALL_CODES),
        ("FALSE", []),
        ("village_name = '上庄''村'", []),
    ],
)
def test_cql2_text_means_what_it_says(client, text, wanted):
    assert codes(client, filter=text) == wanted


def test_a_geometry_in_a_filter_is_in_degrees_unless_it_says_otherwise(client):
    lonlat = box(*bounds_of(3)).buffer(-1e-5).wkt
    assert codes(client, filter=f"S_INTERSECTS(geometry, {lonlat})") == [D_CODE]
    plane = shapely.transform(box(*bounds_of(3, CRS)).buffer(-1), lambda points: points[:, ::-1]).wkt
    asked = {"filter": f"S_INTERSECTS({plane}, geometry)", "filter-crs": ZONE}
    assert [one["id"] for one in items(client, **asked)["features"]] == [D_CODE]
    west, south, east, north = bounds_of(0)
    assert codes(client, filter=f"S_INTERSECTS(geometry, BBOX({west},{south},{east},{north}))") == [W_CODE]


HOSTILE = [
    "area_m2 = 1; DROP TABLE pieces", "1 = 1", "piece_code = 'x' UNION SELECT name FROM sqlite_master", "(" * 5000,
    "NOT " * 3000 + "area_m2 = 1", "area_m2 = 1" + " OR area_m2 = 1" * 700, "(" * 60 + "area_m2=1" + ")" * 60,
    "x" * 9000, "piece_code LIKE '" + "%" * 9000 + "'", "piece_code = 'x", "area_m2 =", "piece_code = 1",
    "area_m2 = 'x'", "load_extension('x') = 1", "sql = 'x'", "fid = 1", "rowid = 1", "geom IS NULL", "state ~ 'x'",
    "S_INTERSECTS(geometry, POLYGON((0 0, 1 1)))", "S_INTERSECTS(geometry, POLYGON((0 0, 1 1, 0 1, 1 0, 0 0)))",
    "S_INTERSECTS(geometry, POINT EMPTY)", "S_INTERSECTS(geometry, POINT(1e300 1e300))", "S_INTERSECTS(geometry)",
    "S_INTERSECTS(geometry, POINT(nan nan))", "S_INTERSECTS(state, POINT(1 1))", "piece_code LIKE 'x\\'",
    "area_m2 = 1e999", "area_m2 IN ()", "\x00", "piece_code = '\x00'", "DATE('x') = state", "", " ", "'", '"', "--",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_filter_that_is_none_is_refused_and_costs_nothing(client, text):
    problem(client.get("/collections/pieces/items", params={"filter": text}), 400)


@given(text=st.text(alphabet="()'\",=<> andortisulbewn0123456789.%_-aqm2S", max_size=60))
def test_any_text_is_a_filter_or_is_refused(reading, text):
    answer = reading.get("/collections/pieces/items", params={"filter": text, "limit": 1})
    assert answer.status_code in {200, 400}


@pytest.mark.parametrize(
    "value", ["' OR '1'='1", "x'; DROP TABLE pieces; --", "%", "_" * 20, "\\", "\U0001f33e"]
)
def test_text_that_would_be_sql_is_only_text(client, value):
    assert codes(client, piece_code=value) == []
    assert codes(client) == ALL_CODES


@pytest.mark.parametrize(
    "layer",
    [
        "contractors",
        "meta",
        "runs",
        "audit",
        "conflicts",
        "sqlite_master",
        "pieces'--",
        "..%2f..",
        "users",
        "图块",
    ],
)
def test_what_is_no_collection_is_not_found(client, layer):
    for end in ("", "/items", "/items/1", "/queryables", "/download?f=csv"):
        problem(client.get(f"/collections/{layer}{end}"), 404)


# --- one item ----------------------------------------------------------------------------------------


def test_a_piece_answers_to_its_code_with_all_that_is_known_of_it(client):
    answer = client.get(f"/collections/pieces/items/{W_CODE}")
    body = answer.json()
    properties = body["properties"]
    assert (body["id"], properties["asked_code"], properties["register_status"]) == (W_CODE, W_CODE, "ISSUED")
    assert (properties["area_m2"], properties["net_area_m2"], properties["area_mu"]) == (
        4000.00,
        3728.00,
        6.00,
    )
    assert [one["rule"] for one in properties["findings"]] == ["parcel_overlap"]
    assert (properties["case"], properties["attachments"]) == (None, [])
    assert properties["next_states"] == ["identified", "rejected", "disputed"]
    assert answer.headers["etag"] == '"0"'
    assert {link["rel"] for link in body["links"]} == {"self", "collection"}
    assert client.get(body["links"][0]["href"]).json()["id"] == W_CODE
    assert shape(body["geometry"]).area > 0


def test_a_code_printed_under_another_class_leads_to_the_piece(client):
    asked = W_CODE.replace("-W-", "-D-")
    properties = client.get(f"/collections/pieces/items/{asked}").json()["properties"]
    assert (properties["piece_code"], properties["asked_code"]) == (W_CODE, asked)


def test_a_superseded_code_still_resolves(client):
    body = client.get(f"/collections/pieces/items/{GONE}").json()
    assert body["geometry"] is None
    told = {
        name: body["properties"][name] for name in ("piece_code", "register_status", "state", "patch_code")
    }
    assert told == {
        "piece_code": GONE, "register_status": "SUPERSEDED", "state": "superseded", "patch_code": f"{UPPER}-00001",
    }  # fmt: skip


def test_a_code_never_printed_is_not_found(client):
    wanted = f"{UPPER}01-W-0777"
    assert wanted in problem(client.get(f"/collections/pieces/items/{wanted}"), 404)["detail"]


@pytest.mark.parametrize("code", ["1", "x' OR '1'='1", f"{UPPER}01-Z-0001", "%00", "..%2f..%2fetc/passwd"])
def test_what_is_no_code_is_refused(client, code):
    assert client.get(f"/collections/pieces/items/{code}").status_code in {404, 422}


def test_items_of_other_layers_answer_to_their_key_or_number(client):
    village = client.get(f"/collections/villages/items/{UPPER}").json()
    assert (village["id"], village["geometry"]["type"]) == (UPPER, "Polygon")
    page = items(client, "parcels")["features"]
    for feature in page:
        one = client.get(f"/collections/parcels/items/{feature['id']}").json()
        assert {**one, "links": None} == {**feature, "links": None}
    problem(client.get("/collections/parcels/items/999"), 404)
    problem(client.get("/collections/villages/items/nowhere"), 404)
    problem(client.get(f"/collections/villages/items/{UPPER}?limit=1"), 400)


def test_an_item_in_another_system_says_so(client):
    answer = client.get(f"/collections/villages/items/{UPPER}?crs={ZONE}")
    assert answer.headers["content-crs"] == f"<{ZONE}>"
    assert json.loads(answer.text)["geometry"]["coordinates"][0][0][0] == pytest.approx(4_190_000, abs=1100)
