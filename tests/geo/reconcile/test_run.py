import geopandas as gpd
import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as options
from hypothesis import strategies as st
from shapely import GeometryCollection, Polygon, affinity

from geo.errors import InputError, MismatchError, MissingColumnError, MissingDatumError
from geo.reconcile import Settings, reconcile
from tests.geo.reconcile.land import CRS, GROUP, VILLAGE, X0, Y0, parcels, square, survey

PATCH = square(0, 0, 100, 100)
COVERED = square(0, 0, 60, 100)
OTHER = "140725100203"


def findings(result, rule):
    return result.findings[result.findings["rule"] == rule]


def test_sixty_of_a_hundred_metres_covered_leave_4000_m2_and_3728_net():
    got = reconcile(
        survey((PATCH, {"ridge_ratio": 0.068, "slope_class": "2", "terrace_kind": "TT"})),
        parcels((COVERED, {})),
    )
    patch, piece = got.patches.iloc[0], got.pieces.iloc[0]
    assert (patch["covered_area_m2"], patch["residual_area_m2"]) == (6000.00, 4000.00)
    assert (piece["area_m2"], piece["area_mu"], piece["net_area_m2"]) == (4000.00, 6.00, 3728.00)
    assert (piece["piece_shape"], piece["piece_class"]) == ("BLOCK", "UNDETERMINED")
    assert (piece["piece_key"], piece["piece_code"]) == (f"{GROUP}-0001", f"{GROUP}-D-0001")


def test_the_official_area_rules_and_its_parts_fill_it():
    got = reconcile(survey((PATCH, {"patch_area_m2": 10004.29})), parcels((COVERED, {})))
    assert got.patches["covered_area_m2"].item() == 6002.57
    assert got.pieces["area_m2"].item() == 4001.72


def test_two_parcels_over_each_other_cover_once_and_are_listed_with_both_codes():
    got = reconcile(survey((PATCH, {})), parcels((square(0, 0, 33, 100), {}), (square(30, 0, 60, 100), {})))
    assert got.patches["covered_area_m2"].item() == 6000.00
    row = findings(got, "parcel_overlap").iloc[0]
    assert row["row_code"] == f"{GROUP}00001;{GROUP}00002"
    assert "300.00 m²" in row["message"]


@pytest.mark.parametrize("kind", ["21", "22", "23", "99"])
def test_only_contract_land_takes_land_out(kind):
    got = reconcile(
        survey((PATCH, {})),
        parcels(
            (square(0, 0, 40, 100), {}),
            (square(40, 0, 100, 100), {"parcel_class": kind, "has_rights": False}),
        ),
    )
    assert got.patches["covered_area_m2"].item() == 4000.00
    assert got.pieces["class_source"].item() == "PARCEL_EVIDENCE"
    assert f"{GROUP}00002" in got.pieces["evidence_parcels"].item()


def test_a_contract_parcel_without_rights_record_does_not_count_and_is_said():
    got = reconcile(
        survey((PATCH, {})),
        parcels((square(0, 0, 40, 100), {}), (square(40, 0, 100, 100), {"has_rights": False})),
    )
    assert got.patches["covered_area_m2"].item() == 4000.00
    assert findings(got, "parcel_without_rights")["row_code"].tolist() == [f"{GROUP}00002"]


def test_without_any_rights_record_contract_land_counts_and_that_is_an_error_finding():
    got = reconcile(survey((PATCH, {})), parcels((COVERED, {"has_rights": False})))
    assert got.patches["covered_area_m2"].item() == 6000.00
    assert findings(got, "rights_absent")["severity"].tolist() == ["error"]


def test_state_land_is_in_neither_class_and_stands_beside_the_farmland():
    state = square(200, 0, 300, 100)
    got = reconcile(survey((PATCH, {}), (state, {"ownership_kind": "20"})), parcels((COVERED, {})))
    county = got.balance[got.balance["level"] == "county"].iloc[0]
    assert (county["farmland_m2"], county["state_m2"]) == (10000.00, 10000.00)
    assert len(got.pieces) == 1
    assert got.patches["patch_kind"].tolist() == ["COLLECTIVE", "STATE"]
    assert len(findings(got, "state_land")) == 1


def test_an_enclave_counts_for_its_owner():
    enclave = square(200, 0, 300, 100)
    land = survey((PATCH, {}), (enclave, {"owner_unit_code": OTHER + "0000000", "is_enclave": True}))
    got = reconcile(land, parcels((COVERED, {})))
    village = got.balance[got.balance["level"] == "village"].set_index("code")["farmland_m2"]
    assert village.to_dict() == {VILLAGE: 10000.00, OTHER: 10000.00}
    piece = got.pieces[got.pieces["is_enclave"]].iloc[0]
    assert (piece["village_code"], piece["group_code"]) == (OTHER, OTHER + "00")


def test_a_share_based_village_is_not_flooded_with_pieces():
    rights = pd.DataFrame(
        {"parcel_code": [f"{GROUP}9000{n}" for n in range(3)], "issuer_code": GROUP, "share_based": True}
    )
    got = reconcile(survey((PATCH, {})), parcels((square(500, 0, 510, 10), {})), rights=rights)
    county = got.balance[got.balance["level"] == "county"].iloc[0]
    assert (len(got.pieces), county["farmland_m2"], county["share_based_m2"]) == (0, 0.00, 10000.00)
    assert findings(got, "share_based_village")["village_code"].tolist() == [VILLAGE]


def test_other_land_than_farmland_is_not_laid_out():
    got = reconcile(
        survey((PATCH, {"land_class": "0301"}), (square(200, 0, 300, 100), {})), parcels((COVERED, {}))
    )
    assert got.patches["land_class"].tolist() == ["0103"]


def test_an_island_in_a_hole_of_the_parcels_is_not_lost():
    ring = Polygon(square(0, 0, 100, 100).exterior, [square(20, 20, 80, 80).exterior])
    got = reconcile(survey((PATCH, {})), parcels((ring, {}), (square(40, 40, 60, 60), {})))
    assert got.pieces["area_m2"].sum() == 3200.00
    assert got.patches["covered_area_m2"].item() == 6800.00


def test_a_self_crossing_parcel_is_repaired_with_its_area_before_and_after():
    bow = Polygon([(X0, Y0), (X0 + 60, Y0 + 100), (X0 + 60, Y0), (X0, Y0 + 100)])
    got = reconcile(survey((PATCH, {})), parcels((bow, {})))
    row = findings(got, "geometry_repaired").iloc[0]
    assert (row["area_before_m2"], row["area_after_m2"]) == (0.00, 3000.00)
    assert got.patches["covered_area_m2"].item() == 3000.00


def test_a_patch_without_geometry_is_said_with_its_area():
    land = survey((PATCH, {}), (square(200, 0, 300, 100), {"patch_area_m2": 777.77}))
    land.loc[1, "geometry"] = None
    got = reconcile(land, parcels((COVERED, {})))
    assert findings(got, "patch_not_laid")["area_before_m2"].tolist() == [777.77]


def test_a_missing_area_is_taken_from_the_geometry_and_said():
    got = reconcile(survey((PATCH, {"patch_area_m2": None})), parcels((COVERED, {})))
    assert got.patches["patch_area_m2"].item() == pytest.approx(10_000, abs=0.01)
    assert len(findings(got, "survey_area_missing")) == 1


def test_adding_a_parcel_and_a_patch_leaves_every_other_code_as_it_was():
    land = [(square(200 * n, 0, 200 * n + 100, 100), {}) for n in range(4)]
    held = [(square(200 * n, 0, 200 * n + 30, 100), {}) for n in range(4)]
    first = reconcile(survey(*land), parcels(*held), run_id="1")
    more_land = [*land, (square(-200, 300, -100, 400), {})]
    more_held = [*held, (square(230, 0, 330, 100), {})]
    second = reconcile(survey(*more_land), parcels(*more_held), previous=first.tables(), run_id="2")
    before = first.pieces.set_index("patch_code")["piece_code"]
    after = second.pieces.set_index("patch_code")["piece_code"]
    kept = [f"{VILLAGE}-{n:04d}" for n in (1, 3, 4)]
    assert after[kept].tolist() == before[kept].tolist()
    assert after[f"{VILLAGE}-0005"][-4:] == "0005"
    gone = second.code_register.set_index("piece_code")["status"]
    assert gone[before[f"{VILLAGE}-0002"]] == "SUPERSEDED"


def test_the_state_of_a_piece_is_carried_over():
    first = reconcile(survey((PATCH, {})), parcels((COVERED, {})), run_id="1")
    tables = first.tables() | {"pieces": first.pieces.assign(state="identified")}
    second = reconcile(survey((PATCH, {})), parcels((COVERED, {})), previous=tables, run_id="2")
    assert second.pieces["state"].tolist() == ["identified"]


def test_a_parcel_in_another_village_is_found():
    villages = gpd.GeoDataFrame(
        {"village_code": [VILLAGE, OTHER], "village_name": ["南村", "北村"]},
        geometry=[square(-50, -50, 150, 150), square(150, -50, 400, 150)],
        crs=CRS,
    )
    held = [(COVERED, {}), (square(10, 10, 20, 20), {}), (square(200, 0, 250, 50), {})]
    got = reconcile(survey((PATCH, {})), parcels(*held), villages=villages)
    assert findings(got, "parcel_wrong_village")["row_code"].tolist() == [f"{GROUP}00003"]


def test_group_rows_of_the_balance_split_the_cover_between_the_issuers():
    second = {"issuer_code": VILLAGE + "02"}
    got = reconcile(
        survey((PATCH, {})), parcels((square(0, 0, 20, 100), {}), (square(20, 0, 60, 100), second))
    )
    groups = got.balance[got.balance["level"] == "group"].set_index("code")
    assert groups["covered_m2"].to_dict() == {GROUP: 2000.00, VILLAGE + "02": 4000.00}


@pytest.mark.parametrize(
    ("land", "error"),
    [
        (survey((PATCH, {})).drop(columns="land_class"), MissingColumnError),
        (survey((PATCH, {})).set_crs(None, allow_override=True), MissingDatumError),
        (survey((PATCH, {})).set_crs("EPSG:4525", allow_override=True), MismatchError),
        (survey((PATCH, {})).to_crs("EPSG:4490"), MissingDatumError),
    ],
)
def test_layers_that_cannot_be_laid_over_each_other_are_refused(land, error):
    with pytest.raises(error):
        reconcile(land, parcels((COVERED, {})))


def test_an_enclave_keeps_its_owners_group_and_groups_add_up_to_their_village():
    groups = gpd.GeoDataFrame(
        {"group_code": [GROUP], "group_name": ["一组"]}, geometry=[square(-50, -50, 400, 150)], crs=CRS
    )
    enclave = square(200, 0, 300, 100)
    land = survey((PATCH, {}), (enclave, {"owner_unit_code": OTHER + "0000000", "is_enclave": True}))
    got = reconcile(land, parcels((COVERED, {})), groups=groups)
    assert got.pieces.set_index("village_code")["group_code"].to_dict() == {
        VILLAGE: GROUP,
        OTHER: OTHER + "00",
    }
    group = got.balance[got.balance["level"] == "group"].set_index("code")["farmland_m2"]
    assert group.to_dict() == {GROUP: 10000.00, OTHER + "00": 10000.00}


def test_rights_that_name_no_parcel_stop_the_run():
    rights = pd.DataFrame({"parcel_code": ["9" * 19], "issuer_code": [GROUP]})
    with pytest.raises(MismatchError, match="没有一条"):
        reconcile(survey((PATCH, {})), parcels((COVERED, {"has_rights": False})), rights=rights)


def test_rights_are_joined_where_parcels_do_not_say_who_has_them():
    held = parcels((COVERED, {}), (square(60, 0, 80, 100), {})).drop(columns="has_rights")
    rights = pd.DataFrame({"parcel_code": [f"{GROUP}00001"], "issuer_code": [GROUP]})
    assert reconcile(survey((PATCH, {})), held, rights=rights).patches["covered_area_m2"].item() == 6000.00


@pytest.mark.parametrize(
    "land", [survey((PATCH, {"land_class": "0201"})), survey((None, {"patch_area_m2": 5.0}))]
)
def test_a_survey_without_farmland_to_lay_out_is_refused(land):
    with pytest.raises(InputError, match="没有可套合的耕地"):
        reconcile(land, parcels((COVERED, {})))


def test_a_point_among_the_parcels_is_said_and_a_collection_gives_its_land():
    mixed = GeometryCollection([COVERED, square(0, 0, 1, 1).centroid])
    got = reconcile(survey((PATCH, {})), parcels((mixed, {}), (PATCH.centroid, {})))
    assert got.patches["covered_area_m2"].item() == 6000.00
    assert findings(got, "geometry_not_land")["row_code"].tolist() == [f"{GROUP}00002"]


@pytest.mark.parametrize("area", [float("inf"), 1e300, -5.0, 0.0])
def test_an_impossible_official_area_is_replaced_and_said(area):
    got = reconcile(survey((PATCH, {"patch_area_m2": area})), parcels((COVERED, {})))
    assert got.patches["patch_area_m2"].item() == pytest.approx(10_000, abs=0.01)
    assert len(findings(got, "survey_area_missing")) == 1


def test_a_group_boundary_without_14_digits_is_said_and_not_used():
    groups = gpd.GeoDataFrame(
        {"group_code": ["03"], "group_name": ["三组"]}, geometry=[square(-50, -50, 400, 150)], crs=CRS
    )
    got = reconcile(survey((PATCH, {})), parcels((COVERED, {})), groups=groups)
    assert got.pieces["group_code"].tolist() == [GROUP]
    assert len(findings(got, "group_code_form")) == 1


def test_state_land_has_no_pieces_and_says_none():
    got = reconcile(
        survey((PATCH, {"ownership_kind": "20"}), (square(200, 0, 300, 100), {})), parcels((COVERED, {}))
    )
    assert got.patches["piece_count"].tolist() == [0, 1]


@st.composite
def lands(draw):
    """A few patches in a row, and parcels turned and strewn over them."""
    width = draw(st.lists(st.integers(20, 120), min_size=1, max_size=4))
    patches, at = [], 0
    for w in width:
        official = draw(st.floats(0.99, 1.01)) * w * 80
        more = {
            "patch_area_m2": round(official, 2),
            "ridge_ratio": draw(st.sampled_from([0.0, 0.068, 0.1195])),
        }
        patches.append((square(at, 0, at + w, 80), more))
        at += w
    held = []
    for _ in range(draw(st.integers(1, 8))):
        west, south = draw(st.integers(-20, at)), draw(st.integers(-20, 80))
        shape = square(west, south, west + draw(st.integers(5, 70)), south + draw(st.integers(5, 50)))
        held.append((affinity.rotate(shape, draw(st.integers(0, 89))), {}))
    return survey(*patches), parcels(*held)


@options(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(lands())
def test_covered_and_pieces_fill_every_patch_and_every_level_to_the_cent(land):
    got = reconcile(*land, settings=Settings(jobs=1))

    def cents(values):
        return (values * 100).round().astype(int)

    left = cents(got.pieces["area_m2"]).groupby(got.pieces["patch_code"]).sum()
    patches = got.patches.set_index("patch_code")
    left = left.reindex(patches.index, fill_value=0)
    assert (cents(patches["covered_area_m2"]) + left).equals(cents(patches["patch_area_m2"]))
    parts = got.balance[["covered_m2", "block_m2", "strip_m2", "sliver_m2"]]
    assert cents(got.balance["farmland_m2"]).equals(cents(parts).sum(axis=1))


@options(max_examples=5, suppress_health_check=[HealthCheck.too_slow])
@given(lands(), st.randoms(use_true_random=False))
def test_the_order_of_rows_and_the_number_of_jobs_do_not_matter(land, random):
    patches, held = land
    shuffled = [table.sample(frac=1, random_state=random.randrange(1000)) for table in (patches, held)]
    one = reconcile(patches, held, settings=Settings(jobs=1))
    other = reconcile(*shuffled, settings=Settings(jobs=2))
    for name, table in one.tables().items():
        pd.testing.assert_frame_equal(table, other.tables()[name], check_like=False)
