"""How the documentation is built: Markdown pages and the reference from docstrings, nothing fetched from a network."""

import tomllib
from pathlib import Path

_project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]

project = "Taotu 套图"
author = "Taotu contributors"
release = version = _project["version"]
project_copyright = author  # no year: the same sources give the same pages
html_last_updated_fmt = None

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
# Links out of docs (source files, the readme) lead to the checkout; on the page they stay plain text.
suppress_warnings = ["myst.xref_missing"]

autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_typehints = "none"  # signatures stay short: types stand in the docstring, with rows and units
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_param = False

html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = ["_static"]
html_css_files = ["taotu.css"]
html_copy_source = False
html_show_sphinx = False
