"""What a line of the log looks like."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from holdfast.world.errors import Trouble
from holdfast.world.telemetry import REDACTED, bound, is_secret, set_up_logging


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    set_up_logging(to=stream)
    yield stream
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_an_event_with_fields(stream: io.StringIO) -> None:
    structlog.get_logger().info("shard stored", node=b"\x01\xff", length=7)
    [line] = lines(stream)
    assert line.pop("time").endswith("Z")
    assert line == {"event": "shard stored", "level": "info", "node": "01ff", "length": 7}


def test_what_is_below_the_level_is_not_written(stream: io.StringIO) -> None:
    structlog.get_logger().debug("too much")
    logging.getLogger("library").info("too much")
    assert lines(stream) == []


async def test_a_requests_id_is_on_its_lines_and_on_no_others(stream: io.StringIO) -> None:
    log = structlog.get_logger()

    async def inner() -> None:
        log.info("inside")

    async def request(number: int) -> None:
        with bound(request_id=number):
            await asyncio.sleep(0)
            await asyncio.create_task(inner())

    await asyncio.gather(request(1), request(2))
    log.info("outside")
    assert [(line["event"], line.get("request_id")) for line in lines(stream)] == [
        ("inside", 1),
        ("inside", 2),
        ("outside", None),
    ]


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("password", True),
        ("X-Auth-Token", True),
        ("secret_access_key", True),
        ("passphrase", True),
        ("data_key", True),
        ("Authorization", True),
        ("grant", True),
        ("key", False),
        ("key_id", False),
        ("access_key", False),
        ("bucket", False),
    ],
)
def test_fields_named_like_secrets_are_redacted(stream: io.StringIO, name: str, *, secret: bool) -> None:
    assert is_secret(name) == secret
    structlog.get_logger().info(
        "signed", **{name: "value", "headers": {name: "value", "deep": {name: "value"}}}
    )
    [line] = lines(stream)
    expected = REDACTED if secret else "value"
    assert [line[name], line["headers"][name], line["headers"]["deep"][name]] == [expected] * 3


def test_a_failure_is_logged_by_its_code_and_facts(stream: io.StringIO) -> None:
    failure = Trouble("node.unreachable", "No connection.", address="tls://far:1", token="t")
    structlog.get_logger().warning("shard not sent", failure=failure)
    [line] = lines(stream)
    del line["time"]
    assert line == {
        "event": "shard not sent",
        "level": "warning",
        "failure": "node.unreachable",
        "words": "No connection.",
        "retry": True,
        "address": "tls://far:1",
        "token": REDACTED,
    }


def test_a_traceback_is_data(stream: io.StringIO) -> None:
    secret = "a local variable"  # noqa: F841 - it is what must not be seen
    try:
        int("ours")
    except ValueError:
        structlog.get_logger().exception("pass failed")
    [line] = lines(stream)
    assert line["exception"][0]["exc_type"] == "ValueError"
    assert "a local variable" not in stream.getvalue()


def test_what_libraries_warn_of_comes_out_in_the_same_form(stream: io.StringIO) -> None:
    logging.getLogger("library").warning("careful with %s", "that")
    [line] = lines(stream)
    assert (line["event"], line["logger"], line["level"]) == ("careful with that", "library", "warning")


def test_lines_for_people_are_not_json() -> None:
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    try:
        set_up_logging(as_json=False, to=stream)
        structlog.get_logger().info("shard stored", length=7)
    finally:
        root.handlers, root.level = handlers, level
        structlog.reset_defaults()
    assert "shard stored" in stream.getvalue()
    assert "length=7" in stream.getvalue()
