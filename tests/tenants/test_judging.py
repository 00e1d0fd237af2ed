"""Who may do what: every combination, compared with the rules as S3's documentation tells them."""

from __future__ import annotations

import itertools
import json
from typing import NamedTuple

import pytest

from holdfast.tenants.acls import Entry
from holdfast.tenants.identity import ANONYMOUS, Identity
from holdfast.tenants.judging import Asked, BucketFacts, judge
from holdfast.tenants.names import account_of, canonical_id_of
from holdfast.tenants.permits import Permit
from holdfast.tenants.policies import Policy, policy_of
from holdfast.tenants.s3_actions import ON_OBJECTS, S3_ACTIONS

BUCKET = "photos"


def someone(tenant_id: str, user_name: str = "") -> Identity:
    return Identity(
        tenant_id=tenant_id,
        canonical_id=canonical_id_of(tenant_id),
        account=account_of(tenant_id),
        user_id=f"AIDA{user_name}" if user_name else "",
        user_name=user_name,
    )


ROOT, USER, OTHER, THIRD = (
    someone("t-owner"),
    someone("t-owner", "joe"),
    someone("t-other"),
    someone("t-third"),
)
WHO = {"root": ROOT, "user": USER, "other": OTHER, "third": THIRD, "nobody": ANONYMOUS}


class List(NamedTuple):
    owner_id: str
    grants: tuple[Entry, ...]


def full(who: Identity) -> Entry:
    return Entry("FULL_CONTROL", who.canonical_id)


POLICIES: dict[str, list[tuple[str, object]]] = {
    "none": [],
    "lets everybody": [("Allow", "*")],
    "lets other": [("Allow", {"AWS": OTHER.account})],
    "denies everybody": [("Deny", "*"), ("Allow", "*")],
    "denies the user": [("Deny", {"AWS": f"arn:aws:iam::{ROOT.account}:user/joe"})],
}
BUCKET_LISTS = {
    "none": None,
    "public-read": List(ROOT.canonical_id, (full(ROOT), Entry("READ", "", "AllUsers"))),
    "public-write": List(ROOT.canonical_id, (full(ROOT), Entry("WRITE", "", "AllUsers"))),
    "signed-read-acp": List(ROOT.canonical_id, (Entry("READ_ACP", "", "AuthenticatedUsers"),)),
    "other-full": List(ROOT.canonical_id, (full(OTHER),)),
}
OBJECT_LISTS = {
    "none": None,
    "owner-public-read": List(ROOT.canonical_id, (full(ROOT), Entry("READ", "", "AllUsers"))),
    "owner-shared": List(ROOT.canonical_id, (full(ROOT), Entry("WRITE_ACP", OTHER.canonical_id))),
    "other-private": List(OTHER.canonical_id, (full(OTHER),)),
    "other-for-the-owner": List(OTHER.canonical_id, (full(OTHER), full(ROOT))),
    "other-for-the-signed": List(OTHER.canonical_id, (Entry("READ", "", "AuthenticatedUsers"),)),
}


def policy(name: str) -> Policy | None:
    statements = [
        {"Effect": effect, "Principal": principal, "Action": "s3:*", "Resource": "*"}
        for effect, principal in POLICIES[name]
    ]
    return policy_of(json.dumps({"Statement": statements})) if statements else None


class Case(NamedTuple):
    """One combination."""

    who: str
    action: str
    policy: str
    bucket_list: str
    object_list: str
    lists_off: bool
    ignore: bool
    restrict: bool


def cases() -> list[Case]:
    switches = list(itertools.product((False, True), repeat=3))
    on_buckets = [action for action in S3_ACTIONS if action not in ON_OBJECTS]
    found = []
    for actions, lists in ((on_buckets, ["none"]), (sorted(ON_OBJECTS), list(OBJECT_LISTS))):
        for row in itertools.product(WHO, actions, POLICIES, BUCKET_LISTS, lists):
            found += [Case(*row, *switch) for switch in switches]
    return found


# --- the rules, as S3's documentation tells them ---------------------------------------------------------

GRANTED_ON_BUCKET = {
    "READ": {"ListBucket", "ListBucketVersions", "ListBucketMultipartUploads"},
    "WRITE": {"PutObject", "DeleteObject", "AbortMultipartUpload", "ListMultipartUploadParts"},
    "READ_ACP": {"GetBucketAcl"},
    "WRITE_ACP": {"PutBucketAcl"},
}
GRANTED_ON_OBJECT = {
    "READ": {"GetObject", "GetObjectVersion", "GetObjectAttributes", "GetObjectVersionAttributes"},
    "READ_ACP": {"GetObjectAcl", "GetObjectVersionAcl"},
    "WRITE_ACP": {"PutObjectAcl", "PutObjectVersionAcl"},
}
THE_BUCKETS_AFFAIR = {
    "PutObject", "DeleteObject", "DeleteObjectVersion", "AbortMultipartUpload", "ListMultipartUploadParts",
    "RestoreObject", "BypassGovernanceRetention", "ReplicateObject", "ReplicateDelete",
}  # fmt: skip


def listed(acl: List | None, table: dict[str, set[str]], action: str, who: Identity, ignore: bool) -> bool:
    for grant in acl.grants if acl else ():
        permissions = set(table) if grant.permission == "FULL_CONTROL" else {grant.permission}
        if not any(action in table.get(permission, set()) for permission in permissions):
            continue
        if grant.group == "AllUsers" and not ignore:
            return True
        if grant.group == "AuthenticatedUsers" and not ignore and not who.anonymous:
            return True
        if grant.canonical_id and grant.canonical_id == who.canonical_id:
            return True
    return False


def plainly_allowed(case: Case) -> bool:
    who, action = WHO[case.who], case.action.removeprefix("s3:")
    of_owner = case.who in {"root", "user"}
    acl = OBJECT_LISTS[case.object_list]
    objects_affair = case.action in ON_OBJECTS and action not in THE_BUCKETS_AFFAIR
    object_owner = ROOT.canonical_id if acl is None or case.lists_off else acl.owner_id
    # "The root principal can perform GetBucketPolicy, PutBucketPolicy and DeleteBucketPolicy even if denied."
    if case.who == "root" and action in {"GetBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy"}:
        return True
    # "An explicit deny in any policy overrides any allows."
    if case.policy == "denies everybody" or (case.policy == "denies the user" and case.who == "user"):
        return False
    # RestrictPublicBuckets: a bucket with a public policy is for the owner's account only.
    lets = case.policy == "lets everybody" and (of_owner or not case.restrict)
    lets = lets or (case.policy == "lets other" and case.who == "other")
    # "A bucket policy applies only to objects that the bucket's owner owns."
    if lets and (not objects_affair or object_owner == ROOT.canonical_id):
        return True
    # "The resource owner has access to the resource": the bucket's, or the object's.
    if objects_affair:
        if not who.anonymous and who.canonical_id == object_owner:
            return True
    elif of_owner:
        return True
    # What the lists grant, where there are any.
    if case.lists_off:
        return False
    if objects_affair:
        return listed(acl, GRANTED_ON_OBJECT, action, who, case.ignore)
    return listed(BUCKET_LISTS[case.bucket_list], GRANTED_ON_BUCKET, action, who, case.ignore)


def test_every_combination_is_judged_as_s3_documents_it() -> None:
    policies = {name: policy(name) for name in POLICIES}
    wrong = []
    allowed = 0
    every = cases()
    for case in every:
        bucket = BucketFacts(
            BUCKET,
            ROOT.tenant_id,
            ROOT.canonical_id,
            ROOT.account,
            acl=BUCKET_LISTS[case.bucket_list],
            policy=policies[case.policy],
            lists_off=case.lists_off,
            ignore_public_lists=case.ignore,
            restrict_public_policy=case.restrict,
        )
        key = "k" if case.action in ON_OBJECTS else None
        asked = Asked(case.action, bucket, BUCKET, key, OBJECT_LISTS[case.object_list], {})
        verdict = judge(WHO[case.who], asked)
        allowed += verdict.allowed
        if verdict.allowed != plainly_allowed(case):
            wrong.append((case, verdict))
    assert wrong == []
    assert 0.2 < allowed / len(every) < 0.8


# --- what is outside the matrix --------------------------------------------------------------------------

FACTS = BucketFacts(BUCKET, ROOT.tenant_id, ROOT.canonical_id, ROOT.account)


def allowed(who: Identity, action: str, bucket: BucketFacts | None = FACTS, key: str | None = None, *,
            name: str | None = BUCKET, fresh: bool = False) -> bool:  # fmt: skip
    return judge(who, Asked(action, bucket, name, key, None, {}, fresh)).allowed


@pytest.mark.parametrize("action", ["s3:ListAllMyBuckets", "s3:CreateBucket"])
def test_a_signature_is_all_that_buckets_at_large_need(action: str) -> None:
    assert [allowed(who, action, None, name=None) for who in WHO.values()] == [True, True, True, True, False]


def narrowed(permit: Permit) -> Identity:
    return Identity(
        tenant_id=ROOT.tenant_id, canonical_id=ROOT.canonical_id, account=ROOT.account, permit=permit
    )


@pytest.mark.parametrize(
    ("permit", "can", "cannot"),
    [
        (
            Permit(actions=("object.read", "object.list")),
            [("s3:GetObject", "k"), ("s3:GetObjectTagging", "k"), ("s3:ListBucket", None)],
            [("s3:PutObject", "k"), ("s3:GetBucketPolicy", None), ("s3:DeleteObject", "k")],
        ),
        (
            Permit(actions=("s3:GetObject", "s3:Put*")),
            [("s3:GetObject", "k"), ("s3:PutObject", "k"), ("s3:PutBucketPolicy", None)],
            [("s3:GetObjectAcl", "k"), ("s3:DeleteBucketPolicy", None)],
        ),
        (
            Permit(buckets=("papers",)),
            [],
            [("s3:GetObject", "k"), ("s3:GetBucketPolicy", None), ("s3:ListBucket", None)],
        ),
        (
            Permit(prefixes=("2026/",)),
            [("s3:GetObject", "2026/k"), ("s3:GetBucketLocation", None), ("s3:ListBucket", None)],
            [("s3:GetObject", "k"), ("s3:PutLifecycleConfiguration", None), ("s3:PutBucketPolicy", None)],
        ),
    ],
)
def test_a_permit_narrows_even_the_owner(
    permit: Permit, can: list[tuple[str, str | None]], cannot: list[tuple[str, str | None]]
) -> None:
    who = narrowed(permit)
    assert [row for row in can if not allowed(who, row[0], key=row[1])] == []
    assert [row for row in cannot if allowed(who, row[0], key=row[1])] == []


def test_a_key_for_certain_prefixes_lists_only_those() -> None:
    who = narrowed(Permit(prefixes=("2026/",)))

    def lists(prefix: str | None) -> bool:
        return judge(who, Asked("s3:ListBucket", FACTS, BUCKET, None, None, {}, prefix=prefix)).allowed

    assert [lists(prefix) for prefix in ("2026/", "2026/june", "2025/", "")] == [True, True, False, False]
    assert lists(None)


def test_a_key_for_certain_buckets_makes_only_those() -> None:
    who = narrowed(Permit(buckets=("papers",)))
    assert allowed(who, "s3:CreateBucket", None, name="papers")
    assert not allowed(who, "s3:CreateBucket", None, name="photos")
    assert not allowed(who, "s3:CreateBucket", None, name=None)
    assert allowed(who, "s3:ListAllMyBuckets", None, name=None)


def test_a_root_that_gave_up_mending_the_policy_is_bound_by_it() -> None:
    bound = FACTS._replace(policy=policy("denies everybody"))
    for action in ("s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"):
        assert allowed(ROOT, action, bound)
        assert not allowed(USER, action, bound)
        assert not allowed(ROOT, action, bound._replace(policy_binds_root=True))


def test_whoever_writes_an_object_gives_it_its_first_list_unless_a_policy_forbids_it() -> None:
    for who in (OTHER, ANONYMOUS):
        assert allowed(who, "s3:PutObjectAcl", FACTS, "k", fresh=True)
        assert not allowed(who, "s3:PutObjectAcl", FACTS, "k")
        assert not allowed(who, "s3:PutObject", FACTS, "k", fresh=True)
    forbidden = FACTS._replace(policy=policy("denies everybody"))
    assert not allowed(ROOT, "s3:PutObjectAcl", forbidden, "k", fresh=True)
    assert not allowed(narrowed(Permit(actions=("s3:PutObject",))), "s3:PutObjectAcl", FACTS, "k", fresh=True)
