import io
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp, Resampling
from rasterio.warp import transform

from geo import raster as module
from geo.errors import InputError, MissingDatumError
from geo.sheets import photo as photos
from geo.sheets.photo import close, photo, rasters

SHARED = Path(__file__).parents[3].parent / "shared" / "data" / "raster_samples"
ZONE_38, ZONE_39 = "EPSG:4526", "EPSG:4527"
X0, Y0 = 38_429_000, 4_196_000
RGB = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
RED, GREEN, BLUE = (200, 30, 40), (20, 180, 60), (30, 50, 210)


def frame(west, south, width, height):
    return np.array(
        [[west, south], [west, south + height], [west + width, south + height], [west + width, south]],
        dtype=float,
    )


def write(path, bands, *, west=X0, north=Y0 + 300, pixel=1.0, crs=ZONE_38, **more):  # noqa: PLR0913 - a raster's parts
    """A GeoTIFF of bands x rows x columns; ``colorinterp``, ``colormap`` and ``overviews`` are set after."""
    bands = np.asarray(bands)
    after = {name: more.pop(name, None) for name in ("colorinterp", "colormap", "overviews")}
    place = {} if crs is None else {"crs": crs, "transform": Affine(pixel, 0, west, 0, -pixel, north)}
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=len(bands),
        height=bands.shape[1],
        width=bands.shape[2],
        dtype=bands.dtype,
        **{name: value for name, value in (place | more).items() if value is not None},
    ) as data:
        data.write(bands)
        if after["colorinterp"]:
            data.colorinterp = after["colorinterp"]
        if after["colormap"]:
            data.write_colormap(1, after["colormap"])
        if after["overviews"]:
            data.build_overviews(after["overviews"], Resampling.average)
    return path


def flat(colour, rows=300, columns=400, dtype="uint8"):
    return np.broadcast_to(np.array(colour, dtype=dtype)[:, None, None], (len(colour), rows, columns))


def quarters(rows=300, columns=400):
    """North-west red, north-east green, south-west blue, south-east white."""
    image = np.full((3, rows, columns), 255, dtype=np.uint8)
    image[:, : rows // 2, : columns // 2] = np.array(RED)[:, None, None]
    image[:, : rows // 2, columns // 2 :] = np.array(GREEN)[:, None, None]
    image[:, rows // 2 :, : columns // 2] = np.array(BLUE)[:, None, None]
    return image


def pixels(found):
    return np.asarray(Image.open(io.BytesIO(found.jpeg)).convert("RGB")).astype(int)


def colour_at(found, x, y):
    """Colour of the image at a place of the map."""
    (left, top), (right, _), (_, bottom) = found.corners
    image = pixels(found)
    row, column = (top - y) / (top - bottom) * len(image), (x - left) / (right - left) * image.shape[1]
    return image[int(row), int(column)]


def near(colour, expected, off=12):
    return np.abs(colour - np.array(expected)).max() <= off


@pytest.fixture(autouse=True)
def _no_raster_stays_open():
    yield
    close()


def test_the_image_shows_each_place_where_it_lies(tmp_path):
    source = write(tmp_path / "a.tif", quarters(), photometric="RGB")
    found = photo(source, frame(X0 + 50, Y0 + 50, 300, 200), ZONE_38)
    assert (found.width_px, found.height_px, found.covered_share, found.reason) == (300, 200, 1.0, "")
    assert found.corners.tolist() == [[X0 + 50, Y0 + 250], [X0 + 350, Y0 + 250], [X0 + 50, Y0 + 50]]
    for (x, y), colour in {(60, 240): RED, (340, 240): GREEN, (60, 60): BLUE, (340, 60): (255,) * 3}.items():
        assert near(colour_at(found, X0 + x, Y0 + y), colour)


@pytest.mark.parametrize("offset", [0.3, 0.5, 0.77])
def test_a_raster_keeps_its_own_pixels_when_the_frame_lies_between_them(tmp_path, offset):
    chess = np.indices((300, 400)).sum(axis=0) % 2 * 255
    source = write(tmp_path / "a.tif", chess[None].astype("uint8"))
    found = photo(source, frame(X0 + 50 + offset, Y0 + 50 + offset, 100, 100), ZONE_38, dpi=60, quality=95)
    assert found.corners[0].tolist() == [X0 + 50, Y0 + 151]
    image = pixels(found)[..., 0]
    assert ((image < 40) | (image > 215)).all()  # resampled between pixels it would be grey


def test_a_frame_in_another_system_is_warped_to_its_place(tmp_path):
    source = write(tmp_path / "a.tif", quarters())
    (x,), (y,) = transform(ZONE_38, ZONE_39, [X0 + 200], [Y0 + 150])
    found = photo(source, frame(x - 100, y - 80, 200, 160), ZONE_39)
    assert found.covered_share == 1
    at = {(140, 210): RED, (260, 210): GREEN, (140, 90): BLUE}
    for place, colour in at.items():
        (u,), (v,) = transform(ZONE_38, ZONE_39, [X0 + place[0]], [Y0 + place[1]])
        assert near(colour_at(found, u, v), colour)


def test_warping_leaves_white_what_the_raster_does_not_reach(tmp_path):
    source = write(tmp_path / "a.tif", flat(RED))
    (x,), (y,) = transform(ZONE_38, ZONE_39, [X0], [Y0 + 150])
    found = photo(source, frame(x - 100, y - 50, 200, 100), ZONE_39)
    assert found.covered_share == pytest.approx(0.5, abs=0.03)
    assert near(colour_at(found, x - 80, y), (255,) * 3)
    assert near(colour_at(found, x + 80, y), RED)


@pytest.mark.parametrize(
    ("bands", "more", "expected"),
    [
        (flat([90]), {}, (90, 90, 90)),
        (flat([90, 255]), {"colorinterp": [ColorInterp.gray, ColorInterp.alpha]}, (90, 90, 90)),
        (flat(RED), {}, RED),
        (flat([*RED, 255]), {"colorinterp": [*RGB, ColorInterp.alpha]}, RED),
        (flat([*RED, 77]), {"colorinterp": [*RGB, ColorInterp.undefined]}, RED),
        (
            flat([77, *RED]),
            {"colorinterp": [ColorInterp.undefined, *RGB]},
            RED,
        ),
        (flat([3]), {"colormap": {0: (0, 0, 0, 255), 3: (*BLUE, 255)}}, BLUE),
    ],
    ids=["grey", "grey alpha", "three", "alpha", "infrared last", "infrared first", "palette"],
)  # fmt: skip
def test_bands_become_colours_however_they_are_laid_out(tmp_path, bands, more, expected):
    source = write(tmp_path / "a.tif", bands, **more)
    for crs, (x, y) in {ZONE_38: (X0 + 200, Y0 + 150), ZONE_39: _in_39(X0 + 200, Y0 + 150)}.items():
        found = photo(source, frame(x - 50, y - 50, 100, 100), crs)
        assert near(colour_at(found, x, y), expected), crs
        assert found.covered_share == 1, crs


def _in_39(x, y):
    (u,), (v,) = transform(ZONE_38, ZONE_39, [x], [y])
    return u, v


def test_a_grey_raster_makes_a_grey_jpeg(tmp_path):
    source = write(tmp_path / "a.tif", flat([90]))
    assert Image.open(io.BytesIO(photo(source, frame(X0, Y0, 100, 100), ZONE_38).jpeg)).mode == "L"


def test_sixteen_bits_are_stretched_between_the_percentiles_of_the_whole(tmp_path):
    ramp = np.linspace(300, 2_300, 400).round().astype("uint16")
    source = write(tmp_path / "a.tif", np.broadcast_to(ramp, (3, 300, 400)))
    known = rasters(source)
    assert np.array(known.stretch) == pytest.approx(np.array([[340, 2_260]] * 3), abs=20)
    found = photo(known, frame(X0 + 150, Y0 + 50, 100, 100), ZONE_38)
    assert near(colour_at(found, X0 + 200, Y0 + 100), (127,) * 3)  # not stretched anew within the frame
    assert near(colour_at(photo(known, frame(X0, Y0, 100, 100), ZONE_38), X0 + 2, Y0 + 50), (0,) * 3)


@pytest.mark.parametrize("crs", [ZONE_38, ZONE_39])
@pytest.mark.parametrize("kind", ["nodata", "alpha", "mask"])
def test_pixels_without_data_are_white(tmp_path, crs, kind):
    image = np.array(flat(RED))
    image[:, :, 200:] = 0
    path = tmp_path / "a.tif"
    if kind == "alpha":
        alpha = np.where(np.arange(400) < 200, 255, 0).astype("uint8")
        write(path, [*image, np.broadcast_to(alpha, (300, 400))], colorinterp=[*RGB, ColorInterp.alpha])
    elif kind == "nodata":
        write(path, image, nodata=0)
    else:
        write(path, image)
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as data:
            data.write_mask(np.broadcast_to(np.arange(400) < 200, (300, 400)))
    middle = (X0 + 200, Y0 + 150) if crs == ZONE_38 else _in_39(X0 + 200, Y0 + 150)
    found = photo(path, frame(middle[0] - 100, middle[1] - 50, 200, 100), crs)
    assert near(colour_at(found, middle[0] - 50, middle[1]), RED)
    assert near(colour_at(found, middle[0] + 50, middle[1]), (255,) * 3, off=3)
    assert found.covered_share == pytest.approx(0.5, abs=0.05)
    assert "只覆盖" in found.reason


def test_a_folder_is_one_mosaic_without_a_seam(tmp_path):
    for at, colour in enumerate((RED, GREEN)):
        for row in range(2):
            name = tmp_path / f"sub{row}" / f"{at}.tif"
            name.parent.mkdir(exist_ok=True)
            write(name, flat(colour, 150, 200), west=X0 + 200 * at, north=Y0 + 300 - 150 * row)
    found = photo(tmp_path, frame(X0 + 100, Y0 + 50, 200, 200), ZONE_38)
    assert (found.covered_share, found.reason) == (1.0, "")
    assert near(pixels(found)[:, :90], RED)
    assert near(pixels(found)[:, 110:], GREEN)
    assert len(rasters(tmp_path).rasters) == 4


def test_only_rasters_that_meet_the_frame_are_opened(tmp_path, monkeypatch):
    for at in range(3):
        write(tmp_path / f"{at}.tif", flat(RED, 50, 50), west=X0 + 1_000 * at)
    known = rasters(tmp_path)
    opened = []
    keep = photos.dataset
    monkeypatch.setattr(photos, "dataset", lambda raster: opened.append(raster.path.name) or keep(raster))
    photo(known, frame(X0 + 1_000, Y0 + 260, 40, 30), ZONE_38)
    assert opened == ["1.tif"]


def test_few_rasters_stay_open_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_OPEN", 3)
    for at in range(6):
        write(tmp_path / f"{at}.tif", flat(RED, 50, 50), west=X0 + 50 * at)
    known = rasters(tmp_path)
    assert photo(known, frame(X0, Y0 + 250, 300, 50), ZONE_38).covered_share == 1
    kept = module._KEPT.open
    assert len(kept) == 3
    close()
    assert all(data.closed for data in kept.values())


def test_of_rasters_that_overlap_the_first_by_name_is_on_top_whatever_order_they_come_in(tmp_path):
    paths = [write(tmp_path / f"{name}.tif", flat(colour)) for name, colour in {"b": GREEN, "a": RED}.items()]
    one, other = (photo(order, frame(X0, Y0, 100, 100), ZONE_38) for order in (paths, paths[::-1]))
    assert one.jpeg == other.jpeg
    assert near(colour_at(one, X0 + 50, Y0 + 50), RED)


def test_a_fine_raster_is_read_from_an_overview(tmp_path):
    image = np.zeros((3, 1_200, 1_600), dtype="uint8")
    options = {"pixel": 0.25, "tiled": True, "blockxsize": 256, "blockysize": 256}
    source = write(tmp_path / "a.tif", image, overviews=[2, 4], **options)
    with rasterio.open(source, "r+", OVERVIEW_LEVEL=1) as overview:  # paint the coarse picture only
        overview.write(np.broadcast_to(np.array(GREEN, "uint8")[:, None, None], (3, 300, 400)))
    found = photo(source, frame(X0 + 100, Y0 + 100, 100, 100), ZONE_38, dpi=50)
    assert found.width_px == 100  # a pixel of a metre: 0.5 mm of paper, 51 an inch
    assert near(colour_at(found, X0 + 150, Y0 + 150), GREEN)


def test_a_pixel_is_no_finer_than_asked_for(tmp_path):
    source = write(tmp_path / "a.tif", np.zeros((1, 600, 800), dtype="uint8"), pixel=0.5)
    assert photo(source, frame(X0, Y0, 200, 200), ZONE_38, dpi=25.4).width_px == 100


def test_the_same_raster_makes_the_same_bytes(tmp_path):
    source = write(tmp_path / "a.tif", quarters())
    one, other = (photo(source, frame(X0, Y0, 300, 200), ZONE_38) for _ in range(2))
    assert one.jpeg == other.jpeg


def test_a_turned_frame_is_covered_by_the_rectangle_round_it(tmp_path):
    source = write(tmp_path / "a.tif", flat(RED))
    corners = np.array(
        [[X0 + 50, Y0 + 60], [X0 + 60, Y0 + 260], [X0 + 350, Y0 + 250], [X0 + 340, Y0 + 50]], dtype=float
    )
    found = photo(source, corners, ZONE_38)
    assert found.covered_share == 1
    assert found.corners[0].tolist() == [X0 + 50, Y0 + 260]


def test_a_raster_elsewhere_gives_a_reason_and_no_image(tmp_path):
    source = write(tmp_path / "a.tif", flat(RED))
    for corners in (frame(X0 + 5_000, Y0, 100, 100), np.full((4, 2), np.nan)):
        found = photo(source, corners, ZONE_38)
        assert found.jpeg is None
        assert found.covered_share == 0
        assert "影像" in found.reason


def test_a_raster_on_the_other_side_of_the_earth_gives_a_reason(tmp_path):
    source = write(tmp_path / "a.tif", flat(RED), west=-75.0, north=-30.0, pixel=0.001, crs="EPSG:4326")
    assert photo(source, frame(X0, Y0, 100, 100), ZONE_38).reason == "影像不覆盖本幅"


def test_degrees_serve_as_well(tmp_path):
    (lon,), (lat,) = transform(ZONE_38, "EPSG:4490", [X0], [Y0])
    source = write(
        tmp_path / "a.tif",
        flat(RED, 500, 500),
        west=lon - 0.002,
        north=lat + 0.002,
        pixel=1e-5,
        crs="EPSG:4490",
    )
    found = photo(source, frame(X0 - 100, Y0 - 100, 200, 200), ZONE_38)
    assert found.covered_share == 1
    assert 150 <= found.width_px <= 250  # a hundred-thousandth of a degree is about a metre
    assert near(colour_at(found, X0, Y0), RED)


def test_control_points_place_a_raster_that_has_no_transform(tmp_path):
    at = [(0, 0, 0, 300), (0, 400, 400, 300), (300, 0, 0, 0), (300, 400, 400, 0)]
    points = [GroundControlPoint(row, column, X0 + x, Y0 + y) for row, column, x, y in at]
    source = write(tmp_path / "a.tif", quarters(), crs=ZONE_38, transform=None, gcps=points)
    found = photo(source, frame(X0 + 50, Y0 + 50, 300, 200), ZONE_38)
    assert found.covered_share > 0.99
    assert near(colour_at(found, X0 + 60, Y0 + 240), RED)
    assert near(colour_at(found, X0 + 340, Y0 + 240), GREEN)
    x, y = _in_39(X0 + 100, Y0 + 220)
    assert near(colour_at(photo(source, frame(x - 20, y - 20, 40, 40), ZONE_39), x, y), RED)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_raster_without_a_system_is_refused_unless_one_is_given(tmp_path):
    placed = write(tmp_path / "a.tif", flat(RED), crs=None, transform=Affine(1, 0, X0, 0, -1, Y0 + 300))
    with pytest.raises(MissingDatumError, match=r"a\.tif 没有坐标系"):
        rasters(placed)
    assert photo(rasters(placed, assume=ZONE_38), frame(X0, Y0, 100, 100), ZONE_38).covered_share == 1
    nowhere = write(tmp_path / "b.tif", flat(RED), crs=None)
    with pytest.raises(MissingDatumError, match=r"b\.tif 没有坐标（"):
        rasters(nowhere, assume=ZONE_38)
    known = rasters(tmp_path, assume=ZONE_38)
    assert [raster.path.name for raster in known.rasters] == ["a.tif"]
    assert "b.tif" in known.problems[0]


def test_what_is_not_there_or_no_raster_is_refused(tmp_path):
    with pytest.raises(InputError, match="找不到"):
        rasters(tmp_path / "none.tif")
    with pytest.raises(InputError, match="没有影像"):
        rasters(tmp_path)
    (tmp_path / "a.tif").write_bytes(b"no picture")
    with pytest.raises(InputError, match="无法读取"):
        rasters(tmp_path)


def test_a_file_that_breaks_off_gives_a_reason_and_the_rest_is_drawn(tmp_path):
    whole = write(tmp_path / "b.tif", flat(GREEN), west=X0 + 400)
    noise = np.random.default_rng(0).integers(0, 255, (3, 300, 400), dtype="uint8")
    broken = write(tmp_path / "a.tif", noise, compress="deflate")
    known = rasters([whole, broken])
    content = broken.read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    with rasterio.open(whole):  # the file still opens if its directory stands in front
        found = photo(known, frame(X0 + 300, Y0 + 20, 200, 100), ZONE_38)
    assert "a.tif 读取失败" in found.reason
    assert near(colour_at(found, X0 + 480, Y0 + 70), GREEN)
    assert found.covered_share == pytest.approx(0.5, abs=0.02)


def test_what_is_no_number_is_no_data(tmp_path):
    bare = flat([0.5], dtype="float32").copy()
    bare[:, :, :200] = np.nan
    found = photo(write(tmp_path / "a.tif", bare), frame(X0 + 100, Y0 + 20, 200, 100), ZONE_38)
    assert "只覆盖本幅的 50%" in found.reason
    write(tmp_path / "a.tif", np.full_like(bare, np.nan))
    close()
    assert photo(tmp_path, frame(X0 + 100, Y0 + 20, 200, 100), ZONE_38).jpeg is None


def test_complex_numbers_are_no_picture(tmp_path):
    write(tmp_path / "radar.tif", flat([1], dtype="complex64"))
    with pytest.raises(InputError, match=r"radar\.tif 的像元是复数"):
        rasters(tmp_path)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("system", [ZONE_38, ZONE_39])
def test_a_large_file_cut_short_is_told_however_it_is_read(tmp_path, dtype, system):
    noise = np.random.default_rng(1).integers(0, 250, (3, 1100, 1200)).astype(dtype)
    whole = write(tmp_path / "whole.tif", noise, north=Y0 + 1100)
    (tmp_path / "cut.tif").write_bytes(whole.read_bytes()[:200_000])
    whole.unlink()
    corners = frame(X0 + 200, Y0, 500, 440)
    if system != ZONE_38:
        corners = np.array(transform(ZONE_38, system, *corners.T)).T
    found = photo(tmp_path, corners, system)
    assert "cut.tif 读取失败" in found.reason
    assert "不覆盖" not in found.reason


@pytest.mark.skipif(not SHARED.exists(), reason="the shared rasters are not here")
@pytest.mark.parametrize("name", ["cogeo.tif", "RGB.byte.tif", "SRTM.tif"])
def test_real_rasters_are_drawn_in_their_own_system_and_in_another(name):
    known = rasters(SHARED / name)
    with rasterio.open(SHARED / name) as data:
        lon, lat = (
            value[0]
            for value in transform(
                data.crs, "EPSG:4326", *([v] for v in data.xy(data.height // 2, data.width // 2))
            )
        )
    half, scale = (200, 2_000) if name == "cogeo.tif" else (2_000, 25_000)
    for crs in (f"EPSG:{32600 + int((lon + 186) // 6) + 100 * (lat < 0)}", "EPSG:3857"):
        (x,), (y,) = transform("EPSG:4326", crs, [lon], [lat])
        found = photo(known, frame(x - half, y - half, 2 * half, 2 * half), crs, scale=scale)
        assert found.covered_share > 0.5
        assert found.jpeg[:2] == b"\xff\xd8"
        assert pixels(found).std() > 1


def test_a_large_raster_of_sixteen_bits_is_sampled_by_windows(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SMALL_PX", 1_000)
    ramp = np.linspace(300, 2_300, 400).round().astype("uint16")
    known = rasters(write(tmp_path / "a.tif", np.broadcast_to(ramp, (1, 300, 400))))
    assert known.stretch[0] == pytest.approx((550, 2_250), abs=100)  # the windows lie inside
