"""`holdfast admin tenant`, `user` and `key`: what they print, on a coordinator's home that is not running."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from holdfast.app.cli.main import root
from holdfast.app.secrets import load_master
from holdfast.world.chance import SystemChance
from holdfast.world.errors import Refusal

Admin = Callable[..., Any]


@pytest.fixture
def admin(tmp_path: Path) -> Admin:
    """Runs a command of `holdfast admin`; its lines of JSON, read."""
    load_master(tmp_path, SystemChance())

    def run(*words: str) -> list[Any]:
        result: Result = CliRunner().invoke(root, ["admin", *words, "--home", str(tmp_path), "--json"])
        if result.exception is not None:
            raise result.exception
        return [json.loads(line) for line in result.stdout.splitlines()]

    return run


def test_a_tenant_is_made_with_all_its_names_and_its_first_key(admin: Admin) -> None:
    (made,) = admin("tenant", "create", "acme", "--email", "s@acme.example")
    assert list(made) == [
        "tenant_id", "display_name", "email", "canonical_id", "account", "user_id", "arn", "access_key",
        "secret_key",
    ]  # fmt: skip
    assert (made["display_name"], made["email"]) == ("acme", "s@acme.example")
    assert made["arn"] == f"arn:aws:iam::{made['account']}:root"
    assert (len(made["canonical_id"]), len(made["account"])) == (64, 12)
    keys = {name: made.pop(name) for name in ("access_key", "secret_key")}
    assert admin("tenant", "show", "acme") == [made]
    (listed,) = admin("key", "list", "acme")
    assert (listed["access_key"], listed["state"]) == (keys["access_key"], "good")


def test_a_taken_name_changes_nothing(admin: Admin) -> None:
    admin("tenant", "create", "acme", "--no-key")
    with pytest.raises(Refusal) as refused:
        admin("tenant", "create", "acme")
    assert refused.value.code == "tenant.exists"
    assert admin("key", "list", "acme") == []
    assert [row["display_name"] for row in admin("tenant", "list")] == ["acme"]


def test_a_user_gets_keys_that_end_with_it(admin: Admin) -> None:
    (owner,) = admin("tenant", "create", "acme", "--no-key")
    (joe,) = admin("user", "create", "acme", "joe")
    assert joe["arn"] == f"arn:aws:iam::{owner['account']}:user/joe"
    (made,) = admin(
        "key", "create", "acme", "--user", "joe", "--action", "s3:Get*", "--action", "object.list",
        "--bucket", "reports", "--prefix", "2026/", "--expires", "2099-01-01",
    )  # fmt: skip
    (listed,) = admin("key", "list", "acme")
    assert listed == {
        "access_key": made["access_key"],
        "user": "joe",
        "label": "",
        "actions": "s3:Get* object.list",
        "buckets": "reports",
        "prefixes": "2026/",
        "state": "good",
        "expires": "2099-01-01T00:00:00+00:00",
    }
    assert [row["user_id"] for row in admin("user", "list", "acme")] == [joe["user_id"]]
    assert admin("user", "remove", "acme", "joe") == [{"user_name": "joe", "revoked": [made["access_key"]]}]
    assert admin("user", "list", "acme") == []
    assert [row["state"] for row in admin("key", "list", "acme")] == ["revoked"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--days", "1", "--expires", "2099-01-01"), "config.invalid"),
        (("--expires", "2020-01-01"), "config.invalid"),
        (("--action", "s3:Fly"), "request.invalid"),
        (("--user", "joe"), "user.unknown"),
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(admin: Admin, options: tuple[str, ...], code: str) -> None:
    admin("tenant", "create", "acme", "--no-key")
    with pytest.raises(Refusal) as refused:
        admin("key", "create", "acme", *options)
    assert refused.value.code == code
    assert admin("key", "list", "acme") == []


def test_a_revoked_key_stays_in_the_list(admin: Admin) -> None:
    (made,) = admin("tenant", "create", "acme")
    assert admin("key", "revoke", "acme", made["access_key"]) == [{"revoked": made["access_key"]}]
    assert [row["state"] for row in admin("key", "list", "acme")] == ["revoked"]
