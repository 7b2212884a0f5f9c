"""A border is off by as much as was asked for, everywhere, and still bounds one valid parcel."""

from dataclasses import replace

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.affinity import rotate, translate

from geo.sample import SampleSettings, county
from geo.sample.noise import dense_rings, digitised, displacement


def strips(count, width, length):
    turned = np.arange(count) * 0.7
    boxes = [shapely.box(0, 0, length, width) for _ in range(count)]
    return np.array(
        [
            translate(rotate(b, a, use_radians=True), 500 * n)
            for n, (b, a) in enumerate(zip(boxes, turned, strict=True))
        ]
    )


@given(
    low=st.floats(0, 3),
    more=st.floats(0, 3),
    seed=st.integers(0, 2**31),
    points=st.integers(4, 40),
    rings=st.integers(1, 5),
)
@settings(max_examples=60, deadline=None)
def test_every_displacement_is_within_the_limits(low, more, seed, points, rings):
    place = np.tile(np.arange(points) / points, rings)
    ring = np.repeat(np.arange(rings), points)
    move = displacement(place, ring, rings, (low, low + more), np.random.default_rng(seed))
    length = np.hypot(*move.T)
    assert length.min() >= low - 1e-9
    assert length.max() <= low + more + 1e-9


def test_displacement_turns_smoothly_along_the_ring():
    place = np.arange(720) / 720
    move = displacement(place, np.zeros(720, dtype=int), 1, (0.5, 3.0), np.random.default_rng(3))
    assert np.hypot(*np.diff(np.vstack((move, move[:1])), axis=0).T).max() < 0.15


@pytest.mark.parametrize("limits", [(0.5, 3.0), (0.5, 1.0), (2.0, 3.0)])
@pytest.mark.parametrize("width", [5.0, 12.0, 30.0])
def test_parcels_stay_valid_and_their_points_stay_within_the_limits(limits, width):
    truth = strips(60, width, 60.0)
    drawn = digitised(truth, limits, np.random.default_rng(1))
    assert shapely.is_valid(drawn).all()
    points, ring, _ = dense_rings(truth)
    moved, owner = shapely.get_coordinates(drawn, return_index=True)
    last = np.append(owner[1:] != owner[:-1], True)
    off = np.hypot(*(moved[~last] - points).T)
    assert (owner[~last] == ring).all()
    assert off.min() >= limits[0] - 1e-9
    assert off.max() <= limits[1] + 1e-9


def test_no_noise_leaves_the_parcel_where_it_is(clean, still):
    assert (still.parcels.geometry.symmetric_difference(still.truth_parcels.geometry).area < 0.001).all()
    moved = clean.parcels.geometry.symmetric_difference(clean.truth_parcels.geometry).area
    assert (moved > 1.0).mean() > 0.99


def test_neighbours_are_drawn_each_on_its_own(clean):
    overlap = clean.parcels.overlay(clean.parcels, how="intersection", keep_geom_type=True)
    apart = overlap[overlap["parcel_code_1"] < overlap["parcel_code_2"]]
    assert len(apart) > len(clean.parcels) / 2
    assert 0.005 < apart.area.sum() / clean.parcels.area.sum() < 0.15


def test_a_shift_moves_one_village_and_is_listed():
    base = SampleSettings(villages=1, seed=2, patches_per_village=50)
    one, other = county(base), county(replace(base, shift_m=6.0))
    step = shapely.get_coordinates(other.parcels.geometry.to_numpy()) - shapely.get_coordinates(
        one.parcels.geometry.to_numpy()
    )
    assert np.hypot(*step.T) == pytest.approx(6.0, abs=1e-6)
    assert list(other.truth_flaws["kind"]) == ["shifted_village"]
    assert (other.truth_parcels.geometry.to_numpy() == one.truth_parcels.geometry.to_numpy()).all()
