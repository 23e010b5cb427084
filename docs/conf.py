"""Sphinx's settings for the site that `make docs` builds; docs/assemble.py brings the pages."""

from pyprocmail import __version__

project = "pyprocmail"
release = __version__
extensions = ["myst_parser"]
myst_enable_extensions = ["attrs_inline"]  # places to link to, inside a table
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # manual pages may leave out a level
highlight_language = "none"
smartquotes = False  # `--option` stays as it is
html_theme = "furo"  # neither fonts nor scripts of other hosts
html_title = "pyprocmail"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
