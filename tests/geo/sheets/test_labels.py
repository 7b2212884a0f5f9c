"""Labels: none on another, none lost, none outside, whatever the pieces are."""

import time

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geo.sheets.labels import LabelSettings, place_labels, text_width

WINDOW = np.array([[0, 0], [0, 500], [500, 500], [500, 0]], dtype=float)
TURNED = np.array([[10, 0], [0, 400], [490, 410], [500, 10]], dtype=float)  # a sheet off its meridian


def blobs(count, low, high, span, *, start=0.0, seed=0):  # noqa: PLR0913 - a scene has many sides
    """Irregular pieces of ``low`` to ``high`` mm about points in a square."""
    rng = np.random.default_rng(seed)
    out = []
    for x, y in start + rng.random((count, 2)) * span:
        angle = np.sort(rng.random(7)) * 2 * np.pi
        reach = rng.uniform(low, high) * rng.uniform(0.5, 1, 7)
        flat = rng.uniform(0.3, 1)
        out.append(
            shapely.Polygon(np.column_stack([x + reach * np.cos(angle), y + reach * np.sin(angle) * flat]))
        )
    return shapely.make_valid(np.array(out, dtype=object))


def texts_of(shapes):
    return [
        ((f"W-{n:04d}", f"{shape.area * 0.006:.2f}亩"), (f"W-{n:04d}",)) for n, shape in enumerate(shapes)
    ]


def keys_of(shapes):
    return [str(n + 1) for n in range(len(shapes))]


def place(shapes, **more):
    more = {"window": WINDOW} | more
    texts = more.pop("texts") if "texts" in more else texts_of(shapes)
    return place_labels(shapes, texts, keys_of(shapes), **more)


def faults(labels, window=WINDOW, obstacles=()):
    """Boxes that overlap, leaders through a box, leaders that cross, boxes outside, on obstacles: by shapely alone."""
    there = np.flatnonzero(~np.isnan(labels.boxes[:, 0]))
    led = np.flatnonzero(~np.isnan(labels.leaders[:, 0]))
    boxes = shapely.box(*labels.boxes[there].T)
    lines = shapely.linestrings(labels.leaders[led].reshape(-1, 2, 2))
    tree = shapely.STRtree(boxes)
    inner = shapely.buffer(boxes, -1e-6, join_style="mitre")
    one, other = tree.query(inner, predicate="intersects")
    line, box = tree.query(lines, predicate="intersects")
    a, b = shapely.STRtree(lines).query(lines, predicate="intersects")
    blocked, _ = shapely.STRtree(np.array([shapely.box(*o) for o in obstacles], dtype=object)).query(
        inner, predicate="intersects"
    )
    held = shapely.covers(shapely.buffer(shapely.Polygon(window), 1e-6), boxes)
    return (
        int((one < other).sum()),
        int((led[line] != there[box]).sum()),
        int((a < b).sum()),
        int((~held).sum()),
        len(blocked),
    )


SCENES = {
    "40 spread": (40, 4, 20, 500, 0),
    "120 spread": (120, 3, 12, 500, 0),
    "120 clustered": (120, 2, 6, 120, 180),
    "300 spread": (300, 3, 10, 500, 0),
}


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("seed", range(3))
def test_no_two_labels_overlap_and_none_is_lost(name, seed):
    count, low, high, span, start = SCENES[name]
    labels = place(blobs(count, low, high, span, start=start, seed=seed))
    assert faults(labels) == (0, 0, 0, 0, 0)
    assert "table" not in labels.how
    assert labels.how.count("key") <= count // 15


def test_three_hundred_labels_take_a_third_of_a_second_of_processor_time():
    shapes = blobs(300, 3, 10, 500)
    place(shapes)  # the first call makes tables that are kept
    start = time.process_time()
    place(shapes)
    assert time.process_time() - start < 1.0  # 0.16 s measured; other work on the machine slows it down


def test_time_grows_with_the_number_of_pieces_not_its_square():
    def seconds(count):
        span = 500 * (count / 300) ** 0.5  # the same number of pieces on a square metre
        window = np.array([[0, 0], [0, span], [span, span], [span, 0]])
        shapes = blobs(count, 3, 10, span)
        start = time.process_time()
        place(shapes, window=window)
        return time.process_time() - start

    seconds(100)
    assert seconds(2400) < 8 * 3 * seconds(300)


def test_a_map_too_full_gives_up_texts_then_numbers_and_says_so():
    shapes = blobs(700, 0.5, 2, 120)
    window = WINDOW * 0.3
    labels = place(shapes, window=window)
    assert faults(labels, window) == (0, 0, 0, 0, 0)
    assert {"leader", "key", "table"} <= set(labels.how)
    missing = np.isnan(labels.boxes[:, 0])
    assert [how == "table" for how in labels.how] == missing.tolist()


pieces = st.lists(
    st.tuples(st.floats(-20, 520), st.floats(-20, 520), st.floats(0.05, 60), st.floats(0.05, 60)),
    min_size=1,
    max_size=40,
)
obstacle = st.tuples(st.floats(0, 450), st.floats(0, 380), st.floats(1, 60), st.floats(1, 30))


@given(pieces, st.lists(obstacle, max_size=4), st.sampled_from([WINDOW, TURNED]))
def test_labels_of_any_pieces_keep_clear_of_each_other_of_obstacles_and_of_the_edge(
    rectangles, furniture, window
):
    shapes = shapely.intersection(
        np.array([shapely.box(x, y, x + w, y + h) for x, y, w, h in rectangles], dtype=object),
        shapely.Polygon(window),
    )
    taken = np.array([(x, y, x + w, y + h) for x, y, w, h in furniture]).reshape(-1, 4)
    labels = place(shapes, window=window, obstacles=taken)
    assert faults(labels, window, taken) == (0, 0, 0, 0, 0)
    assert len(labels.how) == len(shapes)
    shown = [how != "table" for how in labels.how]
    assert shown == (~np.isnan(labels.boxes[:, 0])).tolist()


@given(st.permutations(range(30)))
def test_the_order_of_rows_moves_no_label(order):
    shapes, order = blobs(30, 3, 12, 90, start=100), list(order)
    texts = texts_of(shapes)
    straight = place(shapes, texts=texts)
    mixed = place_labels(
        shapes[order], [texts[i] for i in order], [keys_of(shapes)[i] for i in order], window=WINDOW
    )
    assert mixed.how == tuple(straight.how[i] for i in order)
    np.testing.assert_array_equal(mixed.boxes, straight.boxes[order])
    np.testing.assert_array_equal(mixed.leaders, straight.leaders[order])


def test_a_label_that_fits_stands_inside_its_piece():
    labels = place(np.array([shapely.box(100, 100, 140, 130)], dtype=object))
    assert labels.how == ("inside",)
    assert shapely.box(100, 100, 140, 130).contains(shapely.box(*labels.boxes[0]))


def test_a_small_piece_has_its_label_beside_it_and_a_line_to_it():
    piece = shapely.box(100, 100, 103, 102)
    labels = place(np.array([piece], dtype=object))
    assert labels.how == ("leader",)
    start, end = labels.leaders[0].reshape(2, 2)
    assert piece.contains(shapely.Point(start))
    assert shapely.box(*labels.boxes[0]).distance(shapely.Point(end)) < 1e-9
    assert np.hypot(*(end - start)) < 6


def test_a_long_low_piece_takes_its_label_on_one_line():
    shape = shapely.box(100, 100, 180, 104)
    labels = place(np.array([shape], dtype=object), texts=[(("W-0001", "0.48亩"), ("W-0001 0.48亩",))])
    assert (labels.how, labels.variant.tolist()) == (("inside",), [1])


def test_where_there_is_room_for_nothing_else_the_key_number_stands():
    window = np.array([[0, 0], [0, 8], [8, 8], [8, 0]], dtype=float)
    labels = place(np.array([shapely.box(1, 1, 7, 7)], dtype=object), window=window)
    assert labels.how == ("key",)
    left, bottom, right, top = labels.boxes[0]
    assert right - left == pytest.approx(top - bottom)  # room for a circle


def test_the_more_important_label_comes_first():
    shapes = np.array([shapely.box(100, 100, 112, 108), shapely.box(100, 100, 112, 108)], dtype=object)
    assert place(shapes, priority=[1, 0]).how[1] == "inside"
    assert place(shapes, priority=[0, 1]).how[0] == "inside"


def test_a_piece_in_parts_is_labelled_on_its_largest():
    large = shapely.box(200, 200, 240, 240)
    shape = shapely.MultiPolygon([shapely.box(0, 0, 20, 20), large])
    labels = place(np.array([shape], dtype=object))
    assert large.contains(shapely.box(*labels.boxes[0]))


def test_a_piece_that_only_touches_the_map_stands_in_the_table():
    labels = place(np.array([shapely.Polygon(), None], dtype=object), texts=[(("W-0001",),), (("W-0002",),)])
    assert labels.how == ("table", "table")


def test_no_pieces_have_no_labels():
    assert place(np.empty(0, dtype=object), texts=[]).how == ()


def test_a_wider_font_makes_wider_boxes():
    shape = np.array([shapely.box(100, 100, 160, 140)], dtype=object)
    narrow, wide = (place(shape, measure=lambda t, s, f=f: f * text_width(t, s)).boxes[0] for f in (1, 2))
    pad = 2 * LabelSettings().pad_mm
    assert wide[2] - wide[0] - pad == pytest.approx(2 * (narrow[2] - narrow[0] - pad))


@pytest.mark.parametrize(("text", "ems"), [("未确权地", 4), ("0001", 2.2), ("5.84亩", 3.2)])
def test_chinese_letters_count_a_full_em(text, ems):
    assert text_width(text, 72) == pytest.approx(ems * 25.4)
