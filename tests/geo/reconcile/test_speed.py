"""Ratios, never seconds: the processor's time beside a named peer's, in one run on the same land."""

import time

import geopandas as gpd
import pytest

from geo.reconcile.classify import is_farmland
from geo.reconcile.overlay import overlay
from geo.sample import SampleSettings, county


def test_the_overlay_costs_less_than_two_thirds_of_its_peer():
    made = county(SampleSettings(villages=1, seed=5, patches_per_village=150))
    patches = made.survey.loc[is_farmland(made.survey["land_class"]), ["geometry"]].reset_index(drop=True)
    held = made.parcels["has_rights"] & made.parcels["parcel_class"].eq("10")
    parcels = made.parcels.loc[held, ["geometry"]].reset_index(drop=True)

    def ours():
        return overlay(patches, parcels).pieces

    def theirs():
        return gpd.overlay(patches, parcels, how="difference")

    def cost(work):
        start = time.process_time()
        area = work().geometry.area.sum()
        return time.process_time() - start, area

    seconds = {ours: [], theirs: []}
    for _ in range(3):
        areas = []
        for work, taken in seconds.items():
            spent, area = cost(work)
            taken.append(spent)
            areas.append(area)
        assert areas[0] == pytest.approx(areas[1], abs=1e-3)
    assert min(seconds[ours]) < min(seconds[theirs]) * 2 / 3
