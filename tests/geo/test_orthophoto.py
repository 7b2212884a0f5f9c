import io
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp, Resampling
from rasterio.shutil import copy
from rasterio.warp import transform

from geo import orthophoto as module
from geo.errors import InputError, MissingDatumError
from geo.orthophoto import MEDIA_TYPES, Orthophoto
from geo.tiles import tile_at, tiles_over

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "raster_samples"
ZONE_38 = "EPSG:4526"
X0, Y0 = 38_500_000, 3_800_000
RED, GREEN, BLUE = (200, 30, 40), (20, 180, 60), (30, 50, 210)
RGBA = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]


def write(path, bands, *, west=X0, north=Y0 + 400, pixel=1.0, crs=ZONE_38, **more):  # noqa: PLR0913 - a raster's parts
    """A GeoTIFF of bands x rows x columns; ``colorinterp``, ``colormap``, ``overviews`` and ``mask`` are set after."""
    bands = np.asarray(bands)
    after = {name: more.pop(name, None) for name in ("colorinterp", "colormap", "overviews", "mask", "gcps")}
    shape = {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2], "dtype": bands.dtype}
    place = {"crs": crs, "transform": Affine(pixel, 0, west, 0, -pixel, north)}
    kept = {name: value for name, value in (place | more).items() if value is not None}
    with rasterio.open(path, "w", driver="GTiff", **shape, **kept) as data:
        data.write(bands)
        if after["colorinterp"]:
            data.colorinterp = after["colorinterp"]
        if after["colormap"]:
            data.write_colormap(1, after["colormap"])
        if after["mask"] is not None:
            data.write_mask(after["mask"])
        if after["overviews"]:
            data.build_overviews(after["overviews"], Resampling.average)
    return path


def flat(colour, rows=400, columns=400, dtype="uint8"):
    return np.broadcast_to(np.array(colour, dtype=dtype)[:, None, None], (len(colour), rows, columns))


def lonlat(x, y, crs=ZONE_38):
    (lon,), (lat,) = transform(crs, "EPSG:4490", [x], [y])
    return lon, lat


def tile_over(x, y, z):
    return tile_at(*lonlat(x, y), z)


def picture(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGBA")).astype(int)


def colour_at(photo, x, y, *, z=17, **how):
    """Colour and alpha that a tile shows at a place of zone 38."""
    lon, lat = lonlat(x, y)
    tile = tile_at(lon, lat, z)
    content = photo.tile(*tile, **({"format": "png"} | how))
    if content is None:
        return None
    image = picture(content)
    (east,), (north,) = transform("EPSG:4326", "EPSG:3857", [lon], [lat])
    west, south, right, top = tile.bounds
    column = int((east - west) / (right - west) * image.shape[1])
    row = int((top - north) / (top - south) * image.shape[0])
    return tuple(image[row, column].tolist())


@pytest.mark.parametrize("format", list(MEDIA_TYPES))
@pytest.mark.parametrize("size", [256, 512])
def test_a_tile_shows_the_raster_where_it_lies(tmp_path, format, size):  # noqa: A002 - the word for it
    image = np.concatenate([flat(RED, 400, 200), flat(BLUE, 400, 200)], axis=2)
    with Orthophoto(write(tmp_path / "a.tif", image)) as photo:
        for x, colour in ((50, RED), (150, RED), (250, BLUE), (350, BLUE)):
            told = colour_at(photo, X0 + x, Y0 + 200, size=size, format=format)
            assert np.abs(np.subtract(told[:3], colour)).max() <= 12
        content = photo.tile(*tile_over(X0 + 200, Y0 + 200, 17), size=size, format=format)
        opened = Image.open(io.BytesIO(content))
        assert opened.size == (size, size)
        assert opened.format.lower() == format


def test_a_tile_without_data_is_none(tmp_path):
    with Orthophoto(write(tmp_path / "a.tif", flat(RED))) as photo:
        assert photo.tile(*tile_over(X0 + 5000, Y0, 17)) is None
        assert photo.tile(17, 0, 0) is None


def test_beyond_its_edge_a_tile_is_clear_and_a_jpeg_white(tmp_path):
    with Orthophoto(write(tmp_path / "a.tif", flat(RED))) as photo:
        assert colour_at(photo, X0 + 420, Y0 + 200) == (255, 255, 255, 0)
        assert colour_at(photo, X0 + 420, Y0 + 200, format="webp")[3] == 0
        assert min(colour_at(photo, X0 + 430, Y0 + 200, format="jpeg")) >= 240
        assert colour_at(photo, X0 + 380, Y0 + 200) == (*RED, 255)


HOLE = np.ones((400, 400), dtype=bool)
HOLE[150:250, 150:250] = False


@pytest.mark.parametrize("way", ["nodata", "alpha", "mask", "nan"])
def test_a_hole_in_the_raster_is_a_hole_in_the_tile(tmp_path, way):
    image = np.where(HOLE, flat(GREEN), 0).astype("uint8")
    path = tmp_path / "a.tif"
    if way == "nodata":
        write(path, image, nodata=0)
    elif way == "alpha":
        write(path, np.concatenate([image, HOLE[None] * np.uint8(255)]), colorinterp=RGBA)
    elif way == "mask":
        write(path, image, mask=HOLE)
    else:
        grey = np.where(HOLE, np.arange(400.0)[:, None] / 400, np.nan)[None].astype("float32")
        write(path, grey)
    with Orthophoto(path) as photo:
        assert colour_at(photo, X0 + 200, Y0 + 200)[3] == 0
        assert colour_at(photo, X0 + 60, Y0 + 200)[3] == 255


def test_bands_are_taken_by_their_names_a_palette_by_its_colours_and_one_band_is_grey(tmp_path):
    bgr = write(
        tmp_path / "bgr.tif",
        flat(RED[::-1]),
        colorinterp=[ColorInterp.blue, ColorInterp.green, ColorInterp.red],
    )
    palette = write(tmp_path / "p.tif", flat((7,)), colormap={7: (*BLUE, 255)})
    grey = write(tmp_path / "g.tif", flat((90,)))
    four = write(tmp_path / "four.tif", flat((*GREEN, 9)), colorinterp=[*RGBA[:3], ColorInterp.undefined])
    for path, colour in ((bgr, RED), (palette, BLUE), (grey, (90, 90, 90)), (four, GREEN)):
        with Orthophoto(path) as photo:
            assert colour_at(photo, X0 + 200, Y0 + 200) == (*colour, 255)
    with Orthophoto(grey) as photo:
        assert colour_at(photo, X0 + 420, Y0 + 200, format="webp")[3] == 0


def test_sixteen_bits_are_stretched_the_same_in_every_tile(tmp_path):
    ramp = np.broadcast_to(np.linspace(1000, 5000, 400).astype("uint16"), (3, 400, 400))
    with Orthophoto(write(tmp_path / "a.tif", ramp)) as photo:
        dark, light = (colour_at(photo, X0 + x, Y0 + 200)[0] for x in (40, 360))
        assert dark < 40
        assert light > 215
        assert abs(colour_at(photo, X0 + 200, Y0 + 200, z=19)[0] - 128) < 6


PLACELESS = pytest.mark.filterwarnings(
    "ignore::rasterio.errors.NotGeoreferencedWarning"
)  # while it is written


@PLACELESS
def test_a_raster_placed_by_control_points_alone_is_shown(tmp_path):
    image = np.concatenate([flat(RED, 400, 200), flat(BLUE, 400, 200)], axis=2)
    corners = [(0, 0), (0, 400), (400, 0), (400, 400)]
    path = tmp_path / "a.tif"
    with rasterio.open(path, "w", driver="GTiff", count=3, height=400, width=400, dtype="uint8") as data:
        data.write(image)
        points = [GroundControlPoint(row, col, X0 + col, Y0 + 400 - row) for row, col in corners]
        data.gcps = (points, rasterio.CRS.from_user_input(ZONE_38))
    with Orthophoto(path) as photo:
        assert colour_at(photo, X0 + 50, Y0 + 200) == (*RED, 255)
        assert colour_at(photo, X0 + 350, Y0 + 200) == (*BLUE, 255)
        assert colour_at(photo, X0 + 420, Y0 + 200)[3] == 0


@PLACELESS
@pytest.mark.parametrize("points", [False, True])
def test_a_far_view_is_read_from_an_overview(tmp_path, points, monkeypatch):
    """Its overviews are painted another colour, so that a tile tells where it came from."""
    path = write(tmp_path / "a.tif", flat(RED, 1024, 1024), tiled=True, blockxsize=256, blockysize=256)
    if points:
        path = by_points(path, tmp_path / "p.tif")
    with rasterio.open(path, "r+") as data:
        data.build_overviews([2, 4, 8], Resampling.nearest)
    with rasterio.open(path, "r+", overview_level=1) as small:
        small.write(flat(BLUE, small.height, small.width))
    monkeypatch.setattr(module, "_IDLE", 1)
    with Orthophoto(path) as photo:
        assert colour_at(photo, X0 + 200, Y0 + 200, z=17) == (*RED, 255)
        assert colour_at(photo, X0 + 200, Y0 + 200, z=15) == (*BLUE, 255)


def by_points(path, there):
    with rasterio.open(path) as data:
        shape = {name: data.profile[name] for name in ("count", "height", "width", "dtype", "driver")}
        image, place = data.read(), data.transform
    ends = (0, shape["height"])
    with rasterio.open(there, "w", tiled=True, blockxsize=256, blockysize=256, **shape) as data:
        data.write(image)
        points = [GroundControlPoint(row, col, *(place @ (col, row))) for row in ends for col in ends]
        data.gcps = (points, rasterio.CRS.from_user_input(ZONE_38))
    return there


def test_a_folder_is_a_mosaic_with_the_first_by_name_on_top(tmp_path):
    write(tmp_path / "b.tif", flat(BLUE), west=X0 + 200)
    write(tmp_path / "a.tif", flat(RED))
    (tmp_path / "更西").mkdir()
    write(tmp_path / "更西" / "c.tif", flat(GREEN), west=X0 - 400)
    (tmp_path / "readme.txt").write_text("no raster", encoding="utf-8")
    with Orthophoto(tmp_path) as photo:
        for x, colour in ((-200, GREEN), (100, RED), (300, RED), (500, BLUE)):
            assert colour_at(photo, X0 + x, Y0 + 200) == (*colour, 255)
        west, south, east, north = photo.bounds
        assert (west, south) < lonlat(X0 - 390, Y0 + 10)
        assert (east, north) > lonlat(X0 + 590, Y0 + 390)


@pytest.mark.parametrize("crs", ["EPSG:4490", "EPSG:4527", "EPSG:3857"])
def test_rasters_of_any_system_lie_on_each_other(tmp_path, crs):
    (x,), (y,) = transform(ZONE_38, crs, [X0], [Y0 + 400])
    pixel = 1 / 100_000 if crs == "EPSG:4490" else 1.2
    write(tmp_path / "a.tif", flat(GREEN, 380, 380), west=x, north=y, pixel=pixel, crs=crs)
    with Orthophoto(tmp_path / "a.tif") as photo:
        assert colour_at(photo, X0 + 40, Y0 + 360) == (*GREEN, 255)
        assert colour_at(photo, X0 - 20, Y0 + 420)[3] == 0


def test_a_raster_that_is_turned_is_shown_turned(tmp_path):
    path = write(tmp_path / "a.tif", flat(RED))
    with rasterio.open(path, "r+") as data:
        data.transform = Affine.translation(X0, Y0) @ Affine.rotation(45) @ Affine.scale(1, -1)
    with Orthophoto(path) as photo:
        assert colour_at(photo, X0 + 280, Y0) == (*RED, 255)
        assert colour_at(photo, X0 + 40, Y0 + 200)[3] == 0


def test_tilejson_says_where_and_how_deep(tmp_path):
    with Orthophoto(write(tmp_path / "a.tif", flat(RED))) as photo:
        told = photo.tilejson(url="/basemap/a/{z}/{x}/{y}", attribution="县自然资源局")
        assert (told["tilejson"], told["minzoom"], told["maxzoom"]) == ("3.0.0", 0, 17)
        assert told["tiles"] == ["/basemap/a/{z}/{x}/{y}"]
        assert told["bounds"] == pytest.approx(photo.bounds)
        assert told["attribution"] == "县自然资源局"


def test_a_cloud_optimised_file_and_a_mosaic_file_are_read(tmp_path):
    source = write(tmp_path / "a.tif", flat(RED, 600, 600), photometric="RGB")
    copy(source, tmp_path / "cog.tif", driver="COG", blocksize=256)
    copy(source, tmp_path / "a.vrt", driver="VRT")
    for name in ("cog.tif", "a.vrt"):
        with Orthophoto(tmp_path / name) as photo:
            assert colour_at(photo, X0 + 200, Y0 + 200) == (*RED, 255)


def test_neighbours_meet_without_a_seam(tmp_path):
    ramp = np.broadcast_to(np.linspace(0, 250, 400)[None, None], (3, 400, 400)).astype("uint8")
    with Orthophoto(write(tmp_path / "a.tif", ramp)) as photo:
        tile = tile_over(X0 + 200, Y0 + 200, 18)
        here = picture(photo.tile(*tile, format="png"))
        there = picture(photo.tile(tile.z, tile.x + 1, tile.y, format="png"))
        assert np.abs(here[:, -1, 0] - there[:, 0, 0]).max() <= 2


def test_threads_get_the_same_tiles_as_one_alone(tmp_path):
    rng = np.random.default_rng(1)
    for n in range(3):
        write(tmp_path / f"{n}.tif", rng.integers(0, 255, (3, 400, 400), dtype="uint8"), west=X0 + 400 * n)
    with Orthophoto(tmp_path) as photo:
        tiles = [tile for z in (15, 16, 17) for tile in tiles_over(photo.bounds, z)] * 2
        alone = [photo.tile(*tile, format="jpeg") for tile in tiles]
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda tile: photo.tile(*tile, format="jpeg"), tiles)) == alone


def test_closing_lets_go_of_every_file(tmp_path):
    photo = Orthophoto(write(tmp_path / "a.tif", flat(RED)))
    tile = tile_over(X0 + 200, Y0 + 200, 17)
    assert photo.tile(*tile) is not None
    held = [data for _, data in photo._idle.values()]
    photo.close()
    assert [data.closed for data in held] == [True]
    with pytest.raises(InputError, match="已关闭"):
        photo.tile(*tile)


def test_a_file_being_read_while_all_is_closed_is_let_go_of_after(tmp_path, monkeypatch):
    photo = Orthophoto(write(tmp_path / "a.tif", flat(RED)))
    tile = tile_over(X0 + 200, Y0 + 200, 17)
    begun, closed, opened = threading.Event(), threading.Event(), []
    usual = module.opened

    def slow(*which, **how):
        opened.append(usual(*which, **how))
        begun.set()
        closed.wait(10)
        return opened[0]

    monkeypatch.setattr(module, "opened", slow)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(photo.tile, *tile)
        begun.wait(10)
        photo.close()
        closed.set()
        assert waiting.result() is not None
    assert opened[0].closed


def test_no_more_files_stay_open_than_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_IDLE", 2)
    for n in range(5):
        write(tmp_path / f"{n}.tif", flat(RED), west=X0 + 400 * n)
    with Orthophoto(tmp_path) as photo:
        assert photo.tile(*tile_over(X0 + 1000, Y0 + 200, 14)) is not None
        assert len(photo._idle) == 2


def test_a_far_view_of_a_raster_without_overviews_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST_PX", 100_000)
    with Orthophoto(write(tmp_path / "a.tif", flat(RED))) as photo:
        first, last = photo.zooms
        assert last == 17  # a pixel of z17 is 0.99 m there
        assert photo.tile(*tile_over(X0 + 200, Y0 + 200, first)) is not None
        assert photo.tile(*tile_over(X0 + 200, Y0 + 200, first - 1)) is None
    with Orthophoto(write(tmp_path / "b.tif", flat(RED), overviews=[2, 4])) as photo:
        assert photo.zooms[0] == 0
        assert photo.tile(*tile_over(X0 + 200, Y0 + 200, first - 1)) is not None


def test_a_raster_without_a_system_is_refused_unless_one_is_given(tmp_path):
    path = write(tmp_path / "a.tif", flat(RED), crs=None)
    with pytest.raises(MissingDatumError, match="没有坐标系"):
        Orthophoto(path)
    with Orthophoto(path, assume=ZONE_38) as photo:
        assert colour_at(photo, X0 + 200, Y0 + 200) == (*RED, 255)


def test_a_damaged_raster_is_told_where_nothing_else_is(tmp_path):
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 255, (3, 400, 400), dtype="uint8")
    path = write(tmp_path / "a.tif", noise, tiled=True, blockxsize=128, blockysize=128, compress="deflate")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    tile = tile_over(X0 + 200, Y0 + 200, 16)
    with Orthophoto(path) as photo, pytest.raises(InputError, match=r"a\.tif 读取失败"):
        photo.tile(*tile)
    write(tmp_path / "b.tif", flat(RED))
    with Orthophoto(tmp_path) as photo:
        assert colour_at(photo, X0 + 200, Y0 + 200)[3] == 255


def test_wrong_use_is_refused(tmp_path):
    with Orthophoto(write(tmp_path / "a.tif", flat(RED))) as photo:
        for how in ({"size": 1024}, {"format": "gif"}):
            with pytest.raises(InputError, match="影像瓦片只有"):
                photo.tile(17, 0, 0, **how)
        with pytest.raises(InputError, match="没有这样的瓦片"):
            photo.tile(2, 4, 0)
    with pytest.raises(InputError, match="找不到"):
        Orthophoto(tmp_path / "none.tif")


@pytest.mark.skipif(not SHARED.exists(), reason="samples of rasters lie beside the project")
@pytest.mark.parametrize("name", ["RGB.byte.tif", "SRTM.tif", "cogeo.tif"])
def test_rasters_of_others_are_shown(name):
    with Orthophoto(SHARED / name) as photo:
        west, south, east, north = photo.bounds
        tile = tile_at((west + east) / 2, (south + north) / 2, photo.zooms[1])
        image = picture(photo.tile(*tile))
        assert image[..., 3].max() == 255
        assert image[..., :3].std() > 3
