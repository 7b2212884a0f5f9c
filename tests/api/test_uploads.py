"""What is taken in, what is refused, and that nothing sent can lead out of its folder."""

import io
import json
import sqlite3
import stat
import struct
import zipfile
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import uploads
from api.errors import ConflictError, MediaTypeError, NotFoundError, QueryError, TooLargeError
from api.limits import UploadSettings
from api.processes import OnServer, Uploaded
from tests.geo.county import UPPER

SMALL = UploadSettings(
    max_bytes=200_000,
    max_unpacked=2_000_000,
    max_files=50,
    max_ratio=20.0,
    ratio_from=100_000,
    max_book=500_000,
    min_free=0,
)
SHP = struct.pack(">i", 9994) + b"\x00" * 96
DBF = b"\x03" + b"\x00" * 31


def zipped(members, *, compression=zipfile.ZIP_DEFLATED):
    """A zip of names (or ZipInfo) and contents."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as bundle:
        for name, content in members:
            bundle.writestr(name, content)
    return out.getvalue()


def gpkg(tmp_path):
    path = tmp_path / "made.gpkg"
    with sqlite3.connect(path) as base:
        base.execute("PRAGMA application_id = 1196444487")
        base.execute("CREATE TABLE t (a)")
    base.close()
    return path.read_bytes()


def book():
    return zipped([("[Content_Types].xml", "<Types/>"), ("xl/workbook.xml", "<workbook/>")])


def send(tmp_path, name, content, settings=SMALL):
    return uploads.receive(
        tmp_path / "uploads", name, io.BytesIO(content), by="chief", at="2026-01-01T00:00:00.000Z", settings=settings
    )  # fmt: skip


def nothing_left(tmp_path):
    folder = tmp_path / "uploads"
    return not folder.exists() or list(folder.iterdir()) == []


def test_a_zip_of_a_delivery_is_unpacked_under_its_own_names(tmp_path):
    members = [
        ("三调/DLTB.shp", SHP),
        ("三调/DLTB.dbf", DBF),
        ("三调/说明.docx", b"x"),
        ("__MACOSX/._a.shp", b"x"),
    ]
    made = send(tmp_path, "三调.zip", zipped(members))
    assert [one["path"] for one in made.files] == ["三调/DLTB.dbf", "三调/DLTB.shp"]
    assert made.skipped == ("三调/说明.docx",)
    assert uploads.upload(tmp_path / "uploads", made.id) == made
    place = uploads.place(Uploaded(upload=made.id, path="三调/DLTB.shp"), tmp_path / "uploads", None)
    assert place.read_bytes() == SHP


def test_names_written_as_gbk_come_out_right(tmp_path):
    plain = zipped([("zzzzzz/DK.shp", SHP)])
    content = plain.replace(b"zzzzzz", "确权村".encode("gb18030"))
    assert [one["path"] for one in send(tmp_path, "a.zip", content).files] == ["确权村/DK.shp"]


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("a.gpkg", gpkg),
        ("a.xlsx", lambda _: book()),
        ("a.csv", lambda _: "\ufeff村,户\n".encode()),
        ("a.csv", lambda _: "村,户\n".encode("gb18030")),
        ("a.tif", lambda _: b"II*\x00" + b"\x00" * 20),
        ("a.mdb", lambda _: b"\x00\x01\x00\x00Standard Jet DB\x00"),
        ("a.parquet", lambda _: b"PAR1xxxxPAR1"),
    ],
    ids=["gpkg", "xlsx", "csv in UTF-8", "csv in GBK", "tif", "mdb", "parquet"],
)
def test_a_plain_file_is_kept_with_its_digest(tmp_path, name, make):
    content = make(tmp_path)
    made = send(tmp_path, name, content)
    assert made.bytes == len(content)
    path = uploads.place(Uploaded(upload=made.id, path=name), tmp_path / "uploads", None)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.gpkg", b"SQLite format 3\x00" + b"\x00" * 100),  # a database of something else
        ("a.xlsx", zipped([("word/document.xml", "x")])),
        ("a.xlsx", b"\xd0\xcf\x11\xe0old"),
        ("a.tif", b"<VRTDataset><SourceFilename>/etc/passwd</SourceFilename></VRTDataset>"),
        ("a.csv", b"MZ\x00\x00\x01"),
        ("a.csv", b"  <OGRVRTDataSource/>"),
        ("a.geojson", "\ufeff<GDAL_WMS/>".encode("utf-16")),
        ("a.mdb", b"x" * 30),
        ("a.zip", b"not a zip at all"),
        ("a.exe", b"MZ"),
        ("a.shp", SHP),
        ("a", b"x"),
        ("a.vrt", b"<VRTDataset/>"),
    ],
)
def test_what_is_not_what_its_name_says_is_refused(tmp_path, name, content):
    with pytest.raises(MediaTypeError):
        send(tmp_path, name, content)
    assert nothing_left(tmp_path)


def entry(name, mode):
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize(
    "members",
    [
        [("../DK.shp", SHP)],
        [("a/../../DK.shp", SHP)],
        [("/etc/DK.shp", SHP)],
        [("C:\\DK.shp", SHP)],
        [("..\\..\\DK.shp", SHP)],
        [("a/\x01.shp", SHP)],
        [("con.shp", SHP)],
        [("a./DK.shp", SHP)],
        [("长" * 100 + ".shp", SHP)],
        [("DK\u202eph.shp", SHP)],
        [("a/DK.shp", SHP), ("A/dk.SHP", SHP)],
        [("DK.shp", SHP), ("DK.shp/x.shp", SHP)],
        [("a/DK.shp/", b""), ("a/DK.shp", SHP)],
        [(entry("DK.shp", stat.S_IFLNK | 0o777), "/etc/passwd")],
        [(entry("DK.shp", stat.S_IFCHR | 0o666), b"")],
        [("inner.zip", zipped([("DK.shp", SHP)]))],
        [("inner.7z", b"7z\xbc\xaf\x27\x1c")],
        [("readme.docx", b"x")],
        [],
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_that_leads_elsewhere_or_hides_something_is_refused_whole(tmp_path, members):
    with pytest.raises((QueryError, MediaTypeError)):
        send(tmp_path, "a.zip", zipped([("good.shp", SHP), *members] if len(members) > 1 else members))
    assert nothing_left(tmp_path)
    assert not list(tmp_path.rglob("*.shp"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_refused(tmp_path):
    with pytest.raises(QueryError, match="重名"):
        send(tmp_path, "a.zip", zipped([("DK.shp", SHP), ("DK.shp", SHP)]))


def test_an_archive_under_a_map_s_name_is_refused(tmp_path):
    with pytest.raises(MediaTypeError):
        send(tmp_path, "a.zip", zipped([("DK.shp", zipped([("x", b"x" * 1000)]))]))


@pytest.mark.parametrize(
    "content",
    [
        zipped([("bomb.dbf", b"\x03" + b"\x00" * 1_500_000)]),  # ratio
        zipped([(f"{at}.dbf", DBF) for at in range(60)]),  # count
        zipped([("a.dbf", b"\x03" * 1_100_000), ("b.dbf", b"\x03" * 1_100_000)]),  # sum
    ],
    ids=["ratio", "count", "sum"],
)
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, content):
    with pytest.raises(TooLargeError):
        send(tmp_path, "a.zip", content)
    assert nothing_left(tmp_path)


def test_an_entry_that_holds_more_than_it_says_is_refused(tmp_path):
    content = bytearray(zipped([("a.dbf", b"\x03" * 5_000)]))
    for head, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = content.find(head) + at
        content[start : start + 4] = struct.pack("<I", 100)
    with pytest.raises(QueryError):
        send(tmp_path, "a.zip", bytes(content))
    assert nothing_left(tmp_path)


def test_a_workbook_that_unpacks_to_no_end_is_refused(tmp_path):
    content = zipped([("[Content_Types].xml", "<Types/>"), ("xl/sheet1.xml", b" " * 600_000)])
    with pytest.raises(TooLargeError):
        send(tmp_path, "a.xlsx", content)


def test_a_zip_with_a_password_is_refused(tmp_path):
    content = bytearray(zipped([("a.dbf", DBF)]))
    for head, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(head) + at] |= 1
    with pytest.raises(QueryError, match="密码"):
        send(tmp_path, "a.zip", bytes(content))


def test_a_damaged_zip_is_refused(tmp_path):
    content = bytearray(zipped([("a.dbf", DBF * 50)], compression=zipfile.ZIP_STORED))
    content[80] ^= 0xFF
    with pytest.raises(QueryError, match="完好"):
        send(tmp_path, "a.zip", bytes(content))
    assert nothing_left(tmp_path)


def test_more_than_the_limit_is_refused_as_it_comes(tmp_path):
    with pytest.raises(TooLargeError):
        send(tmp_path, "a.csv", b"a" * 200_001)
    assert nothing_left(tmp_path)


def test_a_full_disk_is_told_before_it_is_full(tmp_path):
    with pytest.raises(TooLargeError, match="磁盘"):
        send(tmp_path, "a.csv", b"a", replace(SMALL, min_free=2**62))


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(QueryError):
        send(tmp_path, "a.csv", b"")


@given(data=st.binary(max_size=400), cut=st.integers(0, 300), flip=st.integers(0, 8 * 300))
def test_no_zip_however_broken_does_anything_but_be_kept_or_refused(tmp_path_factory, data, cut, flip):
    content = bytearray(zipped([("村/DK.shp", SHP), ("b.dbf", DBF + data)]))
    content[(flip // 8) % len(content)] ^= 1 << (flip % 8)
    folder = tmp_path_factory.mktemp("any")
    try:
        made = send(folder, "a.zip", bytes(content[: len(content) - cut]))
    except (QueryError, MediaTypeError, TooLargeError):
        assert nothing_left(folder)
    else:
        held = folder / "uploads" / made.id / "data"
        assert {path.relative_to(held).as_posix() for path in held.rglob("*") if path.is_file()} == {
            one["path"] for one in made.files
        }


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../../x", "..\\x", "C:/x", "no such", "a\x00b", "x" * 5000]
)
def test_a_path_never_leaves_its_folder(tmp_path, path):
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "x").write_text("secret", encoding="utf-8")
    with pytest.raises(QueryError):
        uploads.within(home, path)


def test_a_link_out_of_the_folder_leads_nowhere(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "secret").mkdir()
    (home / "out").symlink_to(tmp_path / "secret")
    (home / "in").symlink_to(home)
    with pytest.raises(QueryError):
        uploads.within(home, "out")
    assert uploads.within(home, "in") == home


def test_inputs_of_the_server_are_those_of_its_folder_alone(tmp_path):
    (tmp_path / "三调").mkdir()
    assert uploads.place(OnServer(server="三调"), tmp_path, tmp_path) == tmp_path / "三调"
    with pytest.raises(QueryError, match="没有设置"):
        uploads.place(OnServer(server="三调"), tmp_path, None)


def test_what_was_cut_off_is_swept_away_and_was_never_there(tmp_path):
    folder = tmp_path / "uploads"
    (folder / ".unfinished-0123456789abcdef" / "data").mkdir(parents=True)
    assert uploads.uploads(folder) == []
    uploads.sweep(folder)
    assert list(folder.iterdir()) == []


def test_an_upload_in_use_is_not_deleted(tmp_path):
    made = send(tmp_path, "a.csv", b"a")
    with pytest.raises(ConflictError):
        uploads.delete(tmp_path / "uploads", made.id, used=True)
    uploads.delete(tmp_path / "uploads", made.id, used=False)
    with pytest.raises(NotFoundError):
        uploads.upload(tmp_path / "uploads", made.id)


def test_uploads_named_anywhere_in_inputs_are_found():
    asked = {"survey": {"upload": "a" * 16, "path": ""}, "lines": [{"file": {"upload": "b" * 16}}], "seed": 1}
    assert uploads.named(asked) == {"a" * 16, "b" * 16}
    assert uploads.named({}) == set()


# --- by HTTP -------------------------------------------------------------------------------------------


def test_an_upload_is_sent_listed_and_deleted_and_the_log_says_so(client, app):
    content = zipped([("三调/DLTB.shp", SHP)])
    answer = client.post("/api/v1/uploads", files={"file": ("三调.zip", content)})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert answer.headers["location"] == f"/api/v1/uploads/{made['id']}"
    assert made["files"] == [{"path": "三调/DLTB.shp", "bytes": 100}]
    assert client.get("/api/v1/uploads").json()["uploads"] == [made]
    assert client.get(answer.headers["location"]).json() == made
    assert client.delete(answer.headers["location"]).status_code == 204
    assert client.get(answer.headers["location"]).status_code == 404
    assert client.delete(answer.headers["location"]).status_code == 404
    actions = [row["action"] for row in client.get("/api/v1/audit").json()["rows"]]
    assert {"upload", "upload_deleted"} <= set(actions)
    assert app.state.store.verify_audit() == []


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        ("a.zip", zipped([("../x.shp", SHP)]), 422),
        ("a.exe", b"MZ", 415),
        ("../../a.csv", b"a", 201),
        ("a\r\nX: y.csv", b"a", 422),
    ],
)
def test_refusals_are_problems_in_chinese(client, name, content, status):
    answer = client.post("/api/v1/uploads", files={"file": (name, content)})
    assert answer.status_code == status, answer.text
    if status == 201:
        assert answer.json()["name"] == "a.csv"
    else:
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("role", "villages"), [("viewer", None), ("officer", None), ("officer", [UPPER]), ("reviewer", [UPPER])]
)
def test_uploads_are_for_reviewers_of_the_county(as_role, role, villages):
    asker = as_role(role, villages)
    assert asker.post("/api/v1/uploads", files={"file": ("a.csv", b"a")}).status_code == 403
    assert asker.get("/api/v1/uploads").status_code == 403
    assert asker.get("/api/v1/inputs").status_code == 403
    assert asker.delete("/api/v1/uploads/0123456789abcdef").status_code == 403


def test_uploads_need_a_login(nobody):
    assert nobody.post("/api/v1/uploads", files={"file": ("a.csv", b"a")}).status_code == 401
    assert nobody.get("/api/v1/uploads").status_code == 401


def test_a_reading_of_no_upload_is_none(tmp_path):
    folder = tmp_path / "uploads" / "0123456789abcdef"
    folder.mkdir(parents=True)
    (folder / "upload.json").write_text(json.dumps({"id": 1}), encoding="utf-8")
    assert uploads.uploads(tmp_path / "uploads") == []
