"""Sphinx configuration; nothing is fetched from the network.

OMP_NUM_THREADS=1 python -m sphinx -W --keep-going docs docs/_build/html
"""

import re

import sk_hessian

project = "sk_hessian"
author = "the sk_hessian developers"
copyright = "the sk_hessian developers, BSD-3-Clause"
release = version = sk_hessian.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
templates_path = ["_templates"]
exclude_patterns = ["_build", "sg_execution_times.rst", "gallery/sg_execution_times.rst"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# the configuration of the gallery holds objects that cannot be kept between builds
suppress_warnings = ["config.cache"]

autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
numpydoc_show_inherited_class_members = False
default_role = "code"

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    # an example of processes that talk over the network is shown, not run
    "filename_pattern": r"/examples/(?!on_a_cluster)[a-z_]+\.py$",
    "ignore_pattern": r"benchmarks|__init__",
    "download_all_examples": False,
    "show_memory": False,
    "remove_config_comments": True,
}

html_theme = "pydata_sphinx_theme"
html_title = "sk_hessian"
html_static_path = ["_static"]
html_css_files = ["site.css"]
# pages without others below them have nothing to navigate
html_sidebars = {
    page: []
    for page in ("getting_started", "coming_from*", "out_of_scope", "performance", "scaling", "streams", "architecture")
    + ("contributing", "glossary", "bibliography", "changelog")
}
html_show_sourcelink = False
html_theme_options = {
    "header_links_before_dropdown": 5,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
}


def without_foreign_references(app, what, name, obj, options, lines):
    """Methods that scikit-learn hands down refer to labels and terms of its own site: their text is kept."""
    lines[:] = [re.sub(r":(?:ref|term):`([^`<]*?)\s*(<[^`]*>)?`", r"\1", line) for line in lines]


def without_last_blank_lines(app, name, source):
    """Doctest wants a blank line before the fence that ends a session; a reader does not."""
    source[0] = re.sub(r"\n\n```\n", "\n```\n", source[0])


def setup(app):
    """Called by Sphinx."""
    app.connect("source-read", without_last_blank_lines)
    app.connect("autodoc-process-docstring", without_foreign_references, priority=400)
