"""The whole room as the doors see it: one handler for each operation on stored things."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from holdfast.files.buckets import Buckets
from holdfast.files.download import Downloads
from holdfast.files.objects import ObjectOperations
from holdfast.files.places import Places
from holdfast.files.recording import Journal
from holdfast.files.tending.faults import Faults
from holdfast.files.upload import Uploads
from holdfast.protocol import control
from holdfast.protocol.nouns import Struct
from holdfast.world.chance import Chance
from holdfast.world.clock import Clock
from holdfast.world.database import Database
from holdfast.world.offload import Offload

Handler = Callable[[str, Any], Awaitable[Struct]]
"""Answers one operation for the tenant of this id; whether the caller may do it was decided before."""


def file_operations(
    *,
    database: Database,
    places: Places,
    journal: Journal,
    clock: Clock,
    chance: Chance,
    offload: Offload,
) -> dict[type[control.Operation], Handler]:
    """`await handlers[type(request)](tenant_id, request)` is the operation's reply, or raises its Refusal."""
    buckets = Buckets(database=database, places=places, clock=clock)
    objects = ObjectOperations(database=database, places=places, clock=clock, chance=chance)
    uploads = Uploads(
        database=database, places=places, journal=journal, clock=clock, chance=chance, offload=offload
    )
    downloads = Downloads(database=database, places=places)
    faults = Faults(database=database, places=places, clock=clock)
    return {
        control.BucketMake: buckets.make,
        control.BucketRemove: buckets.remove,
        control.BucketList: buckets.list,
        control.ObjectList: objects.list,
        control.ObjectStat: objects.stat,
        control.ObjectRemove: objects.remove,
        control.UploadBegin: uploads.begin,
        control.UploadShow: uploads.show,
        control.UploadPlan: uploads.plan,
        control.UploadReplace: uploads.replace,
        control.UploadRecord: uploads.record,
        control.UploadCommit: uploads.commit,
        control.UploadAbort: uploads.abort,
        control.ReadOpen: downloads.open,
        control.ReadPlan: downloads.plan,
        control.ReadChunkIds: downloads.chunk_ids,
        control.ShardReport: faults.report,
    }
