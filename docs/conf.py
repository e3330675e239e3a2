"""Configuration of the documentation, built by `sphinx-build -W -b html docs docs/_build/html`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import parampi

project = "parampi"
version = release = parampi.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx-mathjax-offline", "plain_docstrings"]
exclude_patterns = ["_build", "generated"]
myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence"]
myst_heading_anchors = 3
# Equations carry the number of their page, as (2.1), so that a reference from another page is not ambiguous.
numfig = True
numfig_secnum_depth = 1
math_eqref_format = "({number})"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
add_module_names = False
highlight_language = "text"  # of literal blocks in docstrings: prose laid out by columns
html_theme = "furo"
html_title = f"parampi {release}"
html_show_copyright = False
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["wide.css"]
