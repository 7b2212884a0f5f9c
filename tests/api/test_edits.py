"""Decisions on pieces over HTTP: under versions, within roles and villages; their history, and evidence."""

import io
import json

import pytest
from PIL import Image

from tests.api.test_items import problem
from tests.geo.county import D_CODE, LOWER, UPPER, W_CODE, X_CODE

PIECE = f"/collections/pieces/items/{W_CODE}"
OTHER = f"/collections/pieces/items/{D_CODE}"
SEEN = {"If-Match": '"0"'}


@pytest.fixture
def officer(as_role):
    return as_role("officer", [UPPER], name="wang")


def version(answer):
    return {"If-Match": answer.headers["etag"]}


def picture(form="JPEG", size=(640, 480), **more):
    made = Image.effect_noise(size, 60).convert("RGB")
    out = io.BytesIO()
    made.save(out, form, **more)
    return out.getvalue()


def located_photo():
    exif = Image.Exif()
    exif[0x010F] = "PhoneMaker"
    exif.get_ifd(0x8769)[0x9003] = "2026:05:31 09:30:00"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (37.0, 50.0, 24.0)
    return picture(exif=exif)


def attach(client, content, *, piece=PIECE, name="北坡.jpg", **form):
    return client.post(f"{piece}/attachments", files={"file": (name, content, "text/html")}, data=form)


# --- decisions ---------------------------------------------------------------------------------------


def test_a_decision_moves_the_piece_and_everyone_sees_it(officer, client):
    answer = officer.patch(PIECE, json={"identified_as": "FARMLAND", "why": "到场看过"}, headers=SEEN)
    assert answer.status_code == 200
    assert answer.headers["etag"] == '"1"'
    told = answer.json()["properties"]
    assert (told["state"], told["case"]["state"], told["case"]["updated_by"]) == (
        "identified",
        "identified",
        "wang",
    )
    assert client.get(PIECE).json()["properties"]["state"] == "identified"
    listed = client.get("/collections/pieces/items", params={"state": "identified"}).json()["features"]
    assert [feature["id"] for feature in listed] == [W_CODE]
    county = client.get("/api/v1/overview").json()["county"]
    assert (county["identified_count"], county["identified_m2"]) == (1, 4000.0)


def test_a_decision_without_a_version_is_refused(officer):
    assert problem(officer.patch(PIECE, json={"note": "x"}), 428)["code"] == "precondition_required"
    problem(officer.patch(PIECE, json={"note": "x"}, headers={"If-Match": " "}), 428)


@pytest.mark.parametrize("tag", ["*", "0", '"x"', '"-1"', '"0", "1"', '"' + "9" * 40 + '"', '""'])
def test_a_version_that_is_none_is_refused(officer, tag):
    problem(officer.patch(PIECE, json={"note": "x"}, headers={"If-Match": tag}), 400)


def test_of_two_officers_the_second_sees_what_the_first_wrote(officer, as_role):
    other = as_role("officer", name="zhao")
    assert officer.patch(PIECE, json={"place_name": "南坡"}, headers=SEEN).status_code == 200
    body = problem(other.patch(PIECE, json={"place_name": "北坡"}, headers=SEEN), 412)
    assert (body["base"], body["theirs"]["place_name"], body["yours"]) == (0, "南坡", {"place_name": "北坡"})
    assert body["theirs"]["updated_by"] == "wang"
    again = other.patch(
        PIECE, json={"place_name": "北坡"}, headers={"If-Match": f'"{body["theirs"]["version"]}"'}
    )
    assert (again.status_code, again.headers["etag"]) == (200, '"2"')


def test_who_only_looks_decides_nothing(as_role):
    problem(as_role("viewer").patch(PIECE, json={"note": "x"}, headers=SEEN), 403)


def test_an_officer_decides_in_the_own_village_alone(officer, client):
    problem(officer.patch(OTHER, json={"note": "x"}, headers=SEEN), 404)
    assert client.get(OTHER).headers["etag"] == '"0"'


def test_a_state_that_may_not_follow_is_a_conflict_that_says_why(officer, client):
    refused = problem(officer.patch(PIECE, json={"state": "published"}, headers=SEEN), 409)
    assert "不能直接改为" in refused["detail"]
    facts = {"identified_as": "FARMLAND", "measured_mu": 6, "owner_kind": "GROUP", "owner_basis": "台账"}
    answer = officer.patch(PIECE, json=facts, headers=SEEN)
    assert answer.json()["properties"]["state"] == "confirmed"
    problem(officer.patch(PIECE, json={"state": "published"}, headers=version(answer)), 403)
    assert client.patch(PIECE, json={"state": "published"}, headers=version(answer)).status_code == 200
    assert (
        "已公示"
        in problem(officer.patch(PIECE, json={"measured_mu": 7}, headers={"If-Match": '"2"'}), 409)["detail"]
    )


@pytest.mark.parametrize(
    "body",
    [
        {"identified_as": "MOON"}, {"measured_m2": -1}, {"measured_m2": "x"}, {"nothing": 1}, {"piece_key": "x"},
        {"note": "x" * 2000}, {"measured_on": "yesterday"}, {"version": 7}, {"updated_by": "x"}, [], "x", None,
    ],
)  # fmt: skip
def test_a_fact_that_cannot_be_is_refused(officer, body):
    problem(officer.patch(PIECE, json=body, headers=SEEN), 422)
    assert officer.get(PIECE).headers["etag"] == '"0"'


def test_the_history_tells_who_changed_what_and_why(officer, client):
    officer.patch(
        PIECE, json={"identified_as": "FARMLAND", "owner_name": "张三", "why": "到场"}, headers=SEEN
    )
    officer.patch(PIECE, json={"place_name": "南坡"}, headers={"If-Match": '"1"'})
    attach(officer, picture())
    body = client.get(f"{PIECE}/history").json()
    first, second, third = body["entries"]
    assert (first["actor"], first["why"], first["before"]) == ("wang", "到场", None)
    assert first["after"]["owner_name"] == "张三"
    assert (second["before"], second["after"]) == ({"place_name": None}, {"place_name": "南坡"})
    assert (third["layer"], third["after"]["kind"]) == ("attachments", "photo")
    assert [first["seq"], second["seq"], third["seq"]] == sorted({first["seq"], second["seq"], third["seq"]})


def test_a_viewer_reads_no_names_anywhere(officer, as_role):
    name = "张三丰"
    patch = {
        "identified_as": "FARMLAND",
        "owner_name": name,
        "current_user": name,
        "why": f"{name}说的",
    }
    officer.patch(PIECE, json=patch, headers=SEEN)
    viewer = as_role("viewer")
    for address in (
        PIECE, f"{PIECE}/history", "/collections/cases/items", "/collections/cases/download?f=csv",
        "/collections/cases/queryables", f"/api/v1/search?q={name}", "/api/v1/overview",
    ):  # fmt: skip
        answer = viewer.get(address)
        assert answer.status_code == 200, address
        assert name not in answer.text, address
        assert "owner_name" not in answer.text, address
    for asked in ({"owner_name": name}, {"filter": f"owner_name = '{name}'"}, {"sortby": "owner_name"},
                  {"properties": "owner_name"}):  # fmt: skip
        problem(viewer.get("/collections/cases/items", params=asked), 400)
    assert name in officer.get("/collections/cases/items").text


def test_what_a_script_writes_into_a_name_comes_back_as_text(officer):
    evil = "<img src=x onerror=alert(1)>"
    answer = officer.patch(PIECE, json={"place_name": evil}, headers=SEEN)
    assert answer.headers["content-type"] == "application/geo+json"
    assert answer.json()["properties"]["case"]["place_name"] == evil


# --- evidence ----------------------------------------------------------------------------------------


def test_a_photo_is_kept_as_it_came_and_shown_without_where_it_was_taken(officer, client, app):
    photo = located_photo()
    answer = attach(officer, photo, note="北坡")
    assert answer.status_code == 201
    row = answer.json()
    assert (row["media_type"], row["taken_on"], row["file_name"]) == ("image/jpeg", "2026-05-31", "北坡.jpg")
    key = row["attachment_key"]
    assert answer.headers["location"] == f"/attachments/{key}"
    shown = officer.get(f"/attachments/{key}")
    assert shown.headers["content-type"] == "image/jpeg"
    assert "sandbox" in shown.headers["content-security-policy"]
    image = Image.open(io.BytesIO(shown.content))
    assert dict(image.getexif()) == {}
    assert b"PhoneMaker" not in shown.content
    assert (app.state.store.folder / "attachments" / key[:2] / key).read_bytes() == photo
    assert client.get(f"/attachments/{key}?original=true").content == photo
    problem(officer.get(f"/attachments/{key}?original=true"), 403)
    assert [one["attachment_key"] for one in officer.get(PIECE).json()["properties"]["attachments"]] == [key]


def test_the_same_file_twice_is_kept_once_and_belongs_to_one_piece(officer):
    photo = picture()
    assert attach(officer, photo).status_code == 201
    assert attach(officer, photo).status_code == 200
    problem(attach(officer, photo, piece=f"/collections/pieces/items/{X_CODE}"), 409)


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (b"", {}), (b"<script>alert(1)</script>", {}), (b"GIF89a" + b"x" * 200, {}), (b"<svg onload=alert(1)/>", {}),
        (picture()[:2000], {}), (picture("PNG")[:500], {}), (b"%PDF-1.7 not whole", {"kind": "document"}),
        (picture(), {"kind": "document"}), (picture(), {"kind": "virus"}), (picture(), {"taken_on": "31.5.2026"}),
        (b"PK\x03\x04" + b"x" * 100, {}), (b"\x89PNG\r\n\x1a\n" + b"\x00" * 50, {}),
    ],
)  # fmt: skip
def test_what_is_no_photo_or_paper_is_refused_and_not_kept(officer, app, content, form):
    problem(attach(officer, content, **form), 422)
    folder = app.state.store.folder / "attachments"
    assert not folder.exists() or not [path for path in folder.rglob("*") if path.is_file()]


def test_a_photo_of_too_many_pixels_is_refused_before_it_is_drawn(officer):
    made = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(made, "PNG")
    problem(attach(officer, made.getvalue()), 422)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..\\..\\x.exe", "a\x00b.jpg", "=cmd|'/c calc'!A1.jpg", "x" * 500]
)
def test_a_file_s_name_is_for_people_alone(officer, app, name):
    row = attach(officer, picture(), name=name).json()
    assert "/" not in row["file_name"]
    assert "\\" not in row["file_name"]
    assert row["file_name"].endswith(".jpg")
    kept = [path.relative_to(app.state.store.folder / "attachments") for path in
            (app.state.store.folder / "attachments").rglob("*") if path.is_file()]  # fmt: skip
    assert {path.name.removesuffix(".shown") for path in kept} == {row["attachment_key"]}


def test_signatures_and_papers_are_for_officers_of_the_village(officer, as_role):
    sign = attach(officer, picture("PNG"), kind="signature", name="签名.png").json()["attachment_key"]
    paper = attach(officer, b"%PDF-1.4\n%%EOF\n", kind="document", name="证明.pdf").json()["attachment_key"]
    photo = attach(officer, picture()).json()["attachment_key"]
    viewer, other = as_role("viewer"), as_role("officer", [LOWER])
    assert officer.get(f"/attachments/{sign}").headers["content-type"] == "image/png"
    served = officer.get(f"/attachments/{paper}")
    assert served.headers["content-disposition"].startswith("attachment")
    assert viewer.get(f"/attachments/{photo}").status_code == 200
    for key in (sign, paper):
        problem(viewer.get(f"/attachments/{key}"), 403)
    for key in (sign, paper, photo):
        problem(other.get(f"/attachments/{key}"), 404)
    problem(attach(as_role("viewer"), picture()), 403)
    problem(attach(other, picture()), 404)


@pytest.mark.parametrize("key", ["0" * 64, "x", "..%2F..%2Fservice.db", "%00", "service.db"])
def test_no_other_file_is_reached_by_a_key(officer, key):
    problem(officer.get(f"/attachments/{key}"), 404)


def test_the_log_stays_whole(officer, app):
    officer.patch(PIECE, json={"identified_as": "FARMLAND"}, headers=SEEN)
    attach(officer, picture())
    assert app.state.store.verify_audit() == []
    assert json.loads(officer.get(f"{PIECE}/history").text)["piece_code"] == W_CODE
