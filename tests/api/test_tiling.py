"""Tiles, backgrounds, search and the county at a glance: what a caller may see, and no more; kept only for the same."""

import gzip
import http.server
import io
import json
import logging
import threading
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from affine import Affine
from fastapi.testclient import TestClient
from PIL import Image

from api.main import create_app
from api.task import file_part
from api.tiling import Kept, Tiles
from geo import workspace
from geo.area import to_cents
from geo.store import EVERYTHING, Scope
from geo.tiles import TILE_COLUMNS, tile_at, write_pmtiles
from tests.api.conftest import user_client
from tests.api.test_edits import PIECE, SEEN
from tests.api.test_items import problem
from tests.geo.county import CRS, D_CODE, LOWER, UPPER, W_CODE, X_CODE, county_tables

LON, LAT = 113.2068, 37.8410  # in the upper village, on piece W
LON_LOWER, LAT_LOWER = 113.2181, 37.8411  # in the lower one, on piece D


def address(layer, lon, lat, z, end="mvt"):
    tile = tile_at(lon, lat, z)
    return f"/tiles/{layer}/{tile.z}/{tile.x}/{tile.y}.{end}"


def bytes_of(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/vnd.mapbox-vector-tile"
    return answer.content


# --- tiles -------------------------------------------------------------------------------------------


def test_a_tile_carries_codes_and_states_and_no_names(reading):
    body = bytes_of(reading.get(address("pieces", LON, LAT, 16)))
    assert W_CODE.encode() in body
    assert b"candidate" in body
    assert X_CODE.encode() in bytes_of(reading.get(address("pieces", LON, LAT, 14)))
    assert {"owner_name", "address", "contractor_code"}.isdisjoint(
        column for told in TILE_COLUMNS.values() for column in told
    )


@pytest.mark.parametrize("layer", ["patches", "parcels", "pieces", "villages"])
def test_tilejson_leads_to_tiles(reading, layer):
    told = reading.get(f"/tiles/{layer}").json()
    (template,) = told["tiles"]
    tile = tile_at(LON, LAT, told["maxzoom"])
    if layer == "parcels":
        tile = tile_at(113.2062, 37.8406, told["maxzoom"])
    answer = reading.get(template.format(z=tile.z, x=tile.x, y=tile.y))
    assert layer.encode() in bytes_of(answer)
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert answer.headers["content-encoding"] == "gzip"
    west, south, east, north = told["bounds"]
    assert west < LON < east
    assert south < LAT < north
    assert set(told["vector_layers"][0]["fields"]) == set(TILE_COLUMNS[layer])


def test_a_client_that_takes_no_gzip_gets_none(reading):
    plain = reading.get(address("pieces", LON, LAT, 16), headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == bytes_of(reading.get(address("pieces", LON, LAT, 16)))


@pytest.mark.parametrize("place", [(16, 0, 0), (9, 417, 197), (14, 0, 0), (22, 0, 0), (0, 0, 0)])
def test_where_nothing_is_there_is_an_empty_answer(reading, place):
    z, x, y = place
    answer = reading.get(f"/tiles/pieces/{z}/{x}/{y}.mvt")
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("place", ["1/2/0", "1/0/2", "23/0/0", "-1/0/0", "5/-1/0", "40/0/0"])
def test_outside_the_scheme_there_is_no_tile(reading, place):
    problem(reading.get(f"/tiles/pieces/{place}.mvt"), 400)


@pytest.mark.parametrize("place", ["a/0/0", "1/0/1e3", "1/0/" + "9" * 5000])
def test_what_is_no_number_is_no_tile(reading, place):
    assert reading.get(f"/tiles/pieces/{place}.mvt").status_code in {400, 422}


@pytest.mark.parametrize("layer", ["balance", "cases", "audit", "x", "..%2Fpieces"])
def test_layers_without_tiles_have_none(reading, layer):
    for end in ("", "/16/0/0.mvt"):
        problem(reading.get(f"/tiles/{layer}{end}"), 404)


def test_a_tile_that_has_not_changed_is_not_sent_again_and_an_edit_changes_it(client):
    where = address("pieces", LON, LAT, 16)
    first = client.get(where)
    tag = {"If-None-Match": first.headers["etag"]}
    assert client.get(where, headers=tag).status_code == 304
    before = client.get("/tiles/pieces").json()["tiles"]
    assert client.patch(PIECE, json={"identified_as": "FARMLAND"}, headers=SEEN).status_code == 200
    again = client.get(where, headers=tag)
    assert again.status_code == 200
    assert b"identified" in again.content
    assert client.get("/tiles/pieces").json()["tiles"] != before
    assert client.get("/tiles/patches").status_code == 200


def test_tiles_of_one_village_hold_nothing_of_another_whoever_asked_before(client, as_role):
    """The border runs between the two places: both tiles would hold pieces of both villages."""
    upper, lower = as_role("officer", [UPPER]), as_role("officer", [LOWER])
    for z in (14, 15, 16):
        for lon, lat in ((LON, LAT), (LON_LOWER, LAT_LOWER)):
            where = address("pieces", lon, lat, z)
            for one, own, other in (
                (client, "", "no village"),
                (upper, UPPER, LOWER),
                (lower, LOWER, UPPER),
                (client, "", "no village"),
            ):
                body = one.get(where).content
                assert other.encode() not in body
                assert own.encode() in body or not body
    assert bytes_of(client.get(address("pieces", LON, LAT, 14))).count(b"140725") > 0
    tags = {one.get(address("pieces", LON, LAT, 14)).headers["etag"] for one in (client, upper, lower)}
    assert len(tags) == 3


def stored(app, layer, table, *, first=12):
    store = app.state.store
    path = store.folder / "tiles" / f"{layer}-{file_part(store.edition(layer))}.pmtiles"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_pmtiles(path, {layer: table}, min_zoom=first, max_zoom=15)
    return path


def test_stored_tiles_are_for_callers_of_the_whole_county(app, client, as_role):
    officer = as_role("officer", [UPPER])
    assert client.get(address("pieces", LON, LAT, 12)).status_code == 204
    stored(app, "pieces", county_tables()["pieces"])
    assert client.get("/tiles/pieces").json()["minzoom"] == 12
    body = bytes_of(client.get(address("pieces", LON, LAT, 12)))
    assert W_CODE.encode() in body
    assert D_CODE.encode() in body
    assert officer.get("/tiles/pieces").json()["minzoom"] == 14
    assert officer.get(address("pieces", LON, LAT, 12)).status_code == 204
    assert D_CODE.encode() not in bytes_of(officer.get(address("pieces", LON, LAT, 14)))


def test_after_an_edit_pieces_are_drawn_anew_close_by(app, client):
    stored(app, "pieces", county_tables()["pieces"])
    client.patch(PIECE, json={"identified_as": "FARMLAND"}, headers=SEEN)
    assert b"identified" in bytes_of(client.get(address("pieces", LON, LAT, 15)))
    assert b"identified" not in bytes_of(client.get(address("pieces", LON, LAT, 12))), (
        "from afar the stored one is good"
    )


def test_a_stored_file_that_is_damaged_is_done_without(app, client):
    path = stored(app, "pieces", county_tables()["pieces"])
    path.write_bytes(b"no archive")
    assert W_CODE.encode() in bytes_of(client.get(address("pieces", LON, LAT, 15)))


def test_what_is_kept_has_an_end():
    kept = Kept(10_000)
    for number in range(200):
        kept.put(number, b"x" * 700)
        assert kept.size <= 10_000
        kept.get(0)
    assert kept.get(0) == b"x" * 700, "what is used stays"
    assert kept.get(150) is None


def test_the_same_tile_is_made_once(app, monkeypatch):
    tiles = Tiles(app.state.store)
    tile = tile_at(LON, LAT, 16)
    first = tiles.tile("pieces", tile, EVERYTHING)
    monkeypatch.setattr(tiles, "_made", lambda *_: 1 / 0)
    assert tiles.tile("pieces", tile, EVERYTHING) == first
    assert W_CODE.encode() in gzip.decompress(first)
    with pytest.raises(ZeroDivisionError):
        tiles.tile("pieces", tile, Scope(frozenset({LOWER})))


# --- backgrounds -------------------------------------------------------------------------------------


def test_without_a_background_there_is_none(reading):
    assert reading.get("/basemap").json() == {"basemaps": []}
    for name in ("orthophoto", "tianditu-img", "tianditu-", "..", "x"):
        assert reading.get(f"/basemap/{name}/14/1/1").status_code == 404


@contextmanager
def background(path, settings, **more):
    made = create_app(path, replace(settings, **more))
    with TestClient(made):
        yield user_client(made, "viewer")


def test_the_county_s_own_orthophoto_lies_under_the_map(path, settings, tmp_path):
    west, south, east, north = county_tables()["villages"].total_bounds
    place = Affine((east - west) / 200, 0, west, 0, -(north - south) / 100, north)
    photo = tmp_path / "photo.tif"
    profile = {"driver": "GTiff", "width": 200, "height": 100, "count": 3, "dtype": "uint8", "crs": CRS,
               "transform": place}  # fmt: skip
    with rasterio.open(photo, "w", **profile) as out:
        out.write(np.full((3, 100, 200), 90, dtype="uint8"))
    with background(path, settings, orthophoto=(photo,)) as viewer:
        (told,) = viewer.get("/basemap").json()["basemaps"]
        tile = tile_at(LON, LAT, told["max_zoom"])
        answer = viewer.get(told["url"].format(z=tile.z, x=tile.x, y=tile.y))
        assert answer.headers["content-type"] == "image/webp"
        assert Image.open(io.BytesIO(answer.content)).size == (256, 256)
        assert viewer.get(f"/basemap/orthophoto/{tile.z}/0/0").status_code == 204
        problem(viewer.get("/basemap/orthophoto/3/99/0"), 400)


@contextmanager
def upstream(answer):
    """A server in place of 天地图; ``answer(path)`` gives status, headers and body."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            status, headers, body = answer(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


KEY = "1234567890abcdef-the-county-s-own"
PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 50


def test_tianditu_comes_through_the_service_once_and_its_key_stays_here(path, settings, caplog):
    caplog.set_level(logging.DEBUG)
    with (
        upstream(lambda _: (200, {}, PNG)) as (url, asked),
        background(path, settings, tianditu_url=url, tianditu_key=KEY) as viewer,
    ):
        names = {one["name"] for one in viewer.get("/basemap").json()["basemaps"]}
        assert {"tianditu-img", "tianditu-cia"} <= names
        first, second = (viewer.get("/basemap/tianditu-img/14/13344/6328") for _ in range(2))
        assert (first.content, first.headers["content-type"]) == (PNG, "image/png")
        assert second.content == PNG
        assert len(asked) == 1
        assert f"tk={KEY}" in asked[0]
        assert "TILEROW=6328" in asked[0]
        assert KEY not in json.dumps([viewer.get("/basemap").text, dict(first.headers), repr(settings)])
    assert KEY not in caplog.text
    assert KEY not in repr(replace(settings, tianditu_key=KEY))


@pytest.mark.parametrize(
    "answer",
    [(302, {"Location": "http://127.0.0.1:1/"}, b""), (403, {}, b"no"), (200, {}, b"<html>quota</html>"),
     (200, {}, b"\x89PNG" + b"x" * (3 * 2**20)), (500, {}, b"")],
)  # fmt: skip
def test_an_answer_that_is_no_picture_is_none_and_tells_no_key(path, settings, answer):
    with (
        upstream(lambda _: answer) as (url, _),
        background(path, settings, tianditu_url=url, tianditu_key=KEY) as viewer,
    ):
        told = viewer.get("/basemap/tianditu-img/14/13344/6328")
        problem(told, 503)
        assert KEY not in told.text
        assert url not in told.text


def test_a_node_that_is_gone_is_not_waited_for_again(path, settings):
    with background(path, settings, tianditu_url="http://127.0.0.1:9", tianditu_key=KEY) as viewer:
        for x in (1, 2):
            told = problem(viewer.get(f"/basemap/tianditu-vec/5/{x}/1"), 503)
            assert KEY not in json.dumps(told)


# --- search ------------------------------------------------------------------------------------------


def found(client, q, **asked):
    answer = client.get("/api/v1/search", params={"q": q, **asked})
    assert answer.status_code == 200, answer.text
    return [(one["kind"], one["code"]) for one in answer.json()["results"]]


@pytest.mark.parametrize(
    ("q", "first"),
    [
        (W_CODE, ("piece", W_CODE)),
        (W_CODE.lower(), ("piece", W_CODE)),
        (W_CODE.replace("-W-", "-X-"), ("piece", W_CODE)),
        (f"{UPPER}01-0002", ("piece", X_CODE)),
        ("X-0002", ("piece", X_CODE)),
        ("上庄", ("village", UPPER)),
        ("庄村", ("village", UPPER)),
        ("<i>", ("village", LOWER)),
        (UPPER, ("village", UPPER)),
        (f"{UPPER}0100003", ("parcel", f"{UPPER}0100003")),
        (f"{LOWER}-00001", ("patch", f"{LOWER}-00001")),
        (f" {LOWER} ", ("village", LOWER)),
    ],
)
def test_a_code_or_a_name_is_found_whole_by_its_beginning_or_a_part(reading, q, first):
    assert found(reading, q)[0] == first


def test_what_is_found_says_where_it_is(reading):
    (one,) = reading.get("/api/v1/search", params={"q": D_CODE}).json()["results"]
    west, south, east, north = county_tables()["pieces"].to_crs("EPSG:4490").geometry[3].bounds
    assert one["bbox"] == pytest.approx([west, south, east, north], abs=1e-5)
    assert reading.get(one["href"]).json()["properties"]["piece_code"] == D_CODE
    assert one["title"] == "待定 7.50 亩 待核实"
    assert (one["village_code"], one["state"]) == (LOWER, "candidate")


def test_a_code_that_is_no_longer_in_use_is_found(reading):
    (one,) = reading.get("/api/v1/search", params={"q": f"{UPPER}01-W-0009"}).json()["results"]
    assert (one["state"], one["bbox"]) == ("superseded", None)


@pytest.mark.parametrize(
    "q", ["%", "_", "' OR 1=1 --", "\\", "zzz", "14072510020199", "\x00", "%%%", "۱۲۳", "🌾", " "]
)
def test_nothing_is_found_by_what_is_nowhere(reading, q):
    assert found(reading, q) == []


@pytest.mark.parametrize(
    "asked", [{}, {"q": ""}, {"q": "x" * 100}, {"q": "1", "limit": 0}, {"q": "1", "limit": 999}]
)
def test_a_search_that_means_nothing_is_refused(reading, asked):
    problem(reading.get("/api/v1/search", params=asked), 422)


def test_search_is_bounded(reading):
    assert len(found(reading, "1407", limit=3)) == 3


# --- the county at a glance --------------------------------------------------------------------------


def test_the_overview_is_the_balance_and_the_pieces(reading):
    body = reading.get("/api/v1/overview").json()
    tables = county_tables()
    balance = tables["balance"].set_index("code")
    assert [one["village_code"] for one in body["villages"]] == [UPPER, LOWER]
    for one in body["villages"]:
        code = one["village_code"]
        for figure in ("farmland_m2", "covered_m2", "block_m2", "strip_m2", "sliver_m2"):
            assert one[figure] == balance[figure][code]
        pieces = tables["pieces"][tables["pieces"]["village_code"] == code]
        assert one["piece_count"] == len(pieces)
        classes = sum(to_cents(one[f"{name}_m2"]) for name in ("unconfirmed", "newly_added", "undetermined"))
        assert classes == to_cents(pieces["area_m2"]).sum() == to_cents(one["candidate_m2"])
    county = body["county"]
    parts = sum(to_cents(county[f"{name}_m2"]) for name in ("covered", "block", "strip", "sliver"))
    assert parts == to_cents(county["farmland_m2"]) == 4_000_000
    assert (county["farmland_mu"], county["residual_m2"]) == (60.0, 16620.01)
    assert body["versions"]["pieces"] in reading.get("/tiles/pieces").json()["tiles"][0]


def test_outlines_carry_the_figures(reading):
    answer = reading.get("/api/v1/overview/villages")
    assert answer.headers["content-type"] == "application/geo+json"
    features = answer.json()["features"]
    assert [one["id"] for one in features] == [UPPER, LOWER]
    assert features[0]["properties"]["farmland_mu"] == 30.0
    assert features[0]["geometry"]["type"] == "Polygon"
    again = reading.get("/api/v1/overview/villages", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


# --- other villages, by every way there is ------------------------------------------------------------


WAYS = [
    "/collections/{layer}/items",
    "/collections/{layer}/items?limit=1000&sortby=-{code}",
    "/collections/{layer}/download?f=csv",
    "/collections/{layer}/items?bbox=-180,-90,180,90",
    "/collections/{layer}/items?filter={code} LIKE '%25'",
    "/collections/{layer}/items?filter=NOT ({code} IS NULL)",
    "/collections/{layer}/items?filter={code} = '' OR TRUE",
]


@pytest.mark.parametrize("layer", ["patches", "parcels", "pieces", "villages", "findings", "balance"])
def test_no_way_leads_to_another_village(as_role, layer):
    code = {
        "parcels": "parcel_code",
        "balance": "code",
        "code_register": "piece_key",
        "findings": "finding_id",
    }.get(layer)
    code = code or "village_code"
    officer = as_role("officer", [LOWER])
    for way in WAYS:
        answer = officer.get(way.format(layer=layer, code=code))
        if "bbox" in way and layer == "balance":
            problem(answer, 400)
            continue
        assert answer.status_code == 200, answer.text
        assert UPPER not in answer.text
        if "items" in way:
            assert answer.json()["numberMatched"] == answer.json()["numberReturned"]
    everything = workspace.open(officer.app.state.store.url).read(layer, geometry=False)
    fids = range(1, len(everything) + 1)
    seen = [officer.get(f"/collections/{layer}/items/{fid}") for fid in fids]
    assert all(UPPER not in answer.text for answer in seen)


def test_no_address_of_a_piece_leads_to_another_village(as_role):
    officer = as_role("officer", [LOWER])
    for way in (
        PIECE,
        f"{PIECE}/history",
        f"/collections/villages/items/{UPPER}",
        "/collections/parcels/items/1",
    ):
        body = problem(officer.get(way), 404)
        assert "上庄" not in json.dumps(body, ensure_ascii=False)
    for q in (UPPER, W_CODE, "上庄", "W-0001", f"{UPPER}0100001", "0001"):
        assert UPPER not in officer.get("/api/v1/search", params={"q": q}).text.replace(f'"{q}"', "")
    assert found(officer, "上庄") == []
    overview = officer.get("/api/v1/overview").json()
    assert [one["village_code"] for one in overview["villages"]] == [LOWER]
    assert overview["county"]["farmland_m2"] == 20_000.0
    assert UPPER not in officer.get("/api/v1/overview/villages").text
    for level in ("county", "township", "village", "group"):
        assert UPPER not in officer.get(f"/api/v1/balance/{level}").text


def test_without_login_nothing_is_told(nobody):
    for way in ("/", "/api", "/conformance", "/collections", "/collections/pieces/items", PIECE, f"{PIECE}/history",
                "/collections/pieces/download?f=csv", "/tiles/pieces", "/tiles/pieces/16/53376/25315.mvt", "/basemap",
                "/api/v1/search?q=1", "/api/v1/overview", "/api/v1/overview/villages", "/api/v1/balance/county",
                f"/attachments/{'0' * 64}"):  # fmt: skip
        answer = nobody.get(way)
        assert answer.status_code == 401, way
        assert "上庄" not in answer.text
    assert nobody.patch(PIECE, json={}, headers=SEEN).status_code in {401, 403}
