"""How much of a county's machine jobs and uploads may take."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from geo.errors import InputError

_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """How jobs are run, and what is kept of them.

    Raises
    ------
    InputError
        If there is no folder of inputs where one is said to be.
    """

    workers: int = 1  # jobs at once
    threads: int = 0  # of each job, 0 for every core
    nice: int = 10  # how far jobs stand back behind the service
    keep_runs: int = 20  # folders of ended jobs; the newest successful one of each process stays beside
    keep_bytes: int = 40_960 * _MIB  # of them together
    keep_rows: int = 2000  # of ended jobs in the table
    most_waiting: int = 100
    most_streams: int = 200  # listeners at once
    end_after_s: float = 5.0  # a job that was told to end and does not is killed
    inputs: Path | None = None  # folder on the server that jobs may read from

    def __post_init__(self) -> None:
        """Refuse a folder that is none."""
        if self.inputs is not None and not self.inputs.is_dir():
            raise InputError(f"没有服务器数据目录 {self.inputs}：请核对 --inputs")


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadSettings:
    """How much one upload may bring."""

    max_bytes: int = 2048 * _MIB
    max_unpacked: int = 20_480 * _MIB
    max_files: int = 5_000
    max_ratio: float = 100.0  # unpacked to packed; tables of blanks reach 50
    ratio_from: int = 64 * _MIB  # unpacked bytes from which the ratio counts
    max_book: int = 1024 * _MIB  # of an unpacked workbook
    min_free: int = 512 * _MIB  # bytes that stay free on the disk
