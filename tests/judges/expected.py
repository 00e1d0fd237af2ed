"""Lists of what a judge finds wrong today: `expected/JUDGE.txt`, one test and its reason to a line.

    name of the test  # why it fails, in words that say whether we or the test will change

A list may only shrink: a test that fails without standing there fails the run, and so does one that stands
there and passes. A test that skips itself has not passed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

FOLDER: Final = Path(__file__).parent / "expected"
RESULTS: Final = "HOLDFAST_JUDGES_RESULTS"
"""Names a folder where what failed is written to as well, as the lists are, with the judge's words."""

Failures = Mapping[str, str]
"""Tests that did not pass, each with what the judge said."""


def read_expected(judge: str) -> dict[str, str]:
    """Tests of this judge that are known not to pass, each with its reason."""
    path = FOLDER / f"{judge}.txt"
    found: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        if not line.strip() or line.startswith("#"):
            continue
        name, mark, reason = line.partition("  # ")
        assert mark, f"{path.name}: {line!r} gives no reason"
        assert reason.strip(), f"{path.name}: {line!r} gives no reason"
        assert name.strip() not in found, f"{path.name}: {name!r} stands there twice"
        found[name.strip()] = reason.strip()
    return found


Outcome = tuple[set[str], Failures]
"""Of a suite: the tests that passed, and those that did not."""


def settled(judge: str, run_suite: Callable[[], Outcome], *, over: str = "") -> list[str]:
    """As `compare`, for a suite that is run again where it differs from the list.

    Some of its tests race with their own clocks or with each other; only what differs both times is told.
    """
    first = differences(judge, *run_suite(), over=over)
    if not first:
        return []
    again = differences(judge, *run_suite(), over=over)
    return [words for name, words in again.items() if name in first]


def compare(judge: str, passed: set[str], failed: Failures, *, over: str = "") -> list[str]:
    """What differs from the list, as sentences; empty is well."""
    return list(differences(judge, passed, failed, over=over).values())


def differences(judge: str, passed: set[str], failed: Failures, *, over: str = "") -> dict[str, str]:
    """What differs from the list, as sentences by the test's name.

    Lines of the list that begin with `http:` or `https:` count only for runs over that.
    """
    listed = {}
    for name, reason in read_expected(judge).items():
        scheme, mark, rest = name.partition(":")
        if mark and scheme in {"http", "https"}:
            if scheme == over:
                listed[rest] = reason
        else:
            listed[name] = reason
    _write(f"{judge}-{over}" if over else judge, failed)
    wrong = {n: f"{n} failed: {words}" for n, words in sorted(failed.items()) if n not in listed}
    wrong |= {n: f"{n} passes now: take it off the list" for n in sorted(listed) if n in passed}
    wrong |= {
        n: f"{n} was not run: take it off the list, or run it"
        for n in sorted(set(listed) - passed - set(failed))
    }
    return wrong


def _write(name: str, failed: Failures) -> None:
    folder = os.environ.get(RESULTS)
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        lines = [f"{test}  # {' '.join(words.split())[:600]}\n" for test, words in sorted(failed.items())]
        (Path(folder) / f"{name}.txt").write_text("".join(lines), encoding="utf-8")


def read_junit(path: Path) -> tuple[set[str], dict[str, str]]:
    """Tests that passed, and those that did not with what was said, of pytest's `--junitxml`."""
    passed: set[str] = set()
    failed: dict[str, str] = {}
    for case in ET.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname', '').rpartition('tests.')[2]}::{case.get('name', '')}"
        bad = next((part for part in case if part.tag in {"failure", "error", "skipped"}), None)
        if bad is None:
            passed.add(name)
        else:
            failed[name] = f"{bad.tag}: {bad.get('message') or (bad.text or '')[-600:]}"
    return passed - set(failed), failed
