"""The documentation: up to date with the data files, built whole, and readable with no network."""

import re
import runpy
import shutil
import subprocess
import sys

import pytest
import typer

from geo.cli import app
from tests.helpers import ROOT

DOCS = ROOT / "docs"


def test_the_data_dictionary_is_up_to_date():
    page = runpy.run_path(str(DOCS / "dictionary.py"))["page"]
    assert (DOCS / "data_dictionary.md").read_text(encoding="utf-8") == page(), "run: make docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The documentation built from a copy of its sources, every warning an error."""
    root = tmp_path_factory.mktemp("site")
    shutil.copy(ROOT / "pyproject.toml", root)
    made = shutil.ignore_patterns("_build", "_autosummary")
    docs = shutil.copytree(DOCS, root / "docs", ignore=made)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", docs, root / "html"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return root / "html"


def test_the_documentation_builds_and_has_the_reference(site):
    page = (site / "_autosummary" / "geo.area.html").read_text(encoding="utf-8")
    assert "ellipsoidal_area" in page


def test_pages_load_nothing_from_a_network(site):
    loads = re.compile(r"""<(?:script|img|link|iframe)\b[^>]*?\b(?:src|href)=["'](?:https?:)?//[^"']+""")
    fetched = re.compile(r"""(?:@import|url\()\s*["']?(?:https?:)?//""")
    found = []
    for path in site.rglob("*"):
        if path.suffix in {".html", ".css"}:
            text = path.read_text(encoding="utf-8")
            found += [(path.name, match[0]) for match in (loads.search(text), fetched.search(text)) if match]
    assert found == []


def told_commands():
    """Every ``taotu`` command that stands in a code block of the readmes and guides, backslashes joined."""
    for name in ("README.md", "README.zh.md", "docs/guide.md", "docs/guide.zh.md", "docs/grids.md"):
        text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
        for line in re.findall(r"^taotu .+$", text, re.MULTILINE):
            yield pytest.param(line.split()[1:], id=f"{name}-{line[6:100]}")


@pytest.mark.parametrize("words", list(told_commands()))
def test_a_command_the_readers_are_told_is_one_the_program_has(words):
    command = typer.main.get_command(app).commands[words[0]]
    if words[0] == "grids":
        command = command.commands[words[1]]
    options = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options
