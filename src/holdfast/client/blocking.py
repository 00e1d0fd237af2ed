"""The SDK for programs without an event loop: the verbs of `AsyncSession`, each waiting until it is done.

    with Session.open() as session:
        session.put("cat.jpg", "photos", "cat.jpg")
        with session.open_object("photos", "cat.jpg") as file: ...

One event loop runs on a thread of its own; a session may be used from several threads. An interrupt (Ctrl-C)
while a verb waits stops that transfer in good order, and only then raises.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import CancelledError, Future, wait
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar

from holdfast.client.profile import Profile
from holdfast.client.progress import ProgressCallback
from holdfast.client.session import MEMORY_BYTES, AsyncSession, ObjectReader
from holdfast.client.sinks import ByteSink
from holdfast.client.sources import Putable
from holdfast.protocol.control import (
    LIST_KEYS_MAX,
    Invitation,
    NodeInfo,
    ObjectHealth,
    Objects,
    TenantInfo,
)
from holdfast.protocol.nouns import BucketInfo, VersionInfo

T = TypeVar("T")

READ_AHEAD_BYTES = 1 << 20


class LoopThread:
    """An event loop on its own thread; uvloop's where it is installed."""

    def __init__(self) -> None:
        self._loop = _new_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="holdfast", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Waits for the work. If the wait itself is interrupted, the work is cancelled and waited for."""
        outcome: Future[T] = Future()
        tasks: list[asyncio.Task[T]] = []

        def note(task: asyncio.Task[T]) -> None:
            failure = CancelledError() if task.cancelled() else task.exception()
            if failure is None:
                outcome.set_result(task.result())
            else:
                outcome.set_exception(failure)

        def start() -> None:
            tasks.append(self._loop.create_task(work))
            tasks[0].add_done_callback(note)

        def stop() -> None:
            tasks[0].cancel()

        self._loop.call_soon_threadsafe(start)
        try:
            return outcome.result()
        except KeyboardInterrupt:
            self._loop.call_soon_threadsafe(stop)
            wait([outcome])
            raise

    def stop(self) -> None:
        """Ends the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Session:
    """Made by `open`, or from a function that makes an AsyncSession in the session's own loop."""

    def __init__(self, make: Callable[[], Coroutine[Any, Any, AsyncSession]]) -> None:
        self._loop = LoopThread()
        try:
            self._session = self._loop.run(make())
        except BaseException:
            self._loop.stop()
            raise

    @classmethod
    def open(
        cls,
        profile: Profile | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        resume: bool = True,
        memory_bytes: int = MEMORY_BYTES,
    ) -> Self:
        """As `AsyncSession.open`."""
        return cls(
            lambda: AsyncSession.open(
                profile, environment=environment, resume=resume, memory_bytes=memory_bytes
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hangs up and ends the thread."""
        try:
            self._loop.run(self._session.close())
        finally:
            self._loop.stop()

    def make_bucket(self, bucket: str, *, storage_class: str | None = None) -> BucketInfo:
        """As `AsyncSession.make_bucket`."""
        return self._loop.run(self._session.make_bucket(bucket, storage_class=storage_class))

    def remove_bucket(self, bucket: str) -> None:
        """As `AsyncSession.remove_bucket`."""
        self._loop.run(self._session.remove_bucket(bucket))

    def buckets(self) -> tuple[BucketInfo, ...]:
        """As `AsyncSession.buckets`."""
        return self._loop.run(self._session.buckets())

    def list(
        self,
        bucket: str,
        prefix: str = "",
        *,
        delimiter: str = "",
        after: str | None = None,
        limit: int = LIST_KEYS_MAX,
    ) -> Objects:
        """As `AsyncSession.list`."""
        return self._loop.run(
            self._session.list(bucket, prefix, delimiter=delimiter, after=after, limit=limit)
        )

    def walk(self, bucket: str, prefix: str = "") -> Iterator[VersionInfo]:
        """As `AsyncSession.walk`."""
        after: str | None = None
        while True:
            page = self.list(bucket, prefix, after=after)
            yield from page.objects
            after = page.after
            if after is None:
                return

    def stat(
        self, bucket: str, key: str, *, version_id: str | None = None, chunks_from: int = 0
    ) -> ObjectHealth:
        """As `AsyncSession.stat`."""
        return self._loop.run(self._session.stat(bucket, key, version_id=version_id, chunks_from=chunks_from))

    def remove(self, bucket: str, key: str, *, if_version: str | None = None) -> VersionInfo:
        """As `AsyncSession.remove`."""
        return self._loop.run(self._session.remove(bucket, key, if_version=if_version))

    def put(
        self,
        content: Putable,
        bucket: str,
        key: str,
        *,
        storage_class: str | None = None,
        if_absent: bool = False,
        if_version: str | None = None,
        metadata: Mapping[str, str] | None = None,
        chunk_size: int | None = None,
        progress: ProgressCallback | None = None,
    ) -> VersionInfo:
        """As `AsyncSession.put`. `progress` is called on the session's own thread."""
        return self._loop.run(
            self._session.put(
                content,
                bucket,
                key,
                storage_class=storage_class,
                if_absent=if_absent,
                if_version=if_version,
                metadata=metadata,
                chunk_size=chunk_size,
                progress=progress,
            )
        )

    def get(
        self,
        bucket: str,
        key: str,
        sink: Path | str | BinaryIO | ByteSink,
        *,
        version_id: str | None = None,
        progress: ProgressCallback | None = None,
    ) -> VersionInfo:
        """As `AsyncSession.get`. `progress` is called on the session's own thread."""
        return self._loop.run(self._session.get(bucket, key, sink, version_id=version_id, progress=progress))

    def read(
        self,
        bucket: str,
        key: str,
        *,
        range: tuple[int, int] | None = None,  # noqa: A002  # the word users know
        version_id: str | None = None,
    ) -> bytes:
        """As `AsyncSession.read`."""
        return self._loop.run(self._session.read(bucket, key, range=range, version_id=version_id))

    def open_object(self, bucket: str, key: str, *, version_id: str | None = None) -> io.BufferedReader:
        """The object as a seekable binary file, read in steps of a mebibyte; raises what `get` raises."""
        reader = self._loop.run(self._session.reader(bucket, key, version_id=version_id))
        return io.BufferedReader(ObjectFile(self._loop, reader), READ_AHEAD_BYTES)

    def nodes(self) -> tuple[NodeInfo, ...]:
        """As `AsyncSession.nodes`."""
        return self._loop.run(self._session.nodes())

    def invite_node(self, *, lifetime_seconds: int = 3600) -> Invitation:
        """As `AsyncSession.invite_node`."""
        return self._loop.run(self._session.invite_node(lifetime_seconds=lifetime_seconds))

    def register_key(self, *, add: bool = True) -> bytes:
        """As `AsyncSession.register_key`."""
        return self._loop.run(self._session.register_key(add=add))

    def tenant(self) -> TenantInfo:
        """As `AsyncSession.tenant`."""
        return self._loop.run(self._session.tenant())


class ObjectFile(io.RawIOBase):
    """The raw file below `Session.open_object`: each read is a range of the object."""

    def __init__(self, loop: LoopThread, reader: ObjectReader) -> None:
        super().__init__()
        self._loop = loop
        self._reader = reader
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._reader.size}[whence]
        if start + offset < 0:
            raise ValueError("there is nothing before the start")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        into = memoryview(buffer).cast("B")
        stop = min(self._at + len(into), self._reader.size)
        if stop <= self._at:
            return 0
        content = self._loop.run(self._reader.read(self._at, stop))
        into[: len(content)] = content
        self._at += len(content)
        return len(content)

    def close(self) -> None:
        if not self.closed:
            self._loop.run(self._reader.close())
        super().close()


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
