"""Sphinx configuration: ``python -m sphinx -W docs docs/_build/html``; nothing is fetched from the network."""

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
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# the README's links to pages, and the pages' links to examples, hold on the site and in the repository
suppress_warnings = ["config.cache"]

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_show_inherited_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/examples/[a-z_]+\.py$",
    "ignore_pattern": r"benchmarks|__init__",
    "download_all_examples": False,
    "show_memory": False,
    "remove_config_comments": True,
}

html_theme = "pydata_sphinx_theme"
html_title = "sk_hessian"
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": False, "show_toc_level": 2}
