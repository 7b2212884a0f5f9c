import geopandas as gpd
from shapely import box

from geo.reconcile.owner import owner_groups

X0, Y0 = 38_430_000, 4_196_000
VILLAGE, OTHER = "140725100202", "140725100203"


def layer(*shapes, **columns):
    return gpd.GeoDataFrame(
        columns, geometry=[box(X0 + w, Y0 + s, X0 + e, Y0 + n) for w, s, e, n in shapes], crs="EPSG:4526"
    )


def piece(owner=VILLAGE + "0000000", shape="BLOCK"):
    return layer((0, 0, 50, 50), village_code=[VILLAGE], owner_unit_code=[owner], piece_shape=[shape])


def parcels(*rows):
    """(west, issuer, village) of 20 m squares at the height of the piece."""
    return layer(
        *[(w, 0, w + 20, 20) for w, _, _ in rows],
        issuer_code=[i for _, i, _ in rows],
        village_code=[v for _, _, v in rows],
    )


def test_most_of_the_neighbours_decide():
    around = parcels(
        (52, VILLAGE + "01", VILLAGE), (73, VILLAGE + "01", VILLAGE), (-25, VILLAGE + "02", VILLAGE)
    )
    got = owner_groups(piece(), around).iloc[0]
    assert (got["group_code"], got["group_source"]) == (VILLAGE + "01", "NEIGHBOURS")
    assert 0.5 < got["group_confidence"] < 1


def test_parcels_of_another_village_have_no_say():
    around = parcels((52, OTHER + "01", OTHER), (73, VILLAGE + "02", VILLAGE))
    assert owner_groups(piece(), around)["group_code"].item() == VILLAGE + "02"


def test_the_nearest_parcel_speaks_where_none_is_near():
    got = owner_groups(piece(), parcels((150, VILLAGE + "03", VILLAGE))).iloc[0]
    assert (got["group_code"], got["group_source"]) == (VILLAGE + "03", "NEAREST")
    assert 0 < got["group_confidence"] < 0.5


def test_a_sliver_belongs_to_the_parcels_it_touches():
    around = parcels(
        (50, VILLAGE + "02", VILLAGE), (71, VILLAGE + "01", VILLAGE), (92, VILLAGE + "01", VILLAGE)
    )
    got = owner_groups(piece(shape="SLIVER"), around).iloc[0]
    assert (got["group_code"], got["group_source"]) == (VILLAGE + "02", "TOUCHING")


def test_without_neighbours_the_piece_is_the_villages():
    got = owner_groups(piece(), parcels((5_000, VILLAGE + "03", VILLAGE))).iloc[0]
    assert (got["group_code"], got["group_source"], got["group_confidence"]) == (VILLAGE + "00", "VILLAGE", 0)


def test_the_owner_unit_code_goes_before_the_neighbours():
    got = owner_groups(piece(VILLAGE + "0007000"), parcels((52, VILLAGE + "01", VILLAGE))).iloc[0]
    assert (got["group_code"], got["group_source"]) == (VILLAGE + "07", "OWNER_UNIT")


def test_a_group_boundary_goes_before_all():
    groups = layer(
        (-100, -100, 20, 100),
        (20, -100, 100, 100),
        group_code=[VILLAGE + "01", VILLAGE + "02"],
        village_code=VILLAGE,
    )
    got = owner_groups(
        piece(VILLAGE + "0007000"), parcels((52, VILLAGE + "01", VILLAGE)), groups=groups
    ).iloc[0]
    assert (got["group_code"], got["group_source"], got["group_confidence"]) == (
        VILLAGE + "02",
        "GROUP_BOUNDARY",
        0.6,
    )


def test_a_tie_goes_to_the_lesser_code():
    around = parcels((55, VILLAGE + "02", VILLAGE), (-25, VILLAGE + "01", VILLAGE))
    assert owner_groups(piece(), around)["group_code"].item() == VILLAGE + "01"


def test_a_piece_is_not_given_to_a_group_of_another_village_or_of_no_code():
    groups = layer(
        (-100, -100, 100, 100),
        (-100, -100, 100, 100),
        group_code=[OTHER + "03", "03"],
        village_code=[OTHER, VILLAGE],
    )
    got = owner_groups(piece(), parcels((52, VILLAGE + "01", VILLAGE)), groups=groups).iloc[0]
    assert (got["group_code"], got["group_source"]) == (VILLAGE + "01", "NEIGHBOURS")
