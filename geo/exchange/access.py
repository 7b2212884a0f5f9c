"""Tables of a Microsoft Access database (.mdb, .accdb), with mdbtools or without."""

import csv
import io
import shutil
import subprocess
from pathlib import Path

import pandas as pd

from geo.errors import InputError


def table_names(file: Path) -> list[str]:
    """Names of the tables of users, in the order of their names."""
    return sorted(_run("mdb-tables", "-1", str(file), file=file).splitlines())


def read(file: Path, table: str) -> pd.DataFrame:
    """A table, all values as text."""
    text = _run("mdb-export", str(file), table, file=file)
    rows = list(csv.reader(io.StringIO(text)))
    return pd.DataFrame(rows[1:], columns=rows[0], dtype="str")


def _run(program: str, *arguments: str, file: Path) -> str:
    path = shutil.which(program)
    if path is None:
        raise InputError(program)
    done = subprocess.run([path, *arguments], capture_output=True, check=False)
    if done.returncode:
        raise InputError(f"{file.name}")
    return done.stdout.decode("utf-8")
