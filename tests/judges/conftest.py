"""One cloud for all judges of a run; tenants of their own keep them out of each other's way."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from tests.judges import cloud
from tests.judges.cloud import SCHEMES, Account, Endpoint
from tests.judges.installed import require_judges

HERE = __file__.rpartition("/")[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if str(item.path).startswith(HERE):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cloud.S3Cloud | cloud.ServerElsewhere]:
    """What is judged."""
    require_judges()
    elsewhere = cloud.server_elsewhere()
    if elsewhere is not None:
        yield elsewhere
        return
    started = cloud.start(tmp_path_factory.mktemp("judged"))
    yield started
    started.running.stop()


@pytest.fixture(scope="session", params=SCHEMES)
def endpoint(request: pytest.FixtureRequest, server: cloud.S3Cloud) -> Endpoint:
    """Its door, over http and over https."""
    if request.param not in server.endpoints:
        pytest.skip(f"this server does not speak {request.param}")
    return server.endpoints[request.param]


@pytest.fixture(scope="session")
def this_run() -> str:
    """Ends the names of buckets, so that a server that was judged before can be judged again."""
    return secrets.token_hex(3)


@pytest.fixture
def account(server: cloud.S3Cloud, request: pytest.FixtureRequest) -> Account:
    """A tenant for all tests of a file."""
    return server.account(request.path.stem.removeprefix("test_").replace("_", "-"))
