"""A database that somebody else holds for a while: reading goes on, writing waits, nothing is lost."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

import pytest
from tests.app.running import RunningCloud

pytestmark = pytest.mark.slow

HELD_SECONDS = 8.0
"""Longer than the coordinator itself waits for the lock."""


def test_a_database_locked_from_outside_is_waited_for(tmp_path: Path) -> None:
    cloud = RunningCloud(tmp_path, nodes=6, environment={"HOLDFAST_DEFAULT_CLASS": "tiny"})
    cloud.start()
    try:
        assert cloud.run("mb", "held").status == 0
        assert cloud.run("put", "-", "held/before", stdin=b"before").status == 0
        [path] = cloud.home.rglob("holdfast.db")
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN EXCLUSIVE")
        freed = threading.Timer(HELD_SECONDS, lambda: other.execute("ROLLBACK"))
        freed.start()
        began = time.monotonic()
        assert cloud.run("get", "held/before", "-").out == b"before"
        assert time.monotonic() - began < HELD_SECONDS, "readers do not wait for writers"
        put = cloud.run("put", "-", "held/after", stdin=b"after")
        assert put.status == 0, put.err
        freed.join()
        assert cloud.run("get", "held/after", "-").out == b"after"
        # For as long as it takes, a first call is not waited for: it is told, in words and by its code.
        other.execute("BEGIN EXCLUSIVE")
        refused = cloud.run("rm", "held/before", "--json")
        assert (refused.status, refused.code) == (75, "database.busy")
        other.execute("ROLLBACK")
        assert cloud.run("rm", "held/before").status == 0
        other.close()
    finally:
        cloud.stop()
