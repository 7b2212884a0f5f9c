import pytest

from geo.errors import InputError
from geo.exchange import encoding, read
from tests.geo.exchange.small import message, patches, rules, save


def dbf(tmp_path, name, said=None, village="山西省寿阳县南坡村", **options):
    path = save(patches(ZLDWMC=village), tmp_path / "DLTB.shp", encoding=name, drop=[".cpg"], **options)
    if said is not None:
        path.with_suffix(".cpg").write_text(said)
    return path


@pytest.mark.parametrize("said", ["", "GBK", "936", "UTF-8", "65001", "ISO-8859-1", "1252"])
@pytest.mark.parametrize("name", ["GB18030", "UTF-8"])
def test_chinese_is_read_right_whatever_the_cpg_says(tmp_path, name, said):
    reading = read.survey(dbf(tmp_path, name, said))
    assert set(reading.table["location_unit_name"]) == {"山西省寿阳县南坡村"}
    told_right = said in (("GBK", "936") if name == "GB18030" else ("UTF-8", "65001"))
    assert rules(reading) == ([] if told_right else ["encoding_inferred"])


def test_without_cpg_the_finding_says_what_was_found(tmp_path):
    assert "没有 .cpg" in message(read.survey(dbf(tmp_path, "GB18030")), "encoding_inferred")


def test_a_wrong_cpg_is_named(tmp_path):
    said = message(read.survey(dbf(tmp_path, "GB18030", "UTF-8")), "encoding_inferred")
    assert "UTF-8" in said
    assert "GB18030" in said


def test_plain_ascii_leaves_nothing_to_infer(tmp_path):
    path = save(patches(ZLDWMC="Nanpo"), tmp_path / "DLTB.shp", drop=[".cpg"])
    assert rules(read.survey(path)) == []


def test_accents_stay_with_the_encoding_the_cpg_names(tmp_path):
    path = dbf(tmp_path, "ISO-8859-1", "ISO-8859-1", village="Bürgerbüel près")
    assert set(read.survey(path).table["location_unit_name"]) == {"Bürgerbüel près"}


def test_names_cut_in_the_middle_of_a_character_do_not_stop_the_reading(tmp_path):
    path = dbf(tmp_path, "UTF-8", "UTF-8", village="村" * 26 + "a")
    data = path.with_suffix(".dbf").read_bytes()
    cut = data.replace(("村" * 26 + "a").encode(), ("村" * 26).encode()[:-1] + b"  ", 1)
    assert cut != data
    path.with_suffix(".dbf").write_bytes(cut)
    reading = read.survey(path)
    assert reading.table["location_unit_name"].tolist() == ["村" * 25, *["村" * 26 + "a"] * 3]
    assert "encoding_inferred" in rules(reading)


def test_the_headers_language_byte_counts_where_there_is_no_cpg(tmp_path):
    path = dbf(tmp_path, "GB18030").with_suffix(".dbf")
    data = bytearray(path.read_bytes())
    data[29] = 0x4D
    path.write_bytes(bytes(data))
    found = encoding.of_dbf(path, None)
    assert (found.name, found.certain) == ("GB18030", True)


@pytest.mark.parametrize("length", [10, 200])
def test_a_dbf_cut_short_is_refused(tmp_path, length):
    path = dbf(tmp_path, "GB18030").with_suffix(".dbf")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match=r"DLTB\.dbf 不(是)?完整"):
        encoding.of_dbf(path, None)
