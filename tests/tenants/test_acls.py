from __future__ import annotations

import itertools
from typing import NamedTuple

import pytest

from holdfast.tenants.acls import CANNED, Entry, canned, grants, is_owners_alone, is_public

OWNER, WRITER, OTHER = "owner", "writer", "other"


class List(NamedTuple):
    owner_id: str
    grants: tuple[Entry, ...]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("private", ()),
        ("public-read", (Entry("READ", "", "AllUsers"),)),
        ("public-read-write", (Entry("READ", "", "AllUsers"), Entry("WRITE", "", "AllUsers"))),
        ("authenticated-read", (Entry("READ", "", "AuthenticatedUsers"),)),
        ("bucket-owner-read", (Entry("READ", OWNER),)),
        ("bucket-owner-full-control", (Entry("FULL_CONTROL", OWNER),)),
        ("log-delivery-write", (Entry("WRITE", "", "LogDelivery"), Entry("READ_ACP", "", "LogDelivery"))),
        ("aws-exec-read", ()),
    ],
)
def test_a_canned_list_gives_its_owner_everything_and_others_what_its_name_says(
    name: str, expected: tuple[Entry, ...]
) -> None:
    assert canned(name, WRITER, OWNER) == (Entry("FULL_CONTROL", WRITER), *expected)


def test_a_bucket_owner_gets_nothing_twice() -> None:
    for name in ("bucket-owner-read", "bucket-owner-full-control"):
        assert canned(name, OWNER, OWNER) == (Entry("FULL_CONTROL", OWNER),)


def test_there_are_no_other_canned_lists() -> None:
    assert canned("public", WRITER, OWNER) is None
    assert len(CANNED) == 8


PERMISSIONS = ("FULL_CONTROL", "READ", "WRITE", "READ_ACP", "WRITE_ACP")
MEANT = {
    "AllUsers": {OTHER, None},
    "AuthenticatedUsers": {OTHER},
    "LogDelivery": set(),
    OTHER: {OTHER},
    WRITER: set(),
}


@pytest.mark.parametrize("ignore_public", [False, True])
@pytest.mark.parametrize(("given", "asked"), list(itertools.product(PERMISSIONS, PERMISSIONS)))
def test_a_grant_gives_its_permission_to_those_it_means(
    given: str, asked: str, *, ignore_public: bool
) -> None:
    for name, meant in MEANT.items():
        grant = Entry(given, name) if name in {OTHER, WRITER} else Entry(given, "", name)
        allowed = {
            who
            for who in (OTHER, None)
            if grants(
                List(OWNER, (grant,)), asked, who or "", anonymous=who is None, ignore_public=ignore_public
            )
        }
        covered = given in {asked, "FULL_CONTROL"} and not (ignore_public and grant.group)
        assert allowed == (meant if covered else set()), (name, allowed)


@pytest.mark.parametrize(
    ("entries", "public", "owners_alone"),
    [
        ((), False, True),
        ((Entry("FULL_CONTROL", OWNER),), False, True),
        ((Entry("READ", OWNER),), False, False),
        ((Entry("FULL_CONTROL", OWNER), Entry("READ", OTHER)), False, False),
        ((Entry("READ", "", "AllUsers"),), True, False),
        ((Entry("WRITE", "", "AuthenticatedUsers"),), True, False),
        ((Entry("WRITE", "", "LogDelivery"),), False, False),
    ],
)
def test_a_list_is_known_for_public_or_for_nobody_elses(
    entries: tuple[Entry, ...], public: bool, owners_alone: bool
) -> None:
    acl = List(OWNER, entries)
    assert (is_public(acl), is_owners_alone(acl, OWNER)) == (public, owners_alone)
    assert not is_public(None)
