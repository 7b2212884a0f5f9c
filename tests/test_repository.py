"""The repository's own promises: its lock, its links, its two readmes, what no file may hold."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.helpers import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
README_ZH = (ROOT / "README.zh.md").read_text(encoding="utf-8")

# Put together here so that this file does not hold what it looks for.
REGISTRIES = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("deb", "debian", "org"),
        ("tuna", "tsinghua"),
        ("mirrors", "aliyun"),
    )
]
MACHINE_PATHS = re.compile(r"(?<![\w.:*/~-])/(?:root|home|work|opt|Users|tmp)/[\w.]")


@pytest.fixture(scope="module")
def files():
    """Text files under version control."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    texts = {}
    for name in filter(None, listed.stdout.split("\0")):
        content = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b"\0"
        if b"\0" not in content:
            texts[name] = content.decode("utf-8", errors="replace")
    return texts


def headings(text):
    return re.findall(
        r"^(#+) ", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )


def test_no_file_names_a_package_registry(files):
    assert [(name, host) for name, text in files.items() for host in REGISTRIES if host in text] == []


def test_no_file_holds_a_path_of_one_machine(files):
    found = {name: match[0] for name, text in files.items() if (match := MACHINE_PATHS.search(text))}
    assert found == {}


@pytest.mark.parametrize("path", ["/" + "root/x", "cd /" + "home/li/taotu", "'/" + "tmp/a'"])
def test_a_path_of_one_machine_is_seen(path):
    assert MACHINE_PATHS.search(path)


def test_the_lock_pins_every_package_by_hash():
    blocks = [block for block in re.split(r"^(?=\S)", LOCK, flags=re.MULTILINE) if block.strip()]
    loose = [block.split()[0] for block in blocks if "==" not in block or "--hash=sha256:" not in block]
    assert len(blocks) > len(PROJECT["dependencies"])
    assert loose == []


def test_the_lock_holds_no_address():
    assert "://" not in LOCK
    assert not re.search(r"^\s*(-i|-f|--\w*index|--find)", LOCK, re.MULTILINE)


def test_the_lock_has_every_dependency_of_the_project():
    wanted = list(PROJECT["dependencies"])
    for extra in PROJECT["optional-dependencies"].values():
        wanted += extra
    names = {re.match(r"[\w.-]+", item)[0].lower() for item in wanted}
    assert names - set(re.findall(r"^([\w.-]+)==", LOCK, re.MULTILINE)) == set()


def test_every_make_command_of_the_readmes_is_a_target():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    told = set(re.findall(r"^make (\w+)", README + README_ZH, re.MULTILINE))
    assert {"demo", "test"} <= told
    assert told <= targets


def test_ci_runs_the_readmes_test_command_and_the_linters():
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert "make test" in lines
    assert "make check" in lines


def test_both_readmes_have_the_same_headings():
    assert headings(README) == headings(README_ZH)


def test_the_changelog_tells_of_this_version():
    assert f"\n## [{PROJECT['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_relative_link_leads_somewhere(files):
    broken = []
    for name, text in files.items():
        if not name.endswith(".md"):
            continue
        for target in re.findall(
            r"\]\(([^)\s]+)\)", re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
        ):
            path = target.partition("#")[0]
            if path and "://" not in path and not (ROOT / Path(name).parent / path).exists():
                broken.append((name, target))
    assert broken == []
