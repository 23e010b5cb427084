"""The subcommands that show what the rules do, and do nothing: replay, explain and their like; one module a command."""
