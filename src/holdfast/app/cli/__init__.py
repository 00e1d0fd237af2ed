"""The `holdfast` command: one module for each group of subcommands; output for people, or `--json` for programs."""
