"""Rcfiles in the styles that people publish, each with every mail, through the reference and through ours.

`*.rc` are the rcfiles, `mails/` and some of examples/inbox.mbox the mails, `home/` the home directory that each run
begins with: programs, lists of addresses, files to include, and folders.  wild.toml says what is particular.
"""
