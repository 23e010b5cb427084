"""The subcommands that try rules without delivering, such as replay and explain: one module a command."""
