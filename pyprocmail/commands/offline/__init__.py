"""The subcommands that show what the rules do, and do nothing: replay, explain and their like; one module a command."""

from __future__ import annotations

from pyprocmail.commands.offline.coverage import coverage
from pyprocmail.commands.offline.diff import diff
from pyprocmail.commands.offline.explain import explain
from pyprocmail.commands.offline.refile import refile
from pyprocmail.commands.offline.replay import replay
from pyprocmail.commands.offline.ruletests import test

COMMANDS = (replay, explain, diff, coverage, test, refile)
