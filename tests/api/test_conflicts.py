"""A conflict is closed and its value written in one step, by whoever may, on what they have seen."""

import pytest

from geo.store import EVERYTHING

ADDRESS = "/api/v1/conflicts"


@pytest.fixture
def pieces(app):
    rows = app.state.store.raw("pieces", ["piece_code", "piece_key", "village_code"], scope=EVERYTHING)[1]
    return [dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True)]


@pytest.fixture
def conflict(app):
    """``conflict(piece, field, theirs, yours)``: its key."""

    def made(piece, field="place_name", base=None, theirs="前坡", yours="后沟"):
        key = f"{piece['piece_key']}-{field}"
        row = {
            "conflict_key": key, "piece_key": piece["piece_key"], "village_code": piece["village_code"],
            "field": field, "base_value": base, "theirs_value": theirs, "yours_value": yours,
            "theirs_by": "甲", "yours_by": "乙", "source": "回传", "status": "open",
        }  # fmt: skip
        with app.state.store.write(actor="回传") as change:
            change.insert("conflicts", row)
        return key

    return made


def resolve(client, key, *, version=1, chosen="yours", why="现场复核", case_version=0, **more):  # noqa: PLR0913 - a choice has as many parts
    body = {"chosen": chosen, "why": why, "case_version": case_version, **more}
    headers = {"If-Match": f'"{version}"'} if version is not None else {}
    return client.post(f"{ADDRESS}/{key}/resolve", json=body, headers=headers)


def held(app, piece):
    return app.state.store.row("cases", piece["piece_key"], EVERYTHING)


def test_the_chosen_value_is_in_the_case_and_the_conflict_is_closed(app, client, pieces, conflict):
    key = conflict(pieces[0])
    answer = resolve(client, key)
    assert answer.status_code == 200
    assert answer.headers["etag"] == '"2"'
    assert held(app, pieces[0])["place_name"] == "后沟"
    closed = answer.json()["conflict"]
    assert (closed["status"], closed["chosen"], closed["chosen_value"], closed["why"]) == (
        "resolved", "yours", "后沟", "现场复核",
    )  # fmt: skip
    assert client.get(ADDRESS).json()["conflicts"] == []
    assert [
        one["conflict_key"] for one in client.get(ADDRESS, params={"status": "resolved"}).json()["conflicts"]
    ] == [key]
    assert app.state.store.verify_audit() == []


@pytest.mark.parametrize(
    ("chosen", "value", "stands"), [("base", None, None), ("theirs", None, "前坡"), ("other", "河滩", "河滩")]
)
def test_each_side_and_another_value_can_be_chosen(app, client, pieces, conflict, chosen, value, stands):  # noqa: PLR0913, PLR0917 - fixtures
    key = conflict(pieces[0])
    more = {} if value is None else {"value": value}
    assert resolve(client, key, chosen=chosen, **more).status_code == 200
    case = held(app, pieces[0])
    assert (None if case is None else case["place_name"]) == stands


def test_an_area_kept_as_text_is_written_as_a_number(app, client, pieces, conflict):
    key = conflict(pieces[0], "measured_m2", theirs="100.5", yours="102.25")
    assert resolve(client, key).status_code == 200
    assert held(app, pieces[0])["measured_m2"] == pytest.approx(102.25, abs=0)


def test_a_value_the_field_cannot_have_changes_nothing(app, client, pieces, conflict):
    key = conflict(pieces[0], "measured_m2", theirs="100", yours="101")
    for value in ("很大", -3, 1e12):
        answer = resolve(client, key, chosen="other", value=value)
        assert answer.status_code == 422
    assert held(app, pieces[0]) is None
    assert app.state.store.row("conflicts", key, EVERYTHING)["status"] == "open"


def test_a_state_that_may_not_follow_leaves_the_conflict_open(app, client, pieces, conflict):
    key = conflict(pieces[0], "state", base="candidate", theirs="candidate", yours="published")
    assert resolve(client, key).status_code == 409
    assert app.state.store.row("conflicts", key, EVERYTHING)["status"] == "open"
    assert held(app, pieces[0]) is None


def test_a_choice_rests_on_the_conflict_and_the_case_that_were_seen(app, client, pieces, conflict):
    key = conflict(pieces[0])
    assert resolve(client, key, version=None).status_code == 428
    assert resolve(client, key, version=7).status_code == 412
    assert resolve(client, key, case_version=3).status_code == 412
    assert held(app, pieces[0]) is None
    assert resolve(client, key).status_code == 200
    again = resolve(client, key, version=2, case_version=1)
    assert again.status_code == 409
    assert resolve(client, key, version=1, case_version=1).status_code == 409


def test_a_conflict_tells_what_the_case_says_now(client, pieces, conflict):
    key = conflict(pieces[0])
    code = pieces[0]["piece_code"]
    changed = client.patch(
        f"/collections/pieces/items/{code}", json={"place_name": "西坡"}, headers={"If-Match": '"0"'}
    )
    assert changed.status_code == 200
    page = client.get(ADDRESS).json()
    (row,) = page["conflicts"]
    assert (row["piece_code"], row["current_value"], row["case_version"]) == (code, "西坡", 1)
    assert page["open"] == 1
    assert resolve(client, key, case_version=0).status_code == 412
    assert resolve(client, key, case_version=1).status_code == 200


def test_an_officer_sees_and_closes_those_of_own_villages_only(as_role, pieces, conflict):
    villages = sorted({one["village_code"] for one in pieces})
    keys = {}
    for village in villages[:2]:
        keys[village] = conflict(next(one for one in pieces if one["village_code"] == village))
    own, *others = keys
    assert others
    officer = as_role("officer", [own])
    page = officer.get(ADDRESS).json()
    assert [one["conflict_key"] for one in page["conflicts"]] == [keys[own]]
    assert page["open"] == 1
    for other in others:
        assert resolve(officer, keys[other]).status_code == 404
    assert resolve(officer, keys[own]).status_code == 200


def test_a_viewer_sees_no_conflict(as_role, pieces, conflict):
    key = conflict(pieces[0])
    viewer = as_role("viewer")
    assert viewer.get(ADDRESS).status_code == 403
    assert resolve(viewer, key).status_code == 403


def test_a_choice_needs_a_reason_and_a_value_only_where_there_is_none(client, pieces, conflict):
    key = conflict(pieces[0])
    assert resolve(client, key, why="  ").status_code == 422
    assert resolve(client, key, chosen="yours", value="x").status_code == 422
    assert resolve(client, key, chosen="mine").status_code == 422
    assert resolve(client, "nothing").status_code == 404
