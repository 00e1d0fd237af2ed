"""A request whose answer was lost is asked again with its token, and is answered as the first time."""

from __future__ import annotations

import asyncio

import pytest
from tests.files.cloud import BOB, ENVELOPE, Cloud

from holdfast.files.stores import store_answered
from holdfast.files.tending.trash import Trash
from holdfast.protocol import control
from holdfast.upkeep.expire import Expire
from holdfast.upkeep.passes import run_round
from holdfast.world.errors import Refusal

TOKEN, OTHER = b"t" * 16, b"o" * 16
DAY = 86_400


async def code_of(coroutine) -> str:
    with pytest.raises(Refusal) as caught:
        await coroutine
    return caught.value.code


async def test_a_bucket_made_again_with_the_same_token_is_the_same_bucket(cloud: Cloud) -> None:
    asked = control.BucketMake(bucket="films", token=TOKEN)
    made = await cloud.ask(asked)
    cloud.clock.forward(60)
    assert await cloud.ask(asked) == made
    assert await code_of(cloud.ask(control.BucketMake(bucket="films", token=OTHER))) == "bucket.exists"
    assert await code_of(cloud.ask(control.BucketMake(bucket="films"))) == "bucket.exists"


async def test_a_removal_asked_again_is_answered_again_and_removes_nothing_more(cloud: Cloud) -> None:
    first = await cloud.put(tag="first")
    asked = control.ObjectRemove(bucket="photos", key="cat", token=TOKEN)
    assert await cloud.ask(asked) == first
    assert await cloud.ask(asked) == first
    # Somebody writes the key anew before the question is repeated: that object is not meant.
    second = await cloud.put(tag="second")
    assert await cloud.ask(asked) == first
    assert (await cloud.ask(control.ReadOpen(bucket="photos", key="cat"))).version == second
    assert await cloud.ask(control.ObjectRemove(bucket="photos", key="cat", token=OTHER)) == second


async def test_a_bucket_removed_again_stays_removed_and_its_name_may_be_taken(cloud: Cloud) -> None:
    asked = control.BucketRemove(bucket="photos", token=TOKEN)
    assert await cloud.ask(asked) == await cloud.ask(asked) == control.Done()
    await cloud.make_bucket(tenant=BOB)
    assert await cloud.ask(asked) == control.Done()
    assert [one.bucket for one in (await cloud.ask(control.BucketList(), tenant=BOB)).buckets] == ["photos"]


async def test_of_many_that_ask_at_once_with_one_token_one_is_done_and_all_are_answered(cloud: Cloud) -> None:
    version = await cloud.put()
    asked = control.ObjectRemove(bucket="photos", key="cat", token=TOKEN)
    assert await asyncio.gather(*(cloud.ask(asked) for _ in range(8))) == [version] * 8


async def test_a_refusal_is_not_kept(cloud: Cloud) -> None:
    asked = control.ObjectRemove(bucket="photos", key="cat", token=TOKEN)
    assert await code_of(cloud.ask(asked)) == "object.unknown"
    version = await cloud.put()
    assert await cloud.ask(asked) == version


async def test_a_token_stands_for_one_request_of_one_tenant(cloud: Cloud) -> None:
    await cloud.ask(control.BucketMake(bucket="films", token=TOKEN))
    assert await code_of(cloud.ask(control.BucketMake(bucket="books", token=TOKEN))) == "request.invalid"
    assert await code_of(cloud.ask(control.BucketRemove(bucket="films", token=TOKEN))) == "request.invalid"
    await cloud.ask(control.BucketMake(bucket="books", token=TOKEN), tenant=BOB)


@pytest.mark.parametrize("token", [b"t", b"t" * 15, b"t" * 17])
async def test_a_token_of_another_length_is_refused(cloud: Cloud, token: bytes) -> None:
    for asked in (
        control.BucketMake(bucket="films", token=token),
        control.BucketRemove(bucket="photos", token=token),
        control.ObjectRemove(bucket="photos", key="cat", token=token),
        control.UploadBegin(bucket="photos", key="cat", envelope=ENVELOPE, token=token),
    ):
        assert await code_of(cloud.ask(asked)) == "request.invalid"


async def test_an_upload_begun_again_with_the_same_token_is_the_same_upload(cloud: Cloud) -> None:
    upload_id = await cloud.begin(token=TOKEN)
    assert await cloud.begin(token=TOKEN) == upload_id
    assert await cloud.begin(token=OTHER) != upload_id
    assert await code_of(cloud.begin("dog", token=TOKEN)) == "request.invalid"
    for again in (upload_id, await cloud.begin(token=OTHER)):
        await cloud.ask(control.UploadAbort(upload_id=again))
    # None that nobody knows of is left to keep the bucket from being removed.
    await cloud.ask(control.BucketRemove(bucket="photos"))
    await cloud.make_bucket("photos", tenant=BOB)
    asked = control.UploadBegin(bucket="photos", key="cat", envelope=ENVELOPE, token=TOKEN)
    assert (await cloud.ask(asked, tenant=BOB)).upload_id != upload_id


async def test_answers_are_kept_for_a_day(cloud: Cloud) -> None:
    early = control.BucketMake(bucket="films", token=TOKEN)
    made = await cloud.ask(early)
    cloud.clock.forward(DAY // 2)
    late = control.BucketMake(bucket="books", token=OTHER)
    await cloud.ask(late)
    cloud.clock.forward(DAY // 2)
    trash = Trash(database=cloud.database, journal=cloud.journal, clock=cloud.clock)
    expire = Expire(trash=trash, clock=cloud.clock)
    assert await run_round(expire) == 0
    assert await cloud.ask(early) == made
    cloud.clock.forward(1)
    assert await run_round(expire) == 1
    assert await run_round(expire) == 0
    assert await code_of(cloud.ask(early)) == "bucket.exists"
    assert (await cloud.ask(late)).bucket == "books"
    assert await cloud.database.read(store_answered.old_answers, cloud.clock.now(), 10) == 1


async def test_old_answers_go_a_page_at_a_time(cloud: Cloud) -> None:
    for number in range(7):
        await cloud.ask(control.BucketMake(bucket=f"films-{number}", token=bytes([number]) * 16))
    assert [
        await cloud.database.transact(store_answered.forget_answers, cloud.clock.now() + 1, 3) for _ in "abcd"
    ] == [3, 3, 1, 0]
