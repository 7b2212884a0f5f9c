import gzip
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely

from geo.errors import InputError, MissingDatumError, OutputError
from geo.tiles import Archive, Tile, encode, tile_layer, tiles_over, write_pmtiles
from geo.tiles import archive as module
from geo.tiles.archive import tile_id
from tests.geo.tiles.decoded import X0, Y0, ZONE_38, decode, land, parcels


@pytest.fixture(scope="module")
def county():
    fields = land(11, count=400, spread=1500, size=60)
    homes = [shapely.Point(X0 + 37 * n, Y0 - 29 * n) for n in range(-30, 30)]
    return {
        "parcels": parcels(*fields, parcel_class="10", surveyed_area_m2=np.arange(float(len(fields)))),
        "households": gpd.GeoDataFrame(
            {"household_key": [f"h{n}" for n in range(60)], "address": "某村"}, geometry=homes, crs=ZONE_38
        ),
    }


@pytest.fixture(scope="module")
def path(county, tmp_path_factory):
    path = tmp_path_factory.mktemp("tiles") / "county.pmtiles"
    write_pmtiles(path, county, min_zoom=10, max_zoom=15, edition="run 1")
    return path


def test_stored_tiles_are_the_bytes_of_live_ones(county, path):
    layers = [tile_layer(name, table) for name, table in county.items()]
    found = 0
    with Archive(path) as archive:
        for z in range(10, 16):
            inner = set(tiles_over(archive.bounds, z))
            around = {Tile(z, x + dx, y + dy) for _, x, y in inner for dx in (-1, 0, 1) for dy in (-1, 0, 1)}
            for tile in around:
                assert (archive.tile(*tile) or b"") == encode(layers, tile)
                found += archive.tile(*tile) is not None
        assert found == archive.addressed > 10
        assert archive.tile(9, 0, 0) is archive.tile(16, 0, 0) is archive.tile(10, 0, 0) is None
        assert archive.tile(10, -1, 0) is None


def test_the_archive_says_what_is_in_it(county, path):
    with Archive(path) as archive:
        assert (archive.min_zoom, archive.max_zoom) == (10, 15)
        assert archive.metadata["edition"] == "run 1"
        told = {layer["id"]: layer["fields"] for layer in archive.metadata["vector_layers"]}
        lonlat = county["parcels"].to_crs(4490).total_bounds
        assert archive.bounds[0] <= lonlat[0] + 1e-6
        assert archive.bounds[3] >= lonlat[3] - 1e-6
    assert told["parcels"]["parcel_code"] == "地块编码"
    assert list(told["households"]) == ["household_key"]


def test_gdal_reads_the_archive(county, path):
    listed = dict(pyogrio.list_layers(path))
    assert set(listed) == {"parcels", "households"}
    theirs = pyogrio.read_dataframe(path, layer="parcels")
    ours = county["parcels"].to_crs(3857)
    assert set(theirs["parcel_code"]) == set(ours["parcel_code"])
    whole = theirs.dissolve("parcel_code").geometry.area
    wanted = ours.set_index("parcel_code").geometry
    # Its reader clips to each tile; z15 shows outlines to a quarter of a pixel.
    assert (abs(whole - wanted.area) < wanted.length * 1.5 + 4).all()


def test_a_tile_goes_out_compressed_as_it_lies(path):
    with Archive(path) as archive:
        tile = next(iter(tiles_over(archive.bounds, 12)))
        assert gzip.decompress(archive.tile(*tile, compressed=True)) == archive.tile(*tile)


def test_the_same_layers_give_the_same_file_in_whatever_order(county, path, tmp_path):
    turned = {name: table.sample(frac=1, random_state=3) for name, table in county.items()}
    write_pmtiles(tmp_path / "again.pmtiles", turned, min_zoom=10, max_zoom=15, edition="run 1")
    assert (tmp_path / "again.pmtiles").read_bytes() == path.read_bytes()


def test_threads_share_an_archive(path):
    with Archive(path) as archive, ThreadPoolExecutor(8) as pool:
        tiles = list(tiles_over(archive.bounds, 15)) * 5
        assert list(pool.map(lambda tile: archive.tile(*tile), tiles)) == [
            archive.tile(*tile) for tile in tiles
        ]


def test_many_tiles_have_leaves(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_ROOT_BYTES", 1_000)
    monkeypatch.setattr(module, "_LEAF", 16)
    rng = np.random.default_rng(1)
    homes = gpd.GeoDataFrame(
        {"household_key": [f"{n}" for n in range(1_000)]},
        geometry=shapely.points(rng.uniform(100, 120, 1_000), rng.uniform(25, 40, 1_000)),
        crs="EPSG:4490",
    )
    write_pmtiles(tmp_path / "wide.pmtiles", {"households": homes}, min_zoom=14, max_zoom=14)
    with Archive(tmp_path / "wide.pmtiles") as archive:
        assert 0 in archive._root[1]
        for row in range(0, 1_000, 50):
            home = homes.geometry[row]
            (tile,) = tiles_over((home.x, home.y, home.x, home.y), 14)
            told = decode(archive.tile(*tile))["households"]
            assert f"{row}" in {properties["household_key"] for _, properties in told.values()}
    assert len(pyogrio.read_dataframe(tmp_path / "wide.pmtiles", max_features=10)) == 10


@pytest.mark.parametrize(
    ("tile", "number"),
    [
        ((0, 0, 0), 0),
        ((1, 0, 0), 1),
        ((1, 0, 1), 2),
        ((1, 1, 1), 3),
        ((1, 1, 0), 4),
        ((12, 3423, 1763), 19_078_479),
    ],
)
def test_tiles_are_numbered_as_the_specification_says(tile, number):
    assert tile_id(Tile(*tile)) == number


def test_numbers_of_a_zoom_follow_a_curve_without_jumps():
    places = sorted((tile_id(Tile(5, x, y)), x, y) for x in range(32) for y in range(32))
    assert [number for number, _, _ in places] == list(range(341, 341 + 1024))
    steps = [abs(x - u) + abs(y - v) for (_, x, y), (_, u, v) in pairwise(places)]
    assert set(steps) == {1}


def test_an_empty_county_has_an_archive_without_tiles(tmp_path, county):
    write_pmtiles(tmp_path / "none.pmtiles", {"parcels": county["parcels"].iloc[:0]}, min_zoom=12)
    with Archive(tmp_path / "none.pmtiles") as archive:
        assert archive.addressed == 0
        assert archive.tile(12, 3423, 1763) is None


def test_a_write_that_stops_leaves_the_old_file(tmp_path, county):
    path = tmp_path / "county.pmtiles"
    write_pmtiles(path, county, min_zoom=12, max_zoom=12)
    before = path.read_bytes()
    told = []

    def stop(done, total, name):
        told.append((done, total, name))
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_pmtiles(path, county, min_zoom=14, tell=stop)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert told[0][0] == 1
    assert told[0][2] == "z14"


def test_what_is_no_archive_is_refused(tmp_path, path):
    (tmp_path / "a.pmtiles").write_bytes(b"PMTiles\x02" + bytes(200))
    with pytest.raises(InputError, match="PMTiles"):
        Archive(tmp_path / "a.pmtiles")
    with pytest.raises(InputError, match="打不开"):
        Archive(tmp_path / "none.pmtiles")
    whole = path.read_bytes()
    for size in (60, 130, 400, 2000):
        (tmp_path / "cut.pmtiles").write_bytes(whole[:size])
        with pytest.raises(InputError, match="重新生成"):
            every(tmp_path / "cut.pmtiles")
    broken = bytearray(whole)
    broken[127:160] = bytes(33)
    (tmp_path / "bad.pmtiles").write_bytes(broken)
    with pytest.raises(InputError, match="重新生成"):
        every(tmp_path / "bad.pmtiles")


def every(path):
    with Archive(path) as archive:
        return [archive.tile(*tile) for z in range(10, 16) for tile in tiles_over(archive.bounds, z)]


def test_a_closed_archive_says_so(path):
    archive = Archive(path)
    archive.close()
    with pytest.raises(InputError, match="读取失败"):
        [archive.tile(*tile) for tile in tiles_over(archive.bounds, 15)]


def test_wrong_use_is_refused(tmp_path, county):
    with pytest.raises(InputError, match="级别"):
        write_pmtiles(tmp_path / "a.pmtiles", county, min_zoom=15, max_zoom=12)
    with pytest.raises(InputError, match="runs"):
        write_pmtiles(tmp_path / "a.pmtiles", {"runs": county["parcels"]}, min_zoom=12)
    bare = county["parcels"].set_crs(None, allow_override=True)
    with pytest.raises(MissingDatumError):
        write_pmtiles(tmp_path / "a.pmtiles", {"parcels": bare}, min_zoom=12)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError):
        write_pmtiles(tmp_path / "folder", county, min_zoom=12, max_zoom=12)
