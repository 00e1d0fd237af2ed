"""A version's bytes exchanged for the same bytes, stored otherwise: what it shows stays as it is."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from holdfast.files.records import Content, Version
from holdfast.files.stores import store_references, store_rewriting, store_versions
from holdfast.world.errors import Refusal


def exchange(
    connection: Connection,
    version: Version,
    content: Content,
    keep: Callable[[Connection], int] | None,
    now: int,
) -> Version:
    """Gives the version this content, and frees what nothing else refers to.

    Raises Refusal("precondition.conflict") if the version's bytes do not lie any more where they were read.
    """
    if keep is not None:
        content = content._replace(small=keep(connection))
    if not store_rewriting.set_content(connection, version, content):
        raise Refusal(
            "precondition.conflict",
            "The version was changed or removed while its bytes were moved.",
            advice="Look at it again.",
        )
    left = [(version.stream, version.small)]
    if version.part_count:
        left += store_versions.take_pieces(connection, version.id)
    streams, smalls = [stream for stream, _ in left], [small for _, small in left]
    store_references.release(connection, streams, smalls, now)
    return version._replace(**content._asdict(), part_count=0)
