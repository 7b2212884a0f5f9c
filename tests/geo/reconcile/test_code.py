import geopandas as gpd
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import box

from geo.reconcile.code import allocate

GROUP = "14072510020201"
X0, Y0 = 38_430_000, 4_196_000


def pieces(*places, group=GROUP, piece_class="UNCONFIRMED", shape="BLOCK", size=50):
    """Squares at (east, north) metres, a piece each."""
    table = pd.DataFrame(
        {
            "group_code": group,
            "piece_class": piece_class,
            "piece_shape": shape,
            "patch_code": [f"p{n}" for n in range(len(places))],
        },
        index=range(len(places)),
    )
    squares = [box(X0 + x, Y0 + y, X0 + x + size, Y0 + y + size) for x, y in places]
    return gpd.GeoDataFrame(table, geometry=squares, crs="EPSG:4526")


def again(first, new, run_id="run2"):
    return allocate(new, run_id=run_id, previous=first.pieces, register=first.register)


def test_numbers_run_west_to_east_then_north_to_south():
    given_out = allocate(pieces((600, 0), (0, 0), (0, 900), (600, 900)), run_id="run1")
    assert given_out.pieces["piece_code"].str[-4:].tolist() == ["0004", "0003", "0001", "0002"]


def test_the_printed_code_carries_the_letter_of_the_class():
    three = pd.concat(
        [
            pieces((0, 0), piece_class="UNCONFIRMED"),
            pieces((100, 0), piece_class="NEWLY_ADDED"),
            pieces((200, 0), piece_class="UNDETERMINED"),
        ],
        ignore_index=True,
    )
    codes = allocate(three, run_id="r").pieces["piece_code"].tolist()
    assert codes == [f"{GROUP}-W-0001", f"{GROUP}-X-0002", f"{GROUP}-D-0003"]


def test_blocks_are_numbered_before_strips_and_slivers():
    mixed = pd.concat(
        [pieces((0, 0), shape="SLIVER"), pieces((100, 0), shape="STRIP"), pieces((200, 0), shape="BLOCK")],
        ignore_index=True,
    )
    assert allocate(mixed, run_id="r").pieces["piece_key"].str[-4:].tolist() == ["0003", "0002", "0001"]


def test_a_new_piece_west_of_all_takes_the_next_number():
    first = allocate(pieces((500, 0), (600, 0)), run_id="run1")
    second = again(first, pieces((0, 0), (500, 0), (600, 0)))
    assert second.pieces["piece_key"].str[-4:].tolist() == ["0003", "0001", "0002"]


def test_the_number_of_a_lost_piece_never_comes_back():
    first = allocate(pieces((0, 0), (100, 0), (200, 0)), run_id="run1")
    second = again(first, pieces((0, 0), (200, 0)))
    third = again(second, pieces((0, 0), (100, 0), (200, 0)), run_id="run3")
    assert third.pieces["piece_key"].str[-4:].tolist() == ["0001", "0004", "0003"]
    status = third.register.set_index("piece_key")["status"]
    assert status[f"{GROUP}-0002"] == "SUPERSEDED"
    assert len(third.register) == 4


def test_a_piece_that_shrank_keeps_its_code_and_its_larger_half_does():
    first = allocate(pieces((0, 0)), run_id="run1")
    halves = pieces((0, 0), (30, 0), size=20)
    halves.loc[1, "geometry"] = box(X0 + 25, Y0, X0 + 50, Y0 + 50)
    second = again(first, halves)
    assert second.pieces["piece_key"].str[-4:].tolist() == ["0002", "0001"]


def test_two_pieces_grown_together_keep_one_code_and_retire_the_other():
    first = allocate(pieces((0, 0), (50, 0)), run_id="run1")
    whole = pieces((0, 0))
    whole.loc[0, "geometry"] = box(X0, Y0, X0 + 100, Y0 + 50)
    second = again(first, whole)
    assert second.pieces["piece_key"].tolist() == [f"{GROUP}-0001"]
    assert second.register["status"].tolist() == ["ISSUED", "SUPERSEDED"]


def test_a_changed_class_or_group_leaves_the_printed_code_and_says_so():
    first = allocate(pieces((0, 0)), run_id="run1")
    second = again(first, pieces((0, 0), group="14072510020202", piece_class="NEWLY_ADDED"))
    assert second.pieces["piece_code"].tolist() == [f"{GROUP}-W-0001"]
    assert second.pieces["group_code"].tolist() == [GROUP]
    assert set(second.findings["rule"]) == {"piece_group_changed", "piece_class_changed"}


def test_a_group_that_runs_out_says_so_and_loses_nothing():
    first = allocate(pieces((0, 0)), run_id="run1")
    register = first.register.assign(serial=9999, piece_key=f"{GROUP}-9999")
    late = allocate(pieces((500, 0)), run_id="run2", register=register)
    assert late.pieces["piece_code"].tolist() == [""]
    assert late.findings["rule"].tolist() == ["codes_exhausted"]


@given(
    order=st.permutations(range(6)), east=st.lists(st.integers(0, 40), min_size=6, max_size=6, unique=True)
)
def test_the_order_of_rows_does_not_matter(order, east):
    land = pieces(*[(60 * x, 37 * x % 400) for x in east])
    straight = allocate(land, run_id="r").pieces
    shuffled = allocate(land.iloc[list(order)], run_id="r").pieces
    assert shuffled["piece_key"].sort_index().tolist() == straight["piece_key"].tolist()


@given(
    before=st.sets(st.integers(0, 30), max_size=12),
    after=st.sets(st.integers(0, 30), max_size=12),
    later=st.sets(st.integers(0, 30), max_size=12),
)
def test_codes_are_unique_never_move_and_never_come_back(before, after, later):
    issued: dict[str, int] = {}
    last, register = None, None
    for run, places in enumerate((before, after, later)):
        land = pieces(*[(60 * x, 0) for x in sorted(places)])
        got = allocate(land, run_id=str(run), previous=last, register=register)
        assert got.pieces["piece_key"].is_unique
        for key, place in zip(got.pieces["piece_key"], sorted(places), strict=True):
            assert issued.setdefault(key, place) == place
        last, register = got.pieces, got.register
    assert set(register["piece_key"]) == set(issued)


@pytest.mark.parametrize("repeat", [1, 3])
def test_the_same_run_again_changes_nothing(repeat):
    first = allocate(pieces((0, 0), (100, 0)), run_id="run1")
    last = first
    for _ in range(repeat):
        last = again(last, pieces((0, 0), (100, 0)), run_id="run1")
    pd.testing.assert_frame_equal(last.register, first.register)


def test_a_field_that_a_sliver_grew_into_is_another_piece():
    first = allocate(pieces((0, 0), shape="SLIVER", size=7), run_id="run1")
    second = again(first, pieces((0, 0), size=95))
    assert second.pieces["piece_key"].tolist() == [f"{GROUP}-0002"]
    assert second.register["status"].tolist() == ["SUPERSEDED", "ISSUED"]


def test_a_piece_whose_outline_changed_keeps_its_code_and_says_so():
    first = allocate(pieces((0, 0), size=50), run_id="run1")
    second = again(first, pieces((0, 0), size=60))
    assert second.pieces["piece_key"].tolist() == [f"{GROUP}-0001"]
    row = second.findings[second.findings["rule"] == "piece_outline_changed"].iloc[0]
    assert (row["area_before_m2"], row["area_after_m2"]) == (2500.00, 3600.00)


def test_codes_hold_when_the_same_land_comes_in_another_zone_form():
    first = allocate(pieces((0, 0), (100, 0)), run_id="run1")
    second = again(first, pieces((0, 0), (100, 0)).to_crs("EPSG:4547"))
    assert second.pieces["piece_key"].tolist() == first.pieces["piece_key"].tolist()


@pytest.mark.parametrize("shape", ["STRIP", "SLIVER"])
def test_a_printed_block_that_is_one_no_more_keeps_its_code_and_is_said(shape):
    first = allocate(pieces((0, 0), (100, 0)), run_id="run1")
    now = pieces((0, 0), (100, 0)).assign(piece_shape=[shape, "BLOCK"])
    second = again(first, now)
    assert second.pieces["piece_code"].tolist() == first.pieces["piece_code"].tolist()
    assert second.findings["rule"].tolist() == ["piece_shape_changed"]
    assert second.findings["row_code"].tolist() == [first.pieces["piece_code"][0]]


def test_a_strip_that_grows_to_a_block_or_stays_one_is_no_finding():
    first = allocate(pieces((0, 0), (100, 0), shape="STRIP"), run_id="run1")
    second = again(first, pieces((0, 0), (100, 0)).assign(piece_shape=["STRIP", "BLOCK"]))
    assert second.findings.empty
