"""The `holdfast` command: one module for each group of subcommands.

Output is for people, or with `--json` for programs. Failures are printed in one place.
"""
