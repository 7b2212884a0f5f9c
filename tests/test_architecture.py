"""The shape of the code: imports go one way, and every public name says what it is."""

import ast
import re
import sys
import tomllib
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from itertools import chain

import pytest

import geo.errors
from tests.helpers import ROOT

# Each unit may import from its own level and the levels above it in this list, and never in a circle.
LEVELS = [
    {"errors", "schema", "findings", "codes", "crs", "area", "topology", "atomic", "standards"}
    | {"datum", "control_points", "movement", "shifts", "memory", "workers", "provenance"},
    {"exchange", "reconcile", "sheets", "grids", "sample", "raster", "workbook"} | {"tiles", "orthophoto"},
    {"workspace", "store", "cluster"},
    {"field", "letting"},
    {"ledger", "report", "overview", "webdata", "webpage", "webpanel", "webmap", "pipeline"}
    | {
        "roster",
        "certificate",
        "webgrids",
        "grid_pipeline",
        "grid_tables",
        "grid_page",
        "assets",
        "servedmap",
    }
    | {"extension", "extension_book"},
    {"terminal", "cli", "grid_cli", "api"},
]
LEVEL_OF = {unit: level for level, units in enumerate(LEVELS) for unit in units}

GEO_ERRORS = {name for name, item in vars(geo.errors).items() if isinstance(item, type)}

MODULES = sorted(path for package in ("geo", "api") for path in (ROOT / package).rglob("*.py"))
EACH_MODULE = pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def unit(name):
    """The part of the product a dotted module name belongs to: ``geo.reconcile.run`` is ``reconcile``."""
    package, _, rest = name.partition(".")
    return "api" if package == "api" else rest.partition(".")[0]


def unit_of_file(path):
    return unit(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))


def imported_units(path):
    """Units a file imports anywhere, inside functions too."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            # `from geo import schema` names a module only in its second half
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (unit(name) for name in names if name.partition(".")[0] in {"geo", "api"})


@EACH_MODULE
def test_every_module_has_its_level(path):
    assert unit_of_file(path) in LEVEL_OF or path.name == "__init__.py"


@EACH_MODULE
def test_imports_go_one_way(path):
    own = unit_of_file(path)
    if not own:
        assert not set(imported_units(path)), "geo/__init__.py imports nothing, so that parts load alone"
        return
    for other in imported_units(path):
        assert LEVEL_OF[other] <= LEVEL_OF[own], f"{own} may not import {other}"


def test_parts_do_not_import_each_other_in_a_circle():
    graph = {}
    for path in MODULES:
        if own := unit_of_file(path):
            graph.setdefault(own, set()).update(set(imported_units(path)) - {own, ""})
    TopologicalSorter(graph).prepare()  # raises CycleError


def public(body):
    """Public functions and classes of a body, and those inside its public classes."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_":
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)


@EACH_MODULE
def test_every_public_name_is_documented(path):
    module = tree(path)
    silent = [node.name for node in public(module.body) if not ast.get_docstring(node)]
    assert ast.get_docstring(module)
    assert silent == []


def raised(function):
    """Names of this project's errors that stand in the function's own raise statements."""
    for node in ast.walk(function):
        if (
            isinstance(node, ast.Raise)
            and isinstance(node.exc, ast.Call)
            and isinstance(node.exc.func, ast.Name)
        ):
            yield node.exc.func.id


@EACH_MODULE
def test_what_a_function_raises_stands_in_its_docstring(path):
    untold = [
        f"{node.name}: {name}"
        for node in public(tree(path).body)
        if not isinstance(node, ast.ClassDef)
        for name in set(raised(node)) & GEO_ERRORS
        if name not in (ast.get_docstring(node) or "").partition("Raises\n------")[2]
    ]
    assert untold == []


def test_every_error_descends_from_one():
    errors = [getattr(geo.errors, name) for name in GEO_ERRORS]
    assert all(issubclass(error, geo.errors.GeoError) for error in errors)


def test_the_walk_sees_imports_in_both_forms():
    found = set(chain.from_iterable(imported_units(path) for path in MODULES))
    assert {"schema", "errors"} <= found


def imported_packages(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.partition(".")[0]


def test_what_the_product_imports_is_a_dependency_it_names():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {canonical(re.match(r"[\w.-]+", line)[0]) for line in project["dependencies"]}
    imported = {package for path in MODULES for package in imported_packages(path)}
    third = imported - set(sys.stdlib_module_names) - {"geo", "api"}
    providers = packages_distributions()
    lacking = {package for package in third if not named & {canonical(name) for name in providers[package]}}
    assert lacking == set()


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()
