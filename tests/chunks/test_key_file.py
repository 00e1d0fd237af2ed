from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.chunks.kernels import content

from holdfast.chunks import key_file, passphrase
from holdfast.chunks.keys import TenantKey
from holdfast.chunks.passphrase import Cost
from holdfast.world.errors import Refusal

CHEAP = Cost(memory_kib=64, passes=1, lanes=1)
KEY = TenantKey(content(32, b"root"))
SALT = content(16, b"salt")


@given(st.binary(min_size=32, max_size=32), st.sampled_from(["client", "gateway"]))
def test_a_key_is_read_back_as_it_was_written(root: bytes, mode: str):
    key = TenantKey(root, mode)
    text = key_file.write(key)
    assert key_file.read(text) == key
    assert not key_file.is_locked(text)
    assert key.key_id.hex() in text


@given(st.text(min_size=1).filter(lambda text: text.isprintable()))
def test_a_locked_key_opens_with_its_passphrase(words: str):
    text = key_file.write_locked(KEY, words, SALT, CHEAP)
    assert key_file.is_locked(text)
    assert key_file.read(text, words) == KEY
    assert KEY.root.hex() not in text


def test_a_wrong_passphrase_is_a_clear_refusal():
    text = key_file.write_locked(KEY, "right", SALT, CHEAP)
    for attempt, advice in (("wrong", "Check the passphrase"), (None, "Give its passphrase")):
        with pytest.raises(Refusal) as refusal:
            key_file.read(text, attempt)
        assert refusal.value.code == "key.wrong"
        assert advice in refusal.value.advice
        assert KEY.key_id.hex() in refusal.value.message


def test_a_passphrase_may_be_typed_composed_or_decomposed():
    text = key_file.write_locked(KEY, "Caf\u00e9", SALT, CHEAP)
    assert key_file.read(text, "Cafe\u0301") == KEY


def test_an_empty_passphrase_is_refused():
    with pytest.raises(Refusal) as refusal:
        key_file.write_locked(KEY, "", SALT, CHEAP)
    assert refusal.value.code == "config.invalid"


def test_a_key_file_survives_printing_typing_and_other_line_ends():
    text = key_file.write(KEY).replace("\n", "\r\n\r\n").replace(" = ", "=").upper()
    text = text.replace("HOLDFAST-KEY", "holdfast-key").replace("CLIENT", "client").replace("NONE", "none")
    for name in ("ID", "MODE", "LOCK", "ROOT"):
        text = text.replace(f"\n{name}", f"\n  {name.lower()}")
    assert key_file.read(text) == KEY


@pytest.mark.parametrize("at", range(64))
def test_a_mistyped_digit_of_the_root_is_found(at: int):
    lines = key_file.write(KEY).splitlines()
    digits = list(KEY.root.hex())
    digits[at] = "0" if digits[at] != "0" else "1"
    lines[-1] = "root = " + "".join(digits)
    with pytest.raises(Refusal) as refusal:
        key_file.read("\n".join(lines))
    assert refusal.value.code == "format.invalid"


LOCKED = key_file.write_locked(KEY, "right", SALT, CHEAP)
OPEN = key_file.write(KEY)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "format.invalid"),
        ("-----BEGIN PRIVATE KEY-----", "format.invalid"),
        (OPEN.replace("key 1", "key 2"), "format.newer"),
        (OPEN.replace("key 1", "key 0"), "format.invalid"),
        (OPEN.replace("key 1", "key ²"), "format.invalid"),
        (OPEN.replace("client", "gateway"), "format.invalid"),
        (OPEN.replace("client", "anyone"), "format.invalid"),
        (OPEN.replace("none", "scrypt"), "format.invalid"),
        (OPEN.replace("none", "argon2id"), "format.invalid"),
        (OPEN + "owner = me\n", "format.invalid"),
        (OPEN + OPEN.splitlines()[-1], "format.invalid"),
        (OPEN[:-3], "format.invalid"),
        (OPEN.replace("root = ", "root "), "format.invalid"),
        (LOCKED.replace("passes = 1", "passes = 65"), "format.invalid"),
        (LOCKED.replace("passes = 1", "passes = 0"), "format.invalid"),
        (LOCKED.replace("memory-kib = 64", "memory-kib = 4000000000"), "format.invalid"),
        (LOCKED.replace("memory-kib = 64", "memory-kib = 7"), "format.invalid"),
        (LOCKED.replace("passes = 1", "passes = 2"), "key.wrong"),
        (LOCKED.replace("client", "gateway"), "key.wrong"),
    ],
)
def test_what_is_not_a_sound_key_file_is_refused(text: str, code: str):
    with pytest.raises(Refusal) as refusal:
        key_file.read(text, "right")
    assert refusal.value.code == code
    assert refusal.value.advice


def test_passphrase_and_tenant_id_alone_give_the_key_again():
    key = passphrase.tenant_key("correct horse battery staple", "tenant-1")
    assert key == passphrase.tenant_key("correct horse battery staple", "tenant-1")
    assert key.from_passphrase
    assert (
        len({key, *(passphrase.tenant_key(*other) for other in (("x", "tenant-1"), ("x", "tenant-2")))}) == 3
    )
