"""The data files in geo/standards: every name has its Chinese title, and code and registry agree."""

import ast
import re

import pandas as pd
import pytest

from geo import schema
from geo.findings import SEVERITIES, rules
from tests.helpers import ROOT

STANDARDS = ROOT / "geo" / "standards"
CHINESE = re.compile(r"[\u4e00-\u9fff]|°")  # slope classes are named by their degrees


def table(name):
    return pd.read_csv(STANDARDS / name, dtype=str, keep_default_na=False)


def literals():
    """Every string that stands in geo's code, docstrings left out, with the calls of findings."""
    used, called = set(), set()
    for path in (ROOT / "geo").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                used.add(node.value)
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", None))
                rule = [keyword.value for keyword in node.keywords if keyword.arg == "rule"]
                if name == "findings":
                    rule += node.args[:1]
                called |= {value.value for value in rule if isinstance(value, ast.Constant)}
    return used, called


def test_every_rule_that_code_reports_is_registered():
    _, called = literals()
    assert called - set(rules().index) == set()


def test_every_registered_rule_is_used():
    used, _ = literals()
    assert set(rules().index) - used == set()


def test_a_rule_stands_once_in_the_registry():
    assert rules().index.is_unique


def test_every_rule_has_severity_chinese_title_and_advice():
    registry = rules()
    assert set(registry["severity"]) <= set(SEVERITIES)
    for name in ("title", "advice"):
        silent = registry.index[~registry[name].str.contains(CHINESE)]
        assert list(silent) == [], name


@pytest.mark.parametrize(("file", "column"), [("columns.csv", "title"), ("codes.csv", "name")])
def test_every_column_and_code_has_a_chinese_name(file, column):
    rows = table(file)
    silent = rows[~rows[column].str.contains(CHINESE)]
    assert silent.to_dict("records") == []


def test_a_code_stands_once_in_its_list():
    assert not table("codes.csv").duplicated(["list", "code"]).any()


def test_a_column_stands_once_in_its_layer():
    assert not table("columns.csv").duplicated(["layer", "column"]).any()


@pytest.mark.parametrize("layer", schema.LAYER_TITLES)
def test_every_layer_of_the_workspace_has_columns_and_a_chinese_title(layer):
    assert schema.columns(layer)
    assert CHINESE.search(schema.LAYER_TITLES[layer])
