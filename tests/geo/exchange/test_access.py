import datetime as dt
import shutil
from functools import partial

import access_parser
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.errors import InputError
from geo.exchange import access, jet
from tests.geo.exchange.jet4 import Column, write_mdb

when = partial(dt.datetime, tzinfo=None)  # Access knows no time zones

MIXED = [
    Column("FBFBM", "text", 14),
    Column("FBFMC", "text", 50),
    Column("CBFCYSL", "int16"),
    Column("DKZS", "int32"),
    Column("HTMJ", "double"),
    Column("DCRQ", "date"),
    Column("YX", "bool"),
    Column("JS", "memo"),
]
ROWS = [
    (
        "14072510020201",
        "山西省寿阳县A村第1组",
        3,
        -70_000,
        6000.01,
        when(2016, 5, 4, 12, 30),
        True,
        "备注",
    ),
    ("14072510020202", None, None, None, None, None, False, None),
    ("14072510020203", "", 0, 5, 4096.56, when(1999, 12, 31), False, "Latin only, 100%"),
    (
        "14072510020204",
        "第二组，“东坡”\n换行",
        -1,
        2**31 - 1,
        1e-7,
        when(2020, 2, 29, 23, 59, 59),
        True,
        "ab乙",
    ),
]
needs_mdbtools = pytest.mark.skipif(not shutil.which("mdb-export"), reason="mdbtools is not installed")


def by_python(monkeypatch, file, table):
    with monkeypatch.context() as patch:
        patch.setattr(access, "_mdbtools", lambda *_: None)
        return access.table_names(file), access.read(file, table).fillna("")


@needs_mdbtools
@pytest.mark.parametrize("toggled", [False, True])
def test_mdbtools_and_python_give_one_table(tmp_path, monkeypatch, toggled):
    file = write_mdb(tmp_path / "2016.mdb", {"FBF": (MIXED, ROWS), "CBF": (MIXED, [])}, toggled=toggled)
    names, table = by_python(monkeypatch, file, "FBF")
    assert access.table_names(file) == names == ["CBF", "FBF"]
    pd.testing.assert_frame_equal(access.read(file, "FBF").fillna(""), table)
    assert len(by_python(monkeypatch, file, "CBF")[1]) == len(access.read(file, "CBF")) == 0


@pytest.mark.parametrize("toggled", [False, True])
def test_python_reads_what_was_written(tmp_path, monkeypatch, toggled):
    file = write_mdb(tmp_path / "2016.mdb", {"FBF": (MIXED, ROWS)}, toggled=toggled)
    table = by_python(monkeypatch, file, "FBF")[1]
    assert list(table["FBFMC"]) == [row[1] or "" for row in ROWS]
    assert list(table["JS"]) == [row[7] or "" for row in ROWS]
    assert list(table["DKZS"]) == ["-70000", "", "5", "2147483647"]
    assert [float(area) for area in table["HTMJ"] if area] == [row[4] for row in ROWS if row[4] is not None]
    assert list(table["DCRQ"])[3] == "2020-02-29 23:59:59"
    assert list(table["YX"]) == ["1", "0", "0", "1"]


def test_access_parser_alone_would_spoil_mixed_text(tmp_path):
    # Why rows are taken apart here: if this fails, access-parser has learnt it and jet.py may go.
    file = write_mdb(tmp_path / "2016.mdb", {"FBF": (MIXED, ROWS)}, toggled=True)
    assert access_parser.AccessParser(str(file)).parse_table("FBF")["FBFMC"][0] != ROWS[0][1]


@needs_mdbtools
def test_tables_of_many_pages_are_read_whole(tmp_path, monkeypatch):
    rows = [(f"{i:014d}", "村民小组" * 10, i % 100, i, i / 7, None, True, None) for i in range(20_000)]
    file = write_mdb(
        tmp_path / "2016.mdb", {"FBF": (MIXED, rows)}
    )  # over 512 pages: the map has pages of its own
    table = by_python(monkeypatch, file, "FBF")[1]
    assert list(table["FBFBM"]) == [row[0] for row in rows]
    pd.testing.assert_frame_equal(access.read(file, "FBF").fillna(""), table)


def compressed(value):
    """Text as Access packs it: a run of one byte a character, a zero byte, a run of two, a zero byte …"""
    out, narrow = bytearray(b"\xff\xfe"), True
    for character in value:
        if (0 < ord(character) < 256) != narrow:
            out.append(0)
            narrow = not narrow
        out += character.encode("latin-1" if narrow else "utf-16-le")
    return bytes(out)


# Wide characters whose low byte is zero would end their run: Access does not pack those.
PACKED = st.text(
    st.characters(
        max_codepoint=0xFFFF, exclude_categories=["Cs"], exclude_characters="\0\ufeff\ufffe"
    ).filter(lambda c: ord(c) < 256 or ord(c) & 0xFF)
)


@given(value=PACKED)
def test_packed_text_comes_back(value):
    assert jet.text(compressed(value)) == value


@given(
    value=st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"], exclude_characters="\ufeff"))
)
def test_plain_text_comes_back(value):
    assert jet.text(value.encode("utf-16-le")) == value


def test_a_database_with_a_password_is_refused(tmp_path):
    file = write_mdb(tmp_path / "2016.mdb", {"FBF": (MIXED, ROWS)}, password="秘密123")  # noqa: S106 - a test
    with pytest.raises(InputError, match=r"2016\.mdb 有密码；请在 Access 中"):
        access.table_names(file)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda data: b"\x00\x01\x00\x00garbage" + data[11:], "不是 Access 数据库"),
        (lambda data: data[:5000], "不完整"),
        (lambda _: b"", "不是 Access 数据库"),
        (lambda data: data[:4096] + bytes(len(data) - 4096), "已损坏或加密"),
    ],
    ids=["other file", "cut short", "empty", "pages wiped"],
)
def test_a_damaged_database_is_refused_in_one_line(tmp_path, damage, says):
    file = write_mdb(tmp_path / "2016.mdb", {"FBF": (MIXED, ROWS)})
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(InputError, match=says) as refused:
        access.table_names(file)
    assert "\n" not in str(refused.value)
    assert "2016.mdb" in str(refused.value)


@pytest.mark.parametrize("tools", [True, False])
def test_rows_that_are_gone_are_not_passed_over(tmp_path, monkeypatch, tools):
    rows = [(f"{i:014d}", "组" * 40, 1, i, 0.0, None, True, None) for i in range(400)]
    file = write_mdb(tmp_path / "2016.mdb", {"FBF": (MIXED, rows)})
    data = bytearray(file.read_bytes())
    data[5 * 4096 + 12 : 5 * 4096 + 14] = b"\0\0"  # a data page that has forgotten its rows
    file.write_bytes(bytes(data))
    if not tools:
        monkeypatch.setattr(access, "_mdbtools", lambda *_: None)
    with pytest.raises(InputError, match="记有 400 行，只读到"):
        access.read(file, "FBF")
