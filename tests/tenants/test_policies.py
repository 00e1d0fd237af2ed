from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.tenants.identity import ANONYMOUS, Identity
from holdfast.tenants.names import account_of, canonical_id_of
from holdfast.tenants.policies import ALLOW, BYTES_MAX, DENY, NOTHING, policy_of, read_policy
from holdfast.world.errors import Refusal

BUCKET = "photos"
ARN = f"arn:aws:s3:::{BUCKET}"


def someone(tenant_id: str, user_name: str = "") -> Identity:
    return Identity(
        tenant_id=tenant_id,
        canonical_id=canonical_id_of(tenant_id),
        account=account_of(tenant_id),
        user_id="AIDA" + user_name.upper() if user_name else "",
        user_name=user_name,
    )


OWNER, JOE, OTHER = someone("t-owner"), someone("t-owner", "joe"), someone("t-other")
WHO = {"owner": OWNER, "joe": JOE, "other": OTHER, "nobody": ANONYMOUS}


def rule(**changes: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"{ARN}/*"}
    return {name: value for name, value in (statement | changes).items() if value is not None}


def document(*statements: Any, **changes: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)} | changes)


def says(*statements: Any, who: Identity = ANONYMOUS, action: str = "s3:GetObject", key: str | None = "a/b",
         **facts: Any) -> str:  # fmt: skip
    policy = read_policy(document(*statements), BUCKET)
    return policy.judge(who, action, BUCKET, key, OWNER.account, facts.get("facts", {}))


@pytest.mark.parametrize(
    ("principal", "meant"),
    [
        ("*", {"owner", "joe", "other", "nobody"}),
        ({"AWS": "*"}, {"owner", "joe", "other", "nobody"}),
        ({"AWS": OWNER.account}, {"owner", "joe"}),
        ({"AWS": [OTHER.account, OWNER.account]}, {"owner", "joe", "other"}),
        ({"AWS": f"arn:aws:iam::{OTHER.account}:root"}, {"other"}),
        ({"AWS": f"arn:aws:iam::{OWNER.account}:user/joe"}, {"joe"}),
        ({"AWS": f"arn:aws:iam::{OTHER.account}:user/joe"}, set()),
        ({"AWS": f"arn:aws:iam::{OWNER.account}:user/people/joe"}, {"joe"}),
        ({"AWS": "arn:aws:iam:::user/AIDAJOE"}, {"joe"}),
        ({"AWS": "arn:aws:iam:::user/joe"}, set()),
        ({"AWS": f"arn:aws:iam:::user/{OTHER.canonical_id}"}, {"other"}),
        ({"AWS": f"arn:aws:iam:::user/{OTHER.tenant_id}"}, {"other"}),
        ({"AWS": "arn:aws:iam::t-other:root"}, {"other"}),
        ({"CanonicalUser": OTHER.canonical_id}, {"other"}),
        ({"AWS": f"arn:aws:iam::{OTHER.account}:role/reader"}, set()),
        ({"Service": "logging.s3.amazonaws.com"}, set()),
        ({"Federated": "accounts.example"}, set()),
    ],
)
def test_principals_mean_accounts_with_their_users_or_single_users(principal: Any, meant: set[str]) -> None:
    allowed = {name for name, who in WHO.items() if says(rule(Principal=principal), who=who) == ALLOW}
    inverted = {
        name
        for name, who in WHO.items()
        if says(rule(Principal=None, NotPrincipal=principal, Effect="Deny"), who=who) == DENY
    }
    assert (allowed, inverted) == (meant, set(WHO) - meant)


@pytest.mark.parametrize(
    ("statement", "action", "key", "said"),
    [
        (rule(), "s3:GetObject", "a/b", ALLOW),
        (rule(), "s3:PutObject", "a/b", NOTHING),
        (rule(Action="s3:getobject"), "s3:GetObject", "a", ALLOW),
        (rule(Action="s3:Get*"), "s3:GetObjectAcl", "a", ALLOW),
        (rule(Action=["s3:PutObject", "s3:*Acl"]), "s3:GetObjectAcl", "a", ALLOW),
        (rule(Action="*", Resource=[ARN, f"{ARN}/*"]), "s3:ListBucket", None, ALLOW),
        (rule(Action="s3:*"), "s3:ListBucket", None, NOTHING),
        (rule(Action=None, NotAction="s3:PutObject"), "s3:GetObject", "a", ALLOW),
        (rule(Action=None, NotAction="s3:Put*"), "s3:PutObject", "a", NOTHING),
        (rule(Resource=f"{ARN}/a/*"), "s3:GetObject", "b/a", NOTHING),
        (rule(Resource=f"{ARN}/?/*.jpg"), "s3:GetObject", "a/b/c.jpg", ALLOW),
        (rule(Resource="*"), "s3:GetObject", "a", ALLOW),
        (rule(Resource="arn:aws:s3:::*"), "s3:GetObject", "a", ALLOW),
        (rule(Resource=f"arn:aws:s3:*:*:{BUCKET}/*"), "s3:GetObject", "a", ALLOW),
        (rule(Resource="arn:aws:s3:::ph*/a"), "s3:GetObject", "a", ALLOW),
        (rule(Resource=f"arn:aws-cn:s3:::{BUCKET}/*"), "s3:GetObject", "a", ALLOW),
        (rule(Resource=None, NotResource=f"{ARN}/secret/*"), "s3:GetObject", "a", ALLOW),
        (rule(Resource=None, NotResource=f"{ARN}/secret/*"), "s3:GetObject", "secret/a", NOTHING),
        (rule(Effect="Deny"), "s3:GetObject", "a", DENY),
    ],
)
def test_actions_and_resources_are_matched(statement: Any, action: str, key: str | None, said: str) -> None:
    assert says(statement, action=action, key=key) == said


def test_one_denial_wins_over_all_that_allow() -> None:
    assert says(rule(), rule(Effect="Deny", Resource=f"{ARN}/a/*"), rule()) == DENY
    assert says(rule(), rule(Effect="Deny", Resource=f"{ARN}/b/*"), rule()) == ALLOW


def test_who_asks_is_told_by_the_signature_and_not_by_the_request() -> None:
    home = rule(Resource=f"{ARN}/home/${{aws:username}}/*", Principal={"AWS": OWNER.account})
    lie = {"aws:username": "owner", "aws:principalaccount": OWNER.account}
    assert says(home, who=JOE, key="home/joe/x") == ALLOW
    assert says(home, who=JOE, key="home/owner/x", facts=lie) == NOTHING
    account = rule(Condition={"StringEquals": {"aws:PrincipalAccount": OWNER.account}})
    assert [says(account, who=who, facts=lie) for who in (OWNER, JOE, OTHER, ANONYMOUS)] == [
        ALLOW,
        ALLOW,
        NOTHING,
        NOTHING,
    ]


@pytest.mark.parametrize(
    ("key", "value", "who"),
    [
        ("aws:userid", OWNER.account, OWNER),
        ("aws:userid", "AIDAJOE", JOE),
        ("aws:userid", "anonymous", ANONYMOUS),
        ("aws:PrincipalArn", f"arn:aws:iam::{OWNER.account}:user/joe", JOE),
        ("aws:PrincipalArn", f"arn:aws:iam::{OTHER.account}:root", OTHER),
        ("aws:PrincipalType", "Anonymous", ANONYMOUS),
        ("aws:PrincipalType", "User", JOE),
        ("aws:PrincipalType", "Account", OTHER),
        ("s3:ResourceAccount", OWNER.account, OTHER),
    ],
)
def test_conditions_may_ask_who_it_is(key: str, value: str, who: Identity) -> None:
    assert says(rule(Condition={"StringEquals": {key: value}}), who=who) == ALLOW
    assert says(rule(Condition={"StringEquals": {key: value + "x"}}), who=who) == NOTHING


def test_before_2012_a_variable_is_text() -> None:
    statement = rule(Resource=f"{ARN}/${{aws:username}}")
    for version, key in (("2012-10-17", "joe"), ("2008-10-17", "${aws:username}")):
        policy = read_policy(document(statement, Version=version), BUCKET)
        assert policy.judge(JOE, "s3:GetObject", BUCKET, key, OWNER.account, {}) == ALLOW


def test_a_single_statement_needs_no_list_and_a_policy_no_version() -> None:
    policy = read_policy(json.dumps({"Statement": rule()}), BUCKET)
    assert policy.judge(ANONYMOUS, "s3:GetObject", BUCKET, "k", "1", {}) == ALLOW
    assert policy_of(json.dumps({"Statement": rule()})).is_public


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        " {}",
        "{",
        "{}",
        "null",
        '{"Statement": NaN}',
        '{"Statement": []}',
        '{"Statement": ["x"]}',
        '{"Statement": "x"}',
        '{"Version": "2012-10-17", "Version": "2012-10-17", "Statement": []}',
        "{" + '"a":[' * 9000,
        b'{"Statement": "\xff"}',
        document(rule(), Version="2020-01-01"),
        document(rule(), Version=["2012-10-17"]),
        document(rule(), Id=7),
        document(rule(), Comment="x"),
        document(rule(Sid=1)),
        document(rule(Sid="a"), rule(Sid="a")),
        document(rule(Note="x")),
        document(rule(Effect=None)),
        document(rule(Effect="allow")),
        document(rule(Effect=["Allow"])),
        document(rule(Principal=None)),
        document(rule(Principal="joe")),
        document(rule(Principal=[])),
        document(rule(Principal={})),
        document(rule(Principal={"AWS": []})),
        document(rule(Principal={"AWS": 7})),
        document(rule(Principal={"AWS": "joe"})),
        document(rule(Principal={"AWS": "12345"})),
        document(rule(Principal={"AWS": "arn:aws:iam::1:user/*"})),
        document(rule(Principal={"AWS": "arn:aws:iam:::root"})),
        document(rule(Principal={"AWS": "arn:aws:s3:::photos"})),
        document(rule(Principal={"CanonicalUser": "joe"})),
        document(rule(Principal={"Somebody": "joe"})),
        document(rule(NotPrincipal="*")),
        document(rule(Action=None)),
        document(rule(Action=[])),
        document(rule(Action=[7])),
        document(rule(Action="")),
        document(rule(Action="s3:Fly")),
        document(rule(Action="iam:CreateUser")),
        document(rule(Action=["s3:GetObject", "GetObject"])),
        document(rule(NotAction="s3:GetObject")),
        document(rule(Resource=None)),
        document(rule(Resource=[])),
        document(rule(Resource="photos/*")),
        document(rule(Resource="arn:aws:s3:::papers/*")),
        document(rule(Resource="arn:aws:s3:::photos2")),
        document(rule(Resource="arn:aws:s3:::papers*")),
        document(rule(Resource="arn:aws:s3:eu:1:accesspoint/x/*")),
        document(rule(Resource=None, NotResource="photos/*")),
        document(rule(Resource=None, NotResource="arn:aws:s3::")),
        document(rule(Resource=[f"{ARN}/*", "arn:aws:s3:::photo/*"])),
        document(rule(Resource="arn:aws:iam::1:user/joe")),
        document(rule(NotResource=ARN)),
        document(rule(Condition=[])),
        document(rule(Condition={"StringEquals": {"s3:weather": "x"}})),
        document(rule(Sid="x" * BYTES_MAX)),
    ],
)
def test_a_policy_that_s3_refuses_is_refused(text: str | bytes) -> None:
    with pytest.raises(Refusal) as refused:
        read_policy(text, BUCKET)
    assert refused.value.code == "policy.malformed"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["*", ARN, "s3:*", "Allow"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["Effect", "Principal", "Action", "Resource", "Condition", "AWS", "Bool", "aws:x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["Version", "Id", "Statement"]), json_values))
def test_any_json_is_a_policy_or_refused(written: Any) -> None:
    with contextlib.suppress(Refusal):
        policy = read_policy(json.dumps(written), BUCKET)
        assert policy.judge(JOE, "s3:GetObject", BUCKET, "k", "1", {}) in {ALLOW, DENY, NOTHING}


@pytest.mark.parametrize(
    ("statement", "public"),
    [
        (rule(), True),
        (rule(Effect="Deny"), False),
        (rule(Principal={"AWS": "*"}), True),
        (rule(Principal={"AWS": OTHER.account}), False),
        (rule(Principal=None, NotPrincipal={"AWS": OTHER.account}), True),
        (rule(Condition={"StringEquals": {"aws:PrincipalAccount": OTHER.account}}), False),
        (rule(Condition={"StringLike": {"aws:PrincipalArn": "arn:*"}}), True),
        (rule(Condition={"StringEquals": {"aws:userid": "${aws:userid}"}}), True),
        (rule(Condition={"StringEqualsIfExists": {"aws:SourceVpc": "vpc-1"}}), True),
        (rule(Condition={"StringEquals": {"aws:SourceVpc": "vpc-1"}}), False),
        (rule(Condition={"StringNotEquals": {"aws:SourceVpc": "vpc-1"}}), True),
        (rule(Condition={"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}), False),
        (rule(Condition={"IpAddress": {"aws:SourceIp": "0.0.0.0/1"}}), True),
        (rule(Condition={"IpAddress": {"aws:SourceIp": ["192.0.2.0/24", "::/0"]}}), True),
        (rule(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), False),
        (rule(Condition={"StringLike": {"aws:Referer": "http://x/*"}}), True),
    ],
)
def test_a_policy_is_public_when_strangers_are_let_in(statement: Any, public: bool) -> None:
    assert read_policy(document(statement), BUCKET).is_public is public
