"""A grant opens one thing, for one session, for an hour at most; a receipt proves one shard at one node."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.chunks.tree import roots_digest
from holdfast.protocol.fleet import Deletion, Register, SignedWelcome, Welcome
from holdfast.protocol.grants import (
    GRANT_BYTES,
    LIFE_MAX,
    SKEW,
    TRIES_MAX,
    Action,
    Serials,
    blind_account,
    check,
    issue,
    issuers_by_id,
    read,
)
from holdfast.protocol.heartbeats import (
    HEARTBEAT_DOMAIN,
    REGISTER_DOMAIN,
    open_signed,
    open_welcome,
    seal_signed,
    seal_welcome,
)
from holdfast.protocol.receipts import RECEIPT_BYTES, check_receipt, sign_receipt
from holdfast.protocol.signing import SigningKey, verify
from holdfast.world.errors import Refusal

ISSUER, NODE, CLIENT = SigningKey(b"i" * 32), SigningKey(b"n" * 32), SigningKey(b"c" * 32)
ISSUERS = issuers_by_id([ISSUER.public])
NOW = 1_760_000_000_000_000
SECOND = 1_000_000
SHARD = b"k" * 16 + b"\0\x07"


def granted(issuer=ISSUER, **changes):
    return issue(
        issuer,
        **{
            "action": Action.PUT, "serial": b"s" * 16, "node_id": NODE.public, "session_key": CLIENT.public,
            "shard_id": SHARD, "max_bytes": 1000, "created": NOW, "expires": NOW + 600 * SECOND,
            "account": b"a" * 32, **changes,
        },
    )  # fmt: skip


def checked(grant, used=None, **changes):
    return check(
        grant,
        **{
            "action": Action.PUT, "node_id": NODE.public, "session_key": CLIENT.public, "shard_id": SHARD,
            "size": 1000, "now": NOW, "issuers": ISSUERS, "used": Serials() if used is None else used,
            **changes,
        },
    )  # fmt: skip


def code_of(call, *args, **changes):
    with pytest.raises(Refusal) as caught:
        call(*args, **changes)
    return caught.value.code


def test_a_good_grant_is_believed_and_says_what_was_granted():
    grant = checked(granted())
    assert grant == read(granted())
    assert grant[:-1] == (
        Action.PUT, bytes.fromhex("93bca823e5c82419"), b"s" * 16, NODE.public, CLIENT.public, SHARD, 1000,
        NOW, NOW + 600 * SECOND, b"a" * 32,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"action": Action.GET}, "grant.foreign"),
        ({"node_id": CLIENT.public}, "grant.foreign"),
        ({"session_key": NODE.public}, "grant.foreign"),
        ({"shard_id": b"k" * 18}, "grant.foreign"),
        ({"size": 1001}, "grant.oversized"),
        ({"now": NOW - SKEW - 1}, "clock.skewed"),
        ({"now": NOW + 600 * SECOND + SKEW + 1}, "grant.expired"),
        ({"issuers": issuers_by_id([CLIENT.public])}, "grant.unsigned"),
        ({"issuers": {}}, "grant.unsigned"),
    ],
)
def test_a_grant_for_something_else_is_refused(changes, code):
    assert code_of(checked, granted(), **changes) == code


@pytest.mark.parametrize("now", [NOW - SKEW, NOW + 600 * SECOND + SKEW])
def test_clocks_may_be_a_minute_apart(now):
    checked(granted(), now=now)


def test_a_relay_or_a_reader_may_leave_the_shard_to_the_grant():
    assert checked(granted(), shard_id=None).shard_id == SHARD


def test_a_grant_by_an_unknown_issuer_with_a_known_id_is_unsigned():
    forged = granted(SigningKey(b"x" * 32))
    assert code_of(checked, forged[:6] + granted()[6:14] + forged[14:]) == "grant.unsigned"


@given(st.integers(0, GRANT_BYTES * 8 - 1))
def test_a_grant_with_any_bit_changed_is_refused(bit):
    changed = bytearray(granted())
    changed[bit // 8] ^= 1 << bit % 8
    assert code_of(checked, bytes(changed)).split(".")[0] in {"grant", "format", "clock"}


@given(st.binary(max_size=300))
def test_garbage_is_no_grant_and_no_receipt(garbage):
    assert code_of(checked, garbage) == "format.invalid"
    assert code_of(checked, b"HFgr\x01" + garbage[:200]) == "format.invalid"
    assert code_of(believed, garbage) == "format.invalid"


def test_a_newer_grant_is_refused_by_name():
    assert code_of(checked, b"HFgr\x02" + granted()[5:]) == "format.newer"


def test_a_grant_that_lives_too_long_is_refused_whoever_signed_it():
    grant = bytearray(granted())
    grant[128:136] = (NOW + LIFE_MAX + 1).to_bytes(8, "big")
    assert code_of(checked, bytes(grant)) == "grant.expired"


def test_a_put_may_be_tried_again_but_not_for_ever():
    used = Serials()
    for _ in range(TRIES_MAX):
        checked(granted(), used)
    assert code_of(checked, granted(), used) == "grant.used"


def test_a_get_may_be_used_as_often_as_its_reader_likes():
    used = Serials()
    for _ in range(3 * TRIES_MAX):
        checked(granted(action=Action.GET), used, action=Action.GET)
    assert len(used) == 0


def test_a_serial_stands_for_one_grant():
    used = Serials()
    checked(granted(), used)
    assert code_of(checked, granted(max_bytes=1001), used) == "grant.used"
    checked(granted(serial=b"t" * 16), used)


def test_used_serials_are_remembered_as_long_as_their_grants_can_live_and_no_longer():
    used = Serials()
    late = NOW + LIFE_MAX
    grant = granted(created=late - 10, expires=late - 10 + LIFE_MAX)
    for _ in range(TRIES_MAX):
        checked(grant, used, now=late - 10)
    assert code_of(checked, grant, used, now=late + LIFE_MAX - 20) == "grant.used"
    much_later = late + 4 * LIFE_MAX
    other = granted(serial=b"t" * 16, created=much_later, expires=much_later + SECOND)
    checked(other, used, now=much_later)
    assert len(used) == 1


def test_the_memory_of_serials_is_bounded():
    used = Serials(limit=100)
    for number in range(1000):
        checked(granted(serial=number.to_bytes(16, "big")), used)
    assert 50 <= len(used) <= 100


def test_account_tags_differ_by_account_and_period():
    tags = {blind_account(b"secret", account, period) for account in ("a", "b", "1a") for period in (1, 11)}
    assert {len(tag) for tag in tags} == {32}
    assert len(tags) == 6


def receipt(**changes):
    return sign_receipt(
        NODE,
        **{"serial": b"s" * 16, "shard_id": SHARD, "roots": b"r" * 32, "size": 77, "time": NOW, **changes},
    )


def believed(sealed, **changes):
    return check_receipt(
        sealed,
        **{"node_id": NODE.public, "shard_id": SHARD, "roots": b"r" * 32, "size": 77, "now": NOW, **changes},
    )


def test_a_receipt_is_believed_for_what_it_says():
    told = believed(receipt())
    assert told == (b"s" * 16, NODE.public, SHARD, roots_digest(b"r" * 32), 77, NOW)
    assert told == believed(receipt(), serial=b"s" * 16)


@pytest.mark.parametrize(
    "changes",
    [
        {"node_id": CLIENT.public},
        {"shard_id": b"k" * 18},
        {"roots": b"q" * 32},
        {"size": 78},
        {"serial": b"t" * 16},
        {"now": NOW - SKEW - 1},
    ],
)
def test_a_receipt_for_something_else_is_refused(changes):
    assert code_of(believed, receipt(), **changes) == "signature.invalid"


@given(st.integers(0, RECEIPT_BYTES * 8 - 1))
def test_a_receipt_with_any_bit_changed_is_refused(bit):
    changed = bytearray(receipt())
    changed[bit // 8] ^= 1 << bit % 8
    assert code_of(believed, bytes(changed)).split(".")[0] in {"signature", "format"}


def test_a_heartbeat_is_no_registration():
    sealed = seal_signed(NODE, HEARTBEAT_DOMAIN, WELCOME)
    assert open_signed(sealed, HEARTBEAT_DOMAIN, Welcome) == WELCOME
    assert code_of(open_signed, sealed, REGISTER_DOMAIN, Welcome) == "signature.invalid"
    assert code_of(open_signed, sealed, HEARTBEAT_DOMAIN, Register) == "request.invalid"


WELCOME = Welcome(
    time=1, issuer_keys=[b"k" * 32], heartbeat_seconds=30, node_id=NODE.public, sequence=7,
    deletions=[Deletion(sequence=1, shard_ids=[SHARD])],
)  # fmt: skip


def welcomed(sealed, **changes):
    return open_welcome(
        sealed, **{"believed": [ISSUER.public].__contains__, "node_id": NODE.public, "sequence": 7, **changes}
    )


def test_a_welcome_is_believed_from_a_known_issuer():
    assert welcomed(seal_welcome(ISSUER, WELCOME)) == WELCOME


def but(**changes):
    return seal_welcome(ISSUER, msgspec.structs.replace(WELCOME, **changes))


@pytest.mark.parametrize(
    ("sealed", "code"),
    [
        (seal_welcome(CLIENT, WELCOME), "signature.invalid"),
        (msgspec.structs.replace(seal_welcome(CLIENT, WELCOME), issuer=ISSUER.public), "signature.invalid"),
        (msgspec.structs.replace(but(), payload=but(deletions=[]).payload), "signature.invalid"),
        (but(node_id=CLIENT.public), "signature.invalid"),
        (but(sequence=6), "signature.invalid"),
        (but(version=2), "format.newer"),
        (but(issuer_keys=[]), "request.invalid"),
        (but(issuer_keys=[b"short"]), "request.invalid"),
        (but(issuer_keys=[b"k" * 32] * 17), "request.invalid"),
    ],
    ids=[
        "stranger",
        "borrowed name",
        "other words",
        "other node",
        "recorded",
        "newer",
        "none",
        "short",
        "many",
    ],
)
def test_a_welcome_that_proves_nothing_is_refused(sealed, code):
    assert code_of(welcomed, sealed) == code


def test_a_heartbeat_is_no_welcome():
    said = seal_signed(ISSUER, HEARTBEAT_DOMAIN, WELCOME)
    forged = SignedWelcome(issuer=ISSUER.public, payload=said.payload, signature=said.signature)
    assert code_of(welcomed, forged) == "signature.invalid"


@pytest.mark.parametrize("length", [0, 31, 33, 63, 65])
def test_keys_and_signatures_of_wrong_length_are_refused(length):
    assert code_of(verify, bytes(length), b"tag", b"", bytes(64)) == "signature.invalid"
    assert code_of(verify, NODE.public, b"tag", b"", bytes(length)) == "signature.invalid"


def test_the_formats_are_those_of_the_document():
    text = Path(__file__, "../../../docs/formats/grant.md").resolve().read_text(encoding="utf-8")
    vectors = re.findall(r"^(?:    [0-9a-f]+\n)+", text, re.MULTILINE)
    assert [bytes.fromhex("".join(vector.split())) for vector in vectors] == [granted(), receipt()]
    assert (GRANT_BYTES, RECEIPT_BYTES) == (232, 184)
