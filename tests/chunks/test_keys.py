from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.chunks import obvious
from tests.chunks.kernels import content

from holdfast.chunks import keys
from holdfast.chunks.boxes import shut
from holdfast.chunks.keys import TenantKey
from holdfast.chunks.metadata import Closing
from holdfast.world.errors import Refusal, Trouble

KEY = TenantKey(content(32, b"root"))
OTHER = TenantKey(content(32, b"other root"))
DATA_KEY = content(32, b"data key")
NONCE = content(16, b"nonce")
IDS = content(16 * 5, b"ids")


def test_a_data_key_comes_out_of_its_envelope():
    envelope = keys.new_envelope(KEY, DATA_KEY, NONCE)
    assert (envelope.mode, envelope.key_id, len(envelope.wrapped)) == ("client", KEY.key_id, 65)
    assert keys.open_envelope(KEY, envelope) == DATA_KEY
    assert DATA_KEY not in envelope.wrapped


def test_another_key_is_refused_and_both_are_named():
    envelope = keys.new_envelope(KEY, DATA_KEY, NONCE)
    with pytest.raises(Refusal) as refusal:
        keys.open_envelope(OTHER, envelope)
    assert refusal.value.code == "key.unknown"
    assert KEY.key_id.hex() in refusal.value.message
    assert OTHER.key_id.hex() in refusal.value.message


def test_a_wrong_passphrase_is_called_that():
    envelope = keys.new_envelope(KEY, DATA_KEY, NONCE)
    with pytest.raises(Refusal) as refusal:
        keys.open_envelope(TenantKey(OTHER.root, from_passphrase=True), envelope)
    assert refusal.value.code == "key.wrong"
    assert "passphrase" in refusal.value.advice


@given(st.integers(0, 64), st.integers(0, 7))
def test_a_flipped_bit_anywhere_in_an_envelope_is_found(at: int, bit: int):
    envelope = keys.new_envelope(KEY, DATA_KEY, NONCE)
    wrapped = bytearray(envelope.wrapped)
    wrapped[at] ^= 1 << bit
    with pytest.raises(Refusal) as refusal:
        keys.open_envelope(KEY, msgspec.structs.replace(envelope, wrapped=bytes(wrapped)))
    assert refusal.value.code in {"key.wrong", "format.newer", "format.invalid"}


def test_a_clients_envelope_cannot_be_passed_off_as_a_gateways():
    envelope = keys.new_envelope(KEY, DATA_KEY, NONCE)
    with pytest.raises(Refusal) as refusal:
        keys.open_envelope(KEY, msgspec.structs.replace(envelope, mode="gateway"))
    assert refusal.value.code == "key.wrong"


def test_an_envelope_of_a_later_version_is_refused_clearly():
    envelope = keys.new_envelope(KEY, DATA_KEY, NONCE)
    for first, code in ((2, "format.newer"), (0, "format.invalid")):
        changed = msgspec.structs.replace(envelope, wrapped=bytes([first]) + envelope.wrapped[1:])
        with pytest.raises(Refusal) as refusal:
            keys.open_envelope(KEY, changed)
        assert refusal.value.code == code
    with pytest.raises(Refusal):
        keys.open_envelope(KEY, msgspec.structs.replace(envelope, wrapped=b"\1"))


def test_the_same_root_is_another_key_in_another_mode():
    assert TenantKey(KEY.root, "gateway").key_id != KEY.key_id


def test_a_key_does_not_show_itself():
    assert KEY.root.hex() not in repr(KEY)
    assert repr(KEY.root) not in repr(KEY)


def test_chunk_keys_follow_from_data_key_and_chunk_id():
    chunk_id = content(16, b"chunk")
    expected = obvious.hkdf_expand(DATA_KEY, b"holdfast chunk key v1\0" + chunk_id, 32)
    assert keys.chunk_key(DATA_KEY, chunk_id) == expected
    assert keys.chunk_key(DATA_KEY, bytes(16)) != expected


# --- closings --------------------------------------------------------------------------------------------


WHOLE = keys.Whole("films", "a/film", 999, IDS, 0xFEED)


def closing() -> Closing:
    return keys.close(DATA_KEY, WHOLE, nonce=NONCE)


def check(*, data_key: bytes = DATA_KEY, **changes: object) -> None:
    keys.check_closing(closing(), WHOLE._replace(**changes), data_key=data_key)


def test_an_object_as_it_was_closed_is_believed():
    check()
    nothing = WHOLE._replace(size=0, chunk_ids=b"", checksum=0)
    keys.check_closing(keys.close(DATA_KEY, nothing, nonce=NONCE), nothing, data_key=DATA_KEY)


@pytest.mark.parametrize(
    ("change", "forgery"),
    [
        ({"size": 998}, "another size"),
        ({"checksum": 1}, "another checksum"),
        ({"chunk_ids": IDS[:-16]}, "truncated"),
        ({"chunk_ids": b""}, "emptied"),
        ({"chunk_ids": IDS + bytes(16)}, "extended"),
        ({"chunk_ids": IDS[16:32] + IDS[:16] + IDS[32:]}, "reordered"),
        ({"chunk_ids": IDS[:16] * 5}, "repeated"),
        ({"data_key": bytes(32)}, "another object's closing"),
        ({"key": "b/film"}, "another key"),
        ({"key": "film", "bucket": "films\0a"}, "names run together"),
        ({"bucket": "music"}, "another bucket"),
    ],
)
def test_a_list_of_chunks_that_is_not_the_sealed_one_is_refused(change: dict[str, object], forgery: str):
    with pytest.raises(Trouble) as trouble:
        check(**change)
    assert (trouble.value.code, trouble.value.retry) == ("metadata.forged", False), forgery


def test_the_sealed_size_and_count_are_told():
    with pytest.raises(Trouble) as trouble:
        check(chunk_ids=IDS[16:])
    assert trouble.value.facts == {"size": 999, "chunks": 4, "sealed_size": 999, "sealed_chunks": 5}


def test_an_object_under_another_name_is_told_as_that():
    with pytest.raises(Trouble, match="not stored as 'b/film' in the bucket 'films'"):
        check(key="b/film")


def test_a_closing_of_a_newer_version_is_refused_as_newer():
    newer = shut(DATA_KEY, b"holdfast closing", nonce=NONCE, secret=b"\x03 and more", context=b"")
    with pytest.raises(Refusal) as refusal:
        keys.check_closing(Closing(sealed=newer), WHOLE, data_key=DATA_KEY)
    assert refusal.value.code == "format.newer"
