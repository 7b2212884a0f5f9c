"""What every store promises, whichever database holds it."""

import json

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from shapely.geometry import MultiPolygon, box
from sqlalchemy import Column, MetaData, Table, Text, insert, select

from geo import schema, workspace
from geo.errors import (
    ConditionError,
    ForbiddenError,
    GeometryTypeError,
    InputError,
    MismatchError,
    StaleError,
    UnknownRowError,
    WorkspaceError,
)
from geo.store import EVERYTHING, Query, Scope, open_store
from geo.store.query import (
    All,
    Any,
    Between,
    Compare,
    In,
    Intersects,
    IsNull,
    Like,
    Not,
    Within,
)
from tests.geo.county import CRS, D_CODE, LOWER, STRIP_CODE, UPPER, W_CODE, X0, X_CODE, Y0, county_tables

OF_UPPER = Scope(frozenset({UPPER}), personal=True)
NO_NAMES = Scope(None, personal=False)
KEY = f"{UPPER}01-0001"
CASE = {
    "piece_key": KEY,
    "piece_code": W_CODE,
    "village_code": UPPER,
    "state": "identified",
    "owner_name": "张三",
}


def codes(store, **asked):
    scope = asked.pop("scope", EVERYTHING)
    return store.query("pieces", Query(**asked), scope).rows["piece_code"].tolist()


def put_case(store, **more):
    with store.write(actor="李", why="现场") as change:
        return change.insert("cases", {**CASE, **more})


# --- questions -------------------------------------------------------------------------------------


def test_a_page_has_the_rows_as_the_workspace_reads_them(still):
    page = still.query("pieces", Query(), EVERYTHING)
    whole = still.workspace.read("pieces")
    pd.testing.assert_frame_equal(page.rows.drop(columns=["fid", "geometry"]), whole.drop(columns="geometry"))
    assert shapely.equals_exact(page.rows.geometry.to_numpy(), whole.geometry.to_numpy(), 0).all()
    assert isinstance(page.rows, gpd.GeoDataFrame)
    assert page.rows.crs == still.workspace.crs
    assert page.after is None
    assert page.matched == 5


def test_every_layer_can_be_asked_for(still):
    for layer in schema.LAYER_TITLES:
        rows = still.query(layer, Query(), EVERYTHING).rows
        assert [*rows.columns][: -1 if layer in workspace.GEOMETRIES else None] == [
            "fid",
            *schema.column_names(layer),
        ]
        assert still.count(layer, None, EVERYTHING) == len(rows)


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (Compare("state", "=", "candidate"), 5),
        (Compare("piece_code", "=", W_CODE), 1),
        (Compare("piece_code", "<>", W_CODE), 4),
        (Compare("area_m2", ">", 4000.0), 2),
        (Compare("area_m2", ">=", 4000), 3),
        (Compare("is_enclave", "=", False), 5),  # noqa: FBT003 - a value
        (Between("area_m2", 100, 4000), 3),
        (In("piece_code", (W_CODE, X_CODE, "none")), 2),
        (In("piece_code", ()), 0),
        (Like("piece_code", f"{UPPER}%"), 3),
        (Like("piece_code", "%-w-%"), 0),  # case counts
        (Like("piece_code", "%-W-___2"), 1),
        (Like("piece_code", r"%\_%"), 0),
        (Not(Like("piece_code", f"{UPPER}%")), 2),
        (IsNull("village_name"), 5),
        (IsNull("state"), 0),
        (All(()), 5),
        (Any(()), 0),
        (All((Compare("village_code", "=", UPPER), Compare("piece_shape", "=", "STRIP"))), 1),
        (Any((Compare("piece_code", "=", W_CODE), Compare("piece_code", "=", D_CODE))), 2),
        (Compare("village_name", "=", "x"), 0),
        (Not(Compare("village_name", "=", "x")), 0),  # unknown stays unknown
        (Within((X0, Y0, X0 + 1000, Y0 + 1000)), 3),
        (Within((X0 + 200, Y0 + 100, X0 + 300, Y0 + 200)), 1),  # it touches
        (Within((X0 + 200.01, Y0 + 100, X0 + 300, Y0 + 200)), 0),  # to the centimetre, where the index is not
        (Intersects(box(X0 + 430, Y0 + 145, X0 + 440, Y0 + 155)), 0),  # in the pond
        (Intersects(box(X0 + 400, Y0 + 100, X0 + 401, Y0 + 101)), 1),
    ],
)  # fmt: skip
def test_a_condition_finds_its_rows(still, where, found):
    assert len(codes(still, where=where)) == found
    assert still.count("pieces", where, EVERYTHING) == found


@pytest.mark.parametrize(
    "where",
    [
        Compare("no_such", "=", 1),
        Compare("area_m2", "=", "1"),
        Compare("area_m2", "=", float("nan")),
        Compare("area_m2", "=", float("inf")),
        Compare("area_m2", "=", True),  # noqa: FBT003 - a value
        Compare("state", "=", 1),
        Compare("state", "=", "a\x00b"),
        Compare("state", "=", "\ud800"),
        Compare("state", "; DROP TABLE pieces", "x"),
        Compare("state\" = 'x' OR \"1", "=", "x"),
        Compare("fid", "=", 1),
        In("state", ("a", 2)),
        Like("area_m2", "1%"),
        Like("state", "x\\"),
        Within((0, 0, float("nan"), 1)),
        Within((1, 0, 0, 1)),
        Intersects(shapely.Polygon()),
        Intersects(shapely.from_wkt("POLYGON((0 0, 1 1, 1 0, 0 1, 0 0))")),
        Not(Not(Compare("no_such", "=", 1))),
    ],
)
def test_a_condition_without_meaning_is_refused(still, where):
    with pytest.raises(ConditionError):
        still.query("pieces", Query(where=where), EVERYTHING)
    with pytest.raises(ConditionError):
        still.count("pieces", where, EVERYTHING)


def test_a_condition_nested_without_end_is_refused(still):
    where = Compare("state", "=", "x")
    for _ in range(2000):
        where = Not(where)
    with pytest.raises(ConditionError, match="嵌套"):
        still.query("pieces", Query(where=where), EVERYTHING)


def test_a_value_is_never_sql(still):
    evil = "x' OR '1'='1'; DROP TABLE pieces; --"
    assert codes(still, where=Compare("state", "=", evil)) == []
    assert codes(still, where=Like("state", evil)) == []
    assert still.row("pieces", evil, EVERYTHING) is None
    assert still.history("cases", evil, EVERYTHING) == []
    assert len(codes(still)) == 5


def test_rows_come_in_the_order_asked_for(still):
    assert codes(still, sort=("-area_m2",))[0] == X_CODE
    assert codes(still, sort=("area_m2",))[-1] == X_CODE
    assert codes(still, sort=("-village_code", "area_m2"))[1:3] == [D_CODE, STRIP_CODE]
    assert codes(still, sort=("-fid",)) == codes(still)[::-1]
    for wrong in (("no_such",), ("state", "-state"), ("state;",), ("geometry",)):
        with pytest.raises(ConditionError):
            codes(still, sort=wrong)


def test_pages_follow_one_another(still):
    first = still.query("pieces", Query(limit=2, sort=("piece_shape",)), EVERYTHING)
    second = still.query("pieces", Query(limit=2, sort=("piece_shape",), after=first.after), EVERYTHING)
    third = still.query("pieces", Query(limit=2, sort=("piece_shape",), after=second.after), EVERYTHING)
    assert third.after is None
    held = [code for page in (first, second, third) for code in page.rows["piece_code"]]
    assert held == codes(still, sort=("piece_shape",))


@pytest.mark.parametrize("mark", ["", "x", "W10", "////", "W1tdLFsxXV0x", "é", "W1siYXJlYV9tMiJdLFsxLDJdXQ"])
def test_a_mark_of_another_page_is_refused(still, mark):
    with pytest.raises(ConditionError, match="翻页标记"):
        still.query("pieces", Query(after=mark), EVERYTHING)


@pytest.mark.parametrize("limit", [0, -1, 10_001])
def test_a_page_has_a_size(still, limit):
    with pytest.raises(ConditionError, match="每页行数"):
        still.query("pieces", Query(limit=limit), EVERYTHING)


def test_the_number_of_matches_is_told_where_it_is_wanted(still):
    half = Compare("village_code", "=", UPPER)
    assert still.query("pieces", Query(where=half, limit=1), EVERYTHING).matched is None
    assert still.query("pieces", Query(where=half, limit=1, count=True), EVERYTHING).matched == 3
    assert still.query("pieces", Query(where=half), EVERYTHING).matched == 3


def test_a_tile_gets_bytes_and_plain_values(still):
    shapes, held = still.raw(
        "pieces", ["piece_code", "area_m2"], bbox=(X0, Y0, X0 + 300, Y0 + 1000), scope=EVERYTHING
    )
    assert held == {"fid": [1], "piece_code": [W_CODE], "area_m2": [4000.0]}
    assert shapely.from_wkb(shapes)[0].area == 4000
    shapes, held = still.raw("pieces", ["piece_code"], bbox=(0, 0, 1, 1), scope=EVERYTHING)
    assert (len(shapes), held) == (0, {"fid": [], "piece_code": []})
    shapes, held = still.raw("balance", ["code"], scope=EVERYTHING, where=Compare("level", "=", "county"))
    assert held["code"] == ["140725"]
    assert shapes.tolist() == [None]


def test_a_row_is_found_by_its_key_and_by_its_number(still):
    row = still.row("pieces", W_CODE, EVERYTHING)
    assert row["area_m2"] == 4000.0
    assert row["is_enclave"] is False
    assert row["village_name"] is None
    assert row["geometry"].area == 4000
    assert still.at("pieces", row["fid"], EVERYTHING)["piece_code"] == W_CODE
    assert still.row("pieces", "none", EVERYTHING) is None
    assert still.row("pieces", 7, EVERYTHING) is None
    assert still.at("pieces", 10**30, EVERYTHING) is None
    with pytest.raises(InputError, match="没有键"):
        still.row("grid_lineage", "x", EVERYTHING)
    with pytest.raises(InputError, match="没有图层"):
        still.row("rivers", "x", EVERYTHING)


# --- scope -----------------------------------------------------------------------------------------


def test_a_caller_of_a_village_sees_its_rows_alone(still):
    assert all(code.startswith(UPPER) for code in codes(still, scope=OF_UPPER))
    assert still.count("pieces", None, OF_UPPER) == 3
    assert still.row("pieces", D_CODE, OF_UPPER) is None
    assert still.row("pieces", W_CODE, OF_UPPER) is not None
    assert still.at("pieces", 4, OF_UPPER) is None
    assert still.count("parcels", None, OF_UPPER) == 4
    assert still.count("parcels", None, Scope(frozenset({LOWER}))) == 0
    assert still.count("balance", None, OF_UPPER) == 2
    assert still.count("pieces", None, Scope(frozenset())) == 0
    _, held = still.raw("patches", ["patch_code"], scope=OF_UPPER)
    assert len(held["patch_code"]) == 3


def test_a_caller_of_a_village_does_not_see_what_is_of_none(still):
    for layer in ("runs", "meta"):
        for ask in (
            lambda layer=layer: still.query(layer, Query(), OF_UPPER),
            lambda layer=layer: still.raw(layer, scope=OF_UPPER),
            lambda layer=layer: still.count(layer, None, OF_UPPER),
            lambda layer=layer: still.row(layer, "crs", OF_UPPER),
            lambda layer=layer: still.at(layer, 1, OF_UPPER),
        ):
            with pytest.raises(ForbiddenError):
                ask()


def test_names_of_persons_are_absent_where_they_are_not_to_be_read(store):
    put_case(store)
    assert "owner_name" not in store.query("cases", Query(), NO_NAMES).rows
    assert "owner_name" not in store.query("cases", Query(columns=["owner_name", "state"]), NO_NAMES).rows
    assert "owner_name" not in store.row("cases", KEY, NO_NAMES)
    assert "owner_name" not in store.raw("cases", scope=NO_NAMES)[1]
    assert "张三" not in str(store.history("cases", KEY, NO_NAMES))
    assert "张三" in str(store.history("cases", KEY, EVERYTHING))
    assert "before" not in store.query("audit", Query(), NO_NAMES).rows
    assert "address" not in store.query("households", Query(), NO_NAMES).rows


@pytest.mark.parametrize(
    "asked",
    [
        {"where": Compare("owner_name", "=", "张三")},
        {"sort": ("owner_name",)},
        {"where": IsNull("owner_name")},
    ],
)
def test_a_hidden_name_cannot_be_guessed_by_filters(store, asked):
    put_case(store)
    with pytest.raises(ConditionError, match="没有列 owner_name"):
        store.query("cases", Query(**asked), NO_NAMES)


def test_history_of_another_village_is_not_told(store):
    put_case(store)
    assert len(store.history("cases", KEY, OF_UPPER)) == 1
    assert store.history("cases", KEY, Scope(frozenset({LOWER}), personal=True)) == []


# --- changes ---------------------------------------------------------------------------------------


def test_an_insert_and_an_update_are_versions_with_history(store):
    first = put_case(store)
    assert (first["version"], first["updated_by"], first["updated_at"]) == (1, "李", "2026-03-01T08:00:00Z")
    with store.write(actor="王", why="复核") as change:
        second = change.update("cases", KEY, {"measured_m2": 3, "state": "measured"}, base=1)
    assert (second["version"], second["updated_by"], second["measured_m2"]) == (2, "王", 3.0)
    assert store.row("cases", KEY, EVERYTHING) == second
    told = store.history("cases", KEY, EVERYTHING)
    assert [(row["seq"], row["actor"], row["action"], row["why"]) for row in told] == [
        (1, "李", "insert", "现场"),
        (2, "王", "update", "复核"),
    ]
    assert told[1]["before"] == '{"measured_m2":null,"state":"identified"}'
    assert told[1]["after"] == '{"measured_m2":3.0,"state":"measured"}'
    assert store.verify_audit() == []
    assert store.head() == (2, told[1]["hash"])


def test_a_change_of_an_old_version_is_refused_with_all_three(store):
    put_case(store)
    with store.write(actor="王") as change:
        change.update("cases", KEY, {"note": "theirs"}, base=1)
    with pytest.raises(StaleError, match="王") as refused, store.write(actor="李") as change:
        change.update("cases", KEY, {"note": "yours"}, base=1)
    assert refused.value.base == 1
    assert refused.value.theirs["note"] == "theirs"
    assert refused.value.theirs["version"] == 2
    assert refused.value.yours == {"note": "yours"}
    assert store.row("cases", KEY, EVERYTHING)["note"] == "theirs"


def test_values_that_are_there_already_change_nothing(store):
    put_case(store, measured_m2=3.0)
    before = store.edition("cases"), store.head()
    with store.write(actor="王") as change:
        row = change.update("cases", KEY, {"state": "identified", "measured_m2": 3}, base=1)
    assert row["version"] == 1
    assert (store.edition("cases"), store.head()) == before


def test_an_exception_leaves_nothing_of_a_transaction(store):
    before = store.head(), store.edition("cases"), store.edition("pieces")
    with pytest.raises(ZeroDivisionError), store.write(actor="李") as change:  # noqa: PT012 - of several steps
        change.insert("cases", CASE)
        change.note("login")
        _ = 1 / 0
    assert store.count("cases", None, EVERYTHING) == 0
    assert store.row("pieces", W_CODE, EVERYTHING)["state"] == "candidate"
    assert (store.head(), store.edition("cases"), store.edition("pieces")) == before


def test_a_transaction_sees_its_own_changes(store):
    with store.write(actor="李") as change:
        change.insert("cases", CASE)
        change.insert("cases", {"piece_key": "a", "village_code": LOWER, "state": "disputed"})
        assert change.row("cases", KEY)["state"] == "identified"
        assert [row["piece_key"] for row in change.rows("cases", None, ("-piece_key",))] == ["a", KEY]
        assert len(change.rows("cases", Compare("state", "=", "disputed"))) == 1
        assert change.row("pieces", W_CODE)["state"] == "identified"
    assert store.count("cases", None, EVERYTHING) == 2


def test_a_piece_shows_the_state_of_its_record(store):
    edition = store.edition("pieces")
    put_case(store)
    assert store.row("pieces", W_CODE, EVERYTHING)["state"] == "identified"
    assert store.edition("pieces") != edition
    with store.write(actor="李") as change:
        change.update("cases", KEY, {"note": "x"}, base=1)
        change.update("cases", KEY, {"state": "measured"}, base=None)
    assert store.row("pieces", W_CODE, EVERYTHING)["state"] == "measured"


@pytest.mark.parametrize(
    ("layer", "values"),
    [
        ("cases", {"state": "x"}),
        ("cases", {"piece_key": "", "state": "x"}),
        ("cases", {"piece_key": "k", "no_such": 1}),
        ("cases", {"piece_key": "k", "version": 7}),
        ("cases", {"piece_key": "k", "updated_by": "x"}),
        ("cases", {"piece_key": "k", "fid": 7}),
        ("cases", {"piece_key": "k", "measured_m2": "3"}),
        ("cases", {"piece_key": "k", "measured_m2": float("inf")}),
        ("cases", {"piece_key": "k", "state": 3}),
        ("cases", {"piece_key": "k", "note": "a\x00b"}),
        ("attachments", {"attachment_key": "k", "byte_count": 1.5}),
        ("attachments", {"attachment_key": "k", "byte_count": 2**63}),
        ("pieces", {"piece_code": "k"}),
        ("audit", {"seq": 1}),
        ("rivers", {"x": 1}),
    ],
)
def test_a_row_that_cannot_be_is_refused(still, layer, values):
    with pytest.raises(InputError), still.write(actor="李") as change:
        change.insert(layer, values)
    assert still.head()[0] == 0


def test_a_key_is_there_once(store):
    put_case(store)
    with store.write(actor="李") as change:
        with pytest.raises(InputError, match="已有键相同的行"):
            change.insert("cases", CASE)
        change.note("after")  # the transaction goes on
    assert store.count("cases", None, EVERYTHING) == 1
    assert store.head()[0] == 2
    assert store.verify_audit() == []


def test_a_key_does_not_change_and_an_unknown_row_is_told(store):
    put_case(store)
    with store.write(actor="李") as change:
        with pytest.raises(InputError, match="不能改"):
            change.update("cases", KEY, {"piece_key": "other"}, base=1)
        with pytest.raises(UnknownRowError):
            change.update("cases", "other", {"note": "x"}, base=1)
        with pytest.raises(InputError):
            change.update("pieces", W_CODE, {"state": "x"}, base=None)


def test_values_of_numpy_and_pandas_are_plain(store):
    row = put_case(store, measured_m2=np.float64(2.5), note=pd.NA, place_name=float("nan"))
    assert (row["measured_m2"], row["note"], row["place_name"]) == (2.5, None, None)
    with store.write(actor="李") as change:
        change.insert(
            "attachments", {"attachment_key": "a", "byte_count": np.int64(3), "village_code": UPPER}
        )
    assert store.row("attachments", "a", EVERYTHING)["byte_count"] == 3
    assert store.verify_audit() == []


def test_many_rows_are_inserted_and_told_at_once(store):
    rows = [{"attachment_key": f"{n:04d}", "village_code": UPPER, "byte_count": n} for n in range(1200)]
    with store.write(actor="李") as change:
        change.insert_many("attachments", rows)
        change.insert_many("attachments", [])
    assert store.count("attachments", None, EVERYTHING) == 1200
    assert store.head()[0] == 1200
    assert store.verify_audit() == []


def test_a_note_is_an_entry_of_the_log_alone(store):
    with store.write(actor="李", why="自查") as change:
        change.note("login", after={"from": "10.0.0.1"})
        with pytest.raises(InputError):
            change.note("update", layer="cases", row_key=KEY)
    (row,) = store.query("audit", Query(), EVERYTHING).rows.to_dict("records")
    assert (row["action"], row["actor"], row["after"]) == ("login", "李", '{"from":"10.0.0.1"}')
    assert store.query("audit", Query(), OF_UPPER).rows.empty


def test_pieces_are_put_and_dropped(store):
    parent = store.row("pieces", W_CODE, EVERYTHING)
    left, right = box(X0 + 160, Y0 + 100, X0 + 180, Y0 + 200), box(X0 + 180, Y0 + 100, X0 + 200, Y0 + 200)
    child = {"village_code": UPPER, "group_code": f"{UPPER}01", "state": "candidate", "area_m2": 2000.0}
    children = gpd.GeoDataFrame(
        [
            {**child, "piece_key": f"{UPPER}01-0007", "piece_code": f"{UPPER}01-W-0007"},
            {**child, "piece_key": f"{UPPER}01-0008", "piece_code": f"{UPPER}01-W-0008"},
        ],
        geometry=[left, MultiPolygon([right])],
        crs=CRS,
    )
    with store.write(actor="李", why="分割") as change:
        change.put_pieces(children)
        change.drop("pieces", parent["piece_key"])
        change.put("code_register", pd.DataFrame([{"piece_key": f"{UPPER}01-0007", "status": "ISSUED"}]))
        with pytest.raises(UnknownRowError):
            change.drop("pieces", parent["piece_key"])
        with pytest.raises(InputError):
            change.drop("cases", KEY)
        with pytest.raises(InputError):
            change.put("cases", pd.DataFrame([{"piece_key": KEY}]))
        with pytest.raises(GeometryTypeError):
            change.put_pieces(children.set_geometry(children.centroid))
    assert store.count("pieces", None, EVERYTHING) == 6
    found = codes(store, bbox=(X0 + 185, Y0 + 100, X0 + 190, Y0 + 200))
    assert found == [f"{UPPER}01-W-0008"]
    assert store.row("pieces", f"{UPPER}01-W-0007", EVERYTHING)["geometry"].equals(left)
    assert store.row("pieces", W_CODE, EVERYTHING) is None
    assert [row["action"] for row in store.history("pieces", parent["piece_key"], EVERYTHING)] == ["drop"]
    with store.write(actor="李") as change:
        change.put_pieces(children.assign(area_m2=1999.0))
    assert store.count("pieces", None, EVERYTHING) == 6
    assert len(store.workspace.read("pieces")) == 6
    assert store.verify_audit() == []


# --- editions, layers, copies ----------------------------------------------------------------------


def test_an_edition_changes_when_its_layer_may_have(store):
    before = {layer: store.edition(layer) for layer in ("cases", "pieces", "parcels", "audit")}
    with store.write(actor="李") as change:
        change.insert("conflicts", {"conflict_key": "c", "village_code": UPPER})
    after = {layer: store.edition(layer) for layer in before}
    assert {layer for layer in before if before[layer] != after[layer]} == {"audit"}


def test_layers_of_a_job_take_the_place_of_those_here_and_records_stay(store, tmp_path):
    put_case(store)
    tables = county_tables()
    tables["pieces"] = tables["pieces"].iloc[:2].assign(area_m2=1.0)
    tables["runs"] = pd.DataFrame([{"run_id": "r2"}])
    workspace.write(tmp_path / "job.gpkg", tables, crs=CRS)
    made = workspace.open(tmp_path / "job.gpkg")
    before = store.edition("pieces"), store.edition("parcels"), store.head()[0]
    store.replace_layers(made, actor="任务", why="重新套合", layers=["pieces", "runs"])
    assert store.count("pieces", None, EVERYTHING) == 2
    assert store.row("pieces", W_CODE, EVERYTHING)["state"] == "identified"
    assert store.row("pieces", X_CODE, EVERYTHING)["area_m2"] == 1.0
    assert len(codes(store, bbox=(X0, Y0, X0 + 2000, Y0 + 1000))) == 2
    assert store.edition("pieces") != before[0]
    assert store.edition("parcels") != before[1]  # another run
    assert store.head()[0] == before[2] + 1
    store.replace_layers(made, actor="任务", why="全部")
    assert store.count("parcels", None, EVERYTHING) == 4
    assert store.count("cases", None, EVERYTHING) == 1
    assert store.verify_audit() == []
    put = store.row("cases", KEY, EVERYTHING)
    with store.write(actor="李") as change:  # triggers and indexes are there again
        change.update("cases", KEY, {"state": "measured"}, base=put["version"])
    assert store.row("pieces", W_CODE, EVERYTHING)["state"] == "measured"


def test_layers_in_another_system_are_not_published(still, tmp_path):
    workspace.write(tmp_path / "job.gpkg", {}, crs="EPSG:4527")
    with pytest.raises(MismatchError, match="坐标系"):
        still.replace_layers(workspace.open(tmp_path / "job.gpkg"), actor="x", why="")
    workspace.write(tmp_path / "same.gpkg", {}, crs=CRS)
    with pytest.raises(InputError, match="没有图层 cases"):
        still.replace_layers(workspace.open(tmp_path / "same.gpkg"), actor="x", why="", layers=["cases"])


def test_a_run_that_replaces_the_workspace_keeps_the_records(place, ticking, tmp_path):
    with open_store(place, clock=ticking, folder=tmp_path) as store:
        put_case(store)
        with store.write(actor="王") as change:
            change.update("cases", KEY, {"note": "x"}, base=1)
        before = store.query("cases", Query(), EVERYTHING).rows, store.head(), store.edition("pieces")
    workspace.write(place, county_tables(), crs=CRS)
    workspace.amend(place, {"pieces": county_tables()["pieces"]})
    with open_store(place, clock=ticking, folder=tmp_path) as store:
        pd.testing.assert_frame_equal(store.query("cases", Query(), EVERYTHING).rows, before[0])
        assert store.head() == before[1]
        assert store.verify_audit(head=before[1]) == []
        assert store.edition("pieces") != before[2]
        assert store.row("pieces", W_CODE, EVERYTHING)["state"] == "identified"
        with store.write(actor="王") as change:
            change.update("cases", KEY, {"note": "y"}, base=2)
            with pytest.raises(InputError):
                change.insert("cases", CASE)


def test_a_copy_is_a_workspace_with_records(store, tmp_path):
    put_case(store)
    store.backup(tmp_path / "copy.gpkg")
    assert [path.name for path in tmp_path.glob("copy*")] == ["copy.gpkg"]
    with open_store(tmp_path / "copy.gpkg") as copy:
        assert copy.head() == store.head()
        assert copy.verify_audit() == []
        assert copy.row("cases", KEY, EVERYTHING) == store.row("cases", KEY, EVERYTHING)
        assert copy.row("pieces", W_CODE, EVERYTHING) == store.row("pieces", W_CODE, EVERYTHING)
        for layer in schema.RUN_LAYERS:
            assert copy.count(layer, None, EVERYTHING) == store.count(layer, None, EVERYTHING)


def test_private_tables_are_no_layers(store, place, tmp_path):
    metadata = MetaData()
    users = Table("users", metadata, Column("name", Text, primary_key=True))
    engine = store.private()
    metadata.create_all(engine)
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(users).values(name="李"))
    with engine.connect() as connection:
        assert connection.execute(select(users.c.name)).scalars().all() == ["李"]
    assert "users" not in workspace.open(place).layers
    if not workspace.is_database(place):
        assert (tmp_path / "service" / "service.db").is_file()


def test_a_workspace_from_before_there_were_records_gets_them(store, place):
    opened = workspace.open(place)
    assert opened.layers == tuple(schema.LAYER_TITLES)
    assert store.workspace.layers == opened.layers
    assert opened.read("cases").empty


def test_a_workspace_of_a_newer_program_is_refused(place):
    store = open_store(place)
    steps = store._backend.tables["store_steps"]
    with store._backend.writing() as connection:
        connection.execute(insert(steps).values(number=99, title="future"))
    store.close()
    with pytest.raises(WorkspaceError, match="更新版本"):
        open_store(place)


def test_reading_where_a_store_is_open_gives_the_same(store, place):
    opened = workspace.open(place)
    assert opened.read("pieces", where=f"village_code = '{UPPER}'", columns=["piece_code"], geometry=False)[
        "piece_code"
    ].tolist() == codes(store, scope=OF_UPPER)
    assert len(opened.read("pieces", bbox=(X0, Y0, X0 + 300, Y0 + 1000))) == 1
    assert opened.read("meta").set_index("key")["value"]["schema_version"] == "1"
    with pytest.raises(InputError, match="读不了"):
        opened.read("pieces", where="no such thing")
    with pytest.raises(InputError, match="没有列"):
        opened.read("pieces", columns=["x"])


# --- records with geometry, as other works have them -----------------------------------------------


@pytest.fixture
def lots(monkeypatch):
    """One more layer of records, with geometry, that no workspace has yet."""
    rows = [("lot_key", "str"), ("village_code", "str"), ("paid", "bool"), ("version", "Int64")]
    rows += [("updated_at", "str"), ("updated_by", "str")]
    blank = {"layer": "lots", "field": "", "title": "标段", "note": ""}
    more = pd.DataFrame([{**blank, "column": name, "dtype": dtype} for name, dtype in rows])
    whole = pd.concat([schema._dictionary(), more], ignore_index=True)
    monkeypatch.setattr(schema, "_dictionary", lambda: whole)
    schema.columns.cache_clear()
    schema.personal_columns.cache_clear()
    monkeypatch.setitem(schema.RECORD_LAYERS, "lots", "lot_key")
    monkeypatch.setitem(schema.LAYER_KEYS, "lots", "lot_key")
    monkeypatch.setitem(schema.LAYER_TITLES, "lots", "标段")
    monkeypatch.setitem(schema.SCOPES, "lots", ("village_code", "equal"))
    monkeypatch.setitem(workspace.GEOMETRIES, "lots", "MultiPolygon")
    return "lots"


def test_records_may_have_geometry(lots, place, ticking, tmp_path):
    first, second = box(X0, Y0, X0 + 10, Y0 + 10), box(X0 + 90, Y0, X0 + 100, Y0 + 10)
    near = Query(bbox=(X0 + 80, Y0, X0 + 95, Y0 + 5))
    with open_store(place, clock=ticking, folder=tmp_path) as store:
        with store.write(actor="李") as change:
            row = change.insert(lots, {"lot_key": "a", "village_code": UPPER, "geometry": first})
            change.insert(lots, {"lot_key": "b", "village_code": UPPER, "paid": True})
            with pytest.raises(GeometryTypeError):
                change.insert(lots, {"lot_key": "c", "geometry": first.centroid})
        assert row["geometry"].equals(first)
        assert row["paid"] is False
        assert store.query(lots, near, EVERYTHING).rows.empty
        with store.write(actor="李") as change:
            change.update(lots, "a", {"geometry": second}, base=1)
            assert change.update(lots, "a", {"geometry": second}, base=2)["version"] == 2
        assert store.query(lots, near, EVERYTHING).rows["lot_key"].tolist() == ["a"]
        told = json.loads(store.history(lots, "a", EVERYTHING)[-1]["after"])
        assert shapely.from_wkb(told["geometry"]).equals(second)
    workspace.amend(place, {"pieces": county_tables()["pieces"]})
    if not workspace.is_database(place):
        assert len(gpd.read_file(place, layer=lots, bbox=near.bbox)) == 1
    with open_store(place, clock=ticking, folder=tmp_path) as store:
        assert store.query(lots, near, EVERYTHING).rows["lot_key"].tolist() == ["a"]
        assert store.row(lots, "a", EVERYTHING)["geometry"].equals(second)
        with store.write(actor="李") as change:
            change.update(lots, "a", {"geometry": None}, base=2)
        assert store.query(lots, near, EVERYTHING).rows.empty
        assert store.verify_audit() == []
        store.backup(tmp_path / "copy.gpkg")
    with pytest.raises(MismatchError, match="坐标系"):  # it would put them elsewhere
        workspace.write(place, {}, crs="EPSG:4527")
