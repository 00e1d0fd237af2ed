from __future__ import annotations

import pytest

from holdfast.tenants.master import Master
from holdfast.world.errors import Refusal, Trouble
from holdfast.world.simulated.chance import SimulatedChance

PLACE = b"access key\0AK"
FROZEN = bytes.fromhex("016e6e6e6e6e6e6e6e6e6e6e6ee13ba9573f7579a6c57de02cc5ab1925b0605a456686")


def test_the_format_of_a_wrapped_secret_is_frozen() -> None:
    assert Master({"m1": b"1" * 32}, "m1").unwrap("m1", FROZEN, PLACE) == b"secret"


def test_a_wrapped_secret_opens_only_whole_in_its_place_and_with_its_key() -> None:
    master = Master({"m1": b"1" * 32, "m2": b"2" * 32}, "m1")
    wrapped = master.wrap(b"secret", PLACE, SimulatedChance(0))
    assert master.unwrap("m1", wrapped, PLACE) == b"secret"
    attempts = [
        ("m2", wrapped, PLACE),
        ("m3", wrapped, PLACE),
        ("m1", wrapped, b"managed key\0AK"),
        ("m1", wrapped[:-1], PLACE),
        ("m1", wrapped[:5], PLACE),
        ("m1", wrapped[:-1] + bytes([wrapped[-1] ^ 1]), PLACE),
    ]
    for master_id, sealed, place in attempts:
        with pytest.raises(Trouble) as failed:
            master.unwrap(master_id, sealed, place)
        assert (failed.value.code, failed.value.retry) == ("internal", False)
    with pytest.raises(Refusal) as refused:
        master.unwrap("m1", b"\x02" + wrapped[1:], PLACE)
    assert refused.value.code == "format.newer"


@pytest.mark.parametrize(
    ("keys", "current"), [({}, "m1"), ({"m1": b"1" * 32}, "m2"), ({"m1": b"1" * 31}, "m1")]
)
def test_master_keys_that_cannot_work_are_refused(keys: dict[str, bytes], current: str) -> None:
    with pytest.raises(Refusal) as refused:
        Master(keys, current)
    assert refused.value.code == "config.invalid"


def test_no_master_key_shows_in_a_repr() -> None:
    assert repr(Master({"m1": b"1" * 32}, "m1")) == "Master(ids=['m1'], current='m1')"
