"""What a write or a delete makes of a key's versions: tables, then a slow twin and long stories."""

from __future__ import annotations

from collections.abc import Awaitable
from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.files.kept import Keeping, new
from tests.files.obvious import Obvious, ObviousBucket

from holdfast.files import history
from holdfast.files.attributes import ANYHOW, Attributes, Conditions, Retention
from holdfast.files.history import Step, Writing
from holdfast.files.records import Bucket, Listed
from holdfast.files.stores.store_versions import Known
from holdfast.world.database import Database
from holdfast.world.errors import Refusal
from holdfast.world.migrations.upgrade import empty_image
from holdfast.world.sqlite import MemoryDatabase


def known(state: str = "current", *, is_null: bool = False, marker: bool = False, etag: str = "e") -> Known:
    return Known(1, "v1", 1, 10, etag, 5_000_000, state, is_null, marker)


OWN, NULL = known(), known(is_null=True)
HIDDEN_NULL = known("noncurrent", is_null=True)


@pytest.mark.parametrize(
    ("versioning", "latest", "null", "outcome"),
    [
        ("off", None, None, Writing((), is_null=True)),
        ("off", NULL, None, Writing((Step("latest", "trashed"),), is_null=True)),
        ("on", None, None, Writing((), is_null=False)),
        ("on", NULL, None, Writing((Step("latest", "noncurrent"),), is_null=False)),
        ("on", OWN, HIDDEN_NULL, Writing((Step("latest", "noncurrent"),), is_null=False)),
        ("suspended", None, None, Writing((), is_null=True)),
        ("suspended", NULL, None, Writing((Step("latest", "trashed"),), is_null=True)),
        ("suspended", OWN, None, Writing((Step("latest", "noncurrent"),), is_null=True)),
        (
            "suspended",
            OWN,
            HIDDEN_NULL,
            Writing((Step("latest", "noncurrent"), Step("null", "trashed")), is_null=True),
        ),
    ],
)
def test_what_is_written_moves_what_was_there(
    versioning: str, latest: Known | None, null: Known | None, outcome: Writing
) -> None:
    assert history.writing(versioning, latest, null) == outcome


@pytest.mark.parametrize(
    ("conditions", "found", "code"),
    [
        (Conditions(), None, None),
        (Conditions(), OWN, None),
        (Conditions(if_absent=True), None, None),
        (Conditions(if_absent=True), OWN, "precondition.failed"),
        (Conditions(if_match="e"), OWN, None),
        (Conditions(if_match="*"), OWN, None),
        (Conditions(if_match="f"), OWN, "precondition.failed"),
        (Conditions(if_match="e"), None, "object.unknown"),
        (Conditions(if_match="*"), None, "object.unknown"),
        (Conditions(if_none_match="*"), OWN, "precondition.failed"),
        (Conditions(if_none_match="e"), OWN, "precondition.failed"),
        (Conditions(if_none_match="f"), OWN, None),
        (Conditions(if_none_match="*"), None, None),
        (Conditions(size=10, modified=5_900_000), OWN, None),
        (Conditions(size=11), OWN, "precondition.failed"),
        (Conditions(modified=6_000_000), OWN, "precondition.failed"),
        (Conditions(size=11, modified=1), None, None),
    ],
)
def test_what_is_required_of_a_key_is_judged(
    conditions: Conditions, found: Known | None, code: str | None
) -> None:
    if code is None:
        history.check(conditions, found)
        return
    with pytest.raises(Refusal) as caught:
        history.check(conditions, found)
    assert caught.value.code == code


def shown(row: Listed) -> tuple[Any, ...]:
    return (row.name, row.s3_version_id, row.etag, row.marker, row.latest)


async def refusal_of(doing: Awaitable[Any]) -> str:
    """The code of the refusal that it ends in."""
    with pytest.raises(Refusal) as caught:
        await doing
    return caught.value.code


class Pair:
    """A bucket and its slow twin, which are told the same."""

    def __init__(self, keeping: Keeping, bucket: Bucket) -> None:
        self.keeping = keeping
        self.bucket = bucket
        self.twin = ObviousBucket()
        self.written = 0

    async def turn(self, versioning: str) -> None:
        self.bucket = await self.keeping.buckets.set_versioning(self.bucket.id, versioning)
        self.twin.versioning = versioning

    async def put(self, key: str, conditions: Conditions = ANYHOW) -> None:
        self.written += 1
        etag = f"e{self.written % 5}"
        adding = self.keeping.histories.add(self.bucket, key, new(etag), conditions)
        refused = self.twin.refusal(key, conditions)
        if refused is not None:
            assert await refusal_of(adding) == refused
            return
        version = await adding
        assert self.twin.write(key, version.version_id, etag).shown_id == version.s3_version_id

    async def delete(self, key: str, conditions: Conditions = ANYHOW) -> None:
        deleting = self.keeping.histories.delete(self.bucket, key, conditions=conditions)
        refused = self.twin.refusal(key, conditions)
        if refused is not None:
            assert await refusal_of(deleting) == refused
            return
        deleted = await deleting
        drawn = deleted.version_id or ""
        assert self.twin.delete(key, drawn) == (deleted.version_id, deleted.marker)

    async def delete_version(self, key: str, shown_id: str) -> None:
        deleted = await self.keeping.histories.delete(self.bucket, key, shown_id)
        assert deleted.removed == (self.twin.find(key, shown_id) is not None)
        assert self.twin.delete_version(key, shown_id) == (deleted.version_id, deleted.marker)

    async def check(self) -> None:
        """The whole outcome: listings of versions and of keys, and every version found by its id."""
        page = await self.keeping.histories.list_versions(self.bucket)
        expected = [
            (each.key, each.shown_id, each.etag, each.marker, latest) for each, latest in self.twin.listed()
        ]
        assert [shown(row) for row in page.rows] == expected
        keys = await self.keeping.histories.list(self.bucket)
        assert [(row.name, row.etag) for row in keys.rows] == [
            (each.key, each.etag) for each, latest in self.twin.listed() if latest and not each.marker
        ]

    async def check_found(self, key: str) -> None:
        current = self.twin.current(key)
        if current is None:
            latest = self.twin.latest(key)
            with pytest.raises(Refusal) as caught:
                await self.keeping.histories.find(self.bucket, key)
            facts = caught.value.facts
            assert facts["marker"] is (latest is not None)
            assert facts.get("version_id") == (None if latest is None else latest.shown_id)
        else:
            version = await self.keeping.histories.find(self.bucket, key)
            assert current == Obvious(key, version.s3_version_id, version.etag)
            assert version.parsed.metadata == {"colour": version.etag}
        for each in self.twin.keys.get(key, []):
            found = await self.keeping.histories.find(self.bucket, key, each.shown_id)
            assert (found.s3_version_id, found.etag, found.marker) == (each.shown_id, each.etag, each.marker)

    async def live(self, dice: Random) -> None:
        """One thing that a client might do."""
        key = dice.choice(["a", "b", "b/c", "ü"])
        deed = dice.random()
        if deed < 0.45:
            await self.put(key, dice.choice(CONDITIONS))
        elif deed < 0.6:
            await self.delete(key, dice.choice(CONDITIONS))
        elif deed < 0.9:
            held = self.twin.keys.get(key, [])
            ids = [each.shown_id for each in held] + ["null", "f" * 32]
            await self.delete_version(key, dice.choice(ids))
        else:
            await self.turn(dice.choice(["on", "suspended"]))


CONDITIONS = [
    Conditions(),
    Conditions(),
    Conditions(),
    Conditions(if_absent=True),
    Conditions(if_match="*"),
    Conditions(if_match="e1"),
    Conditions(if_none_match="*"),
    Conditions(if_none_match="e2"),
]


@pytest.mark.parametrize("seed", range(3))
async def test_a_bucket_tells_the_same_story_as_its_slow_twin(database: Database, seed: int) -> None:
    keeping = Keeping(database)
    pair, dice = Pair(keeping, await keeping.bucket()), Random(seed)
    for step in range(120):
        await pair.live(dice)
        if step % 10 == 9:
            await pair.check()
    for key in sorted(pair.twin.keys):
        await pair.check_found(key)


def run(coroutine: Any) -> Any:
    """Runs what never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("a database in memory does not wait")


KEYS = st.sampled_from(["a", "a/b", "b"])


class Stories(RuleBasedStateMachine):
    """Any story of a bucket, compared with its slow twin after every step."""

    @initialize()
    def begin(self) -> None:
        keeping = Keeping(MemoryDatabase(empty_image()))
        self.pair = Pair(keeping, run(keeping.bucket()))

    @rule(key=KEYS, conditions=st.sampled_from(CONDITIONS))
    def put(self, key: str, conditions: Conditions) -> None:
        run(self.pair.put(key, conditions))

    @rule(key=KEYS, conditions=st.sampled_from(CONDITIONS))
    def delete(self, key: str, conditions: Conditions) -> None:
        run(self.pair.delete(key, conditions))

    @rule(key=KEYS, place=st.integers(0, 3))
    def delete_version(self, key: str, place: int) -> None:
        held = self.pair.twin.keys.get(key, [])
        run(self.pair.delete_version(key, held[place].shown_id if place < len(held) else "null"))

    @rule(versioning=st.sampled_from(["on", "suspended"]))
    def turn(self, versioning: str) -> None:
        run(self.pair.turn(versioning))

    @invariant()
    def told_alike(self) -> None:
        if hasattr(self, "pair"):
            run(self.pair.check())

    def teardown(self) -> None:
        if hasattr(self, "pair"):
            run(self.pair.keeping.database.close())


TestStories = Stories.TestCase
TestStories.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


DAY = 86_400_000_000
LATER = 1_750_000_000_000_000 + DAY


@pytest.mark.parametrize(
    ("lock", "bypass", "goes"),
    [
        (Attributes(), False, True),
        (Attributes(legal_hold=True), True, False),
        (Attributes(retention=Retention(mode="COMPLIANCE", until=LATER)), True, False),
        (Attributes(retention=Retention(mode="GOVERNANCE", until=LATER)), False, False),
        (Attributes(retention=Retention(mode="GOVERNANCE", until=LATER)), True, True),
        (Attributes(retention=Retention(mode="COMPLIANCE", until=LATER - 2 * DAY)), False, True),
    ],
)
async def test_a_locked_version_stays_though_its_key_can_be_deleted(
    database: Database, lock: Attributes, bypass: bool, goes: bool
) -> None:
    keeping = Keeping(database)
    bucket = await keeping.bucket(versioning="on")
    version = await keeping.histories.add(bucket, "a", new(attributes=lock))
    marker = await keeping.histories.delete(bucket, "a")
    assert marker.marker
    if goes:
        await keeping.histories.delete(bucket, "a", version.version_id, bypass_governance=bypass)
    else:
        with pytest.raises(Refusal) as caught:
            await keeping.histories.delete(bucket, "a", version.version_id, bypass_governance=bypass)
        assert caught.value.code == "version.locked"
    page = await keeping.histories.list_versions(bucket)
    left = [marker.version_id] + [version.version_id] * (not goes)
    assert [row.s3_version_id for row in page.rows] == left
