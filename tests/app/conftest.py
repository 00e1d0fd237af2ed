"""One running cloud for all tests of this folder that can share it."""

from collections.abc import Iterator

import pytest
from tests.app.running import NODES, RunningCloud


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    running = RunningCloud(tmp_path_factory.mktemp("cloud"), nodes=NODES)
    running.start()
    assert running.run("mb", "album").status == 0
    assert running.run("put", "-", "album/kept", stdin=b"so that it is never empty").status == 0
    yield running
    running.stop()
