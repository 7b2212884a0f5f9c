"""A file appears whole or not at all.

It is written in a hidden folder beside its place, put on the disk, and moved
there in one step: whoever looks sees the old file or the new one, and a full
disk, a kill or an exception leaves the old one as it was.
"""

import errno
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from geo.errors import OutputError

_MARK: Final = ".unfinished-"
_STALE_S: Final = 3600.0  # no file takes an hour: a folder that old was left by a kill


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A scratch path to write to; what stands there at the end becomes ``path``.

    Missing folders are made. A link is followed, so that what it points to is
    replaced. The scratch path ends as ``path`` does, alone in its folder: files
    a library puts beside it vanish with it.

    Parameters
    ----------
    path : path
        Where the file shall be.

    Yields
    ------
    Path
        A free path in a new folder on the same disk.

    Raises
    ------
    OutputError
        If the folder cannot be made or written to, the disk is full, or a
        folder stands where the file should.
    """
    target = Path(path).resolve()
    folder = _folder(target)
    try:
        scratch_folder = Path(tempfile.mkdtemp(prefix=f".{target.name}{_MARK}", dir=folder))
    except OSError as error:
        raise OutputError(
            f"输出文件夹 {folder} 不能写入（{reason(error)}）：请换一个文件夹或取得写权限"
        ) from error
    try:
        scratch = scratch_folder / f"file{target.suffix}"
        yield scratch
        _publish(scratch, target)
    except OSError as error:
        raise OutputError(f"写不了 {target}（{reason(error)}）：原有文件未改动，请处理后重试") from error
    finally:
        shutil.rmtree(scratch_folder, ignore_errors=True)


@contextmanager
def alone(path: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other runs off a file for as long as this lasts; the system lets go of it even after a kill.

    Raises
    ------
    OutputError
        If another run has it, or its folder cannot be written to.
    """
    target = Path(path).resolve()
    _folder(target)
    mark = target.with_name(f".{target.name}.lock")
    try:
        held = mark.open("w", encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"输出文件夹 {target.parent} 不能写入（{reason(error)}）：请换一个文件夹或取得写权限"
        ) from error
    with held as file:
        if not _locked(file):
            raise OutputError(f"另一个任务正在写 {target}；请等它结束，或换一个文件名")
        try:
            yield
        finally:
            with suppress(OSError):  # some systems keep an open file's name
                mark.unlink(missing_ok=True)


def _locked(file: IO[str]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415 - of that system only

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl  # noqa: PLC0415 - of the others only

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def reason(error: OSError) -> str:
    """What the operating system refused, in Chinese where it is a common case."""
    common = {
        errno.ENOSPC: "磁盘已满",
        errno.EDQUOT: "磁盘配额已用完",
        errno.EFBIG: "文件超过允许的大小",
        errno.EACCES: "没有写权限",
        errno.EPERM: "没有写权限",
        errno.EROFS: "磁盘为只读",
        errno.ENOTDIR: "上级路径不是文件夹",
        errno.ENAMETOOLONG: "文件名过长",
        errno.EISDIR: "同名的文件夹已存在",
    }
    return common.get(error.errno or 0) or error.strerror or str(error)


def _folder(target: Path) -> Path:
    folder = target.parent
    try:
        if target.is_dir():
            raise OutputError(f"{target} 是一个文件夹：请移走它，或换一个文件名")
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f".*{_MARK}*"):
            with suppress(FileNotFoundError):  # its writer just finished
                if time.time() - left.stat().st_mtime > _STALE_S:
                    shutil.rmtree(left, ignore_errors=True)
    except FileExistsError as error:
        raise OutputError(f"文件夹 {folder} 建不了：同名的文件已存在") from error
    except OSError as error:
        raise OutputError(
            f"文件夹 {folder} 不能使用（{reason(error)}）：请换一个文件夹或取得写权限"
        ) from error
    return folder


def _publish(scratch: Path, target: Path) -> None:
    if target.exists():
        shutil.copymode(target, scratch)
    to_disk(scratch)
    scratch.replace(target)
    if os.name == "posix":
        to_disk(target.parent)  # the new name, too, must outlive a power cut


def to_disk(path: Path) -> None:
    """Have a file, or the names in a folder, outlive a power cut."""
    handle = os.open(path, os.O_RDONLY if path.is_dir() or os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
