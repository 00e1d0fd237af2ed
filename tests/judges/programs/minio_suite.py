"""Runs minio-py's functional tests (their file is the first argument) all to the end; one JSON line for each.

Their own `main` stops at the first that fails.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys


def main(path: str) -> None:
    spec = importlib.util.spec_from_file_location("functional_tests", path)
    assert spec is not None
    assert spec.loader is not None
    suite = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(suite)
    call = suite._call_test

    def call_and_go_on(*arguments: object, **named: object) -> None:
        # The line that it printed says that it failed.
        with contextlib.suppress(suite.TestFailed):
            call(*arguments, **named)

    suite._call_test = call_and_go_on
    suite.main()


if __name__ == "__main__":
    main(sys.argv[1])
