"""A file appears whole or not at all."""

import errno
import os
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from geo.atomic import alone, whole_file
from geo.errors import OutputError


def test_the_file_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "new" / "deep" / "book.txt"
    with whole_file(target) as scratch:
        scratch.write_text("第一行", encoding="utf-8")
        assert not target.exists()
    assert target.read_text(encoding="utf-8") == "第一行"
    assert [path.name for path in target.parent.iterdir()] == ["book.txt"]


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "book.txt"
    target.write_text("old", encoding="utf-8")

    def write():
        with whole_file(target) as scratch:
            scratch.write_text("half", encoding="utf-8")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert target.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_replaced_file_keeps_its_permissions(tmp_path):
    target = tmp_path / "book.txt"
    target.write_text("old", encoding="utf-8")
    target.chmod(0o640)
    with whole_file(target) as scratch:
        scratch.write_text("new", encoding="utf-8")
    assert target.stat().st_mode & 0o777 == 0o640


def test_a_link_is_followed_and_stays_a_link(tmp_path):
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text("old", encoding="utf-8")
    link.symlink_to(real)
    with whole_file(link) as scratch:
        scratch.write_text("new", encoding="utf-8")
    assert link.is_symlink()
    assert real.read_text(encoding="utf-8") == "new"


def test_what_a_kill_left_is_cleared_only_once_it_is_old(tmp_path):
    target = tmp_path / "book.txt"
    running, dead = tmp_path / ".book.txt.unfinished-aa", tmp_path / ".book.txt.unfinished-bb"
    for folder in (running, dead):
        folder.mkdir()
        (folder / "file.txt").touch()
    long_ago = time.time() - 2 * 3600
    os.utime(dead, (long_ago, long_ago))
    with whole_file(target) as scratch:
        scratch.touch()
    assert running.is_dir()
    assert not dead.exists()


def test_a_folder_in_the_way_is_named(tmp_path):
    (tmp_path / "book.txt").mkdir()
    with pytest.raises(OutputError, match=r"book\.txt 是一个文件夹"), whole_file(tmp_path / "book.txt"):
        pytest.fail("a block was begun that cannot end")


def test_a_file_where_a_folder_should_be_is_named(tmp_path):
    (tmp_path / "out").touch()
    for target in (tmp_path / "out" / "book.txt", tmp_path / "out" / "deep" / "book.txt"):
        with pytest.raises(OutputError, match="out"), whole_file(target):
            pytest.fail("a block was begun that cannot end")


def test_a_folder_without_write_permission_is_refused(tmp_path, as_nobody):
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o555)
    with as_nobody(), pytest.raises(OutputError, match="没有写权限"), whole_file(folder / "book.txt"):
        pytest.fail("a block was begun that cannot end")


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_lock_that_cannot_be_set_is_one_clear_error(tmp_path, monkeypatch, code):
    def refused(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(OutputError, match="不能写入"), alone(tmp_path / "county.gpkg"):
        pytest.fail("a block was begun that cannot end")


@pytest.fixture
def as_nobody(tmp_path):
    """A context in which file permissions hold, even when the tests run as root."""
    if not hasattr(os, "geteuid"):
        pytest.skip("permissions of folders are another matter here")
    if os.geteuid() != 0:
        return nullcontext

    @contextmanager
    def nobody():
        for folder in (tmp_path, *tmp_path.parents[:-2]):
            if folder.stat().st_uid == 0 and folder.name.startswith(("pytest", tmp_path.name)):
                folder.chmod(0o755)
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    return nobody
