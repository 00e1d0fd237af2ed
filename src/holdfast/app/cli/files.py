"""`holdfast put`, `get`, `ls`, `rm`, `stat`, `mb`, `rb`: objects and buckets from the command line.

Data goes through the SDK, so it is sealed on this machine. Heavy imports stand inside the functions: help and
completion must be quick.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import click

from holdfast.app.cli.ending import print_failure
from holdfast.app.cli.output import print_json, print_table, shown, size_text, time_text
from holdfast.world.errors import Refusal

if TYPE_CHECKING:
    from holdfast.app.cli.folders import Outcome
    from holdfast.client.session import AsyncSession
    from holdfast.protocol.nouns import VersionInfo

T = TypeVar("T")

PARALLEL = 8
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one document a line.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print nothing but failures.")
class_option = click.option("--class", "storage_class", metavar="NAME", help="Storage class of new objects.")
parallel_option = click.option(
    "--parallel", type=click.IntRange(1, 256), default=PARALLEL, show_default=True, help="Objects at a time."
)


def with_session(
    work: Callable[[AsyncSession], Coroutine[Any, Any, T]], overrides: Mapping[str, str] | None = None
) -> T:
    """Runs `work` with a session of the user's profile. Ctrl-C cancels it in good order, then raises.

    `overrides` stand before the variables of the environment.
    """
    import asyncio

    import uvloop

    from holdfast.client.session import AsyncSession

    async def whole() -> T:
        environment = {**os.environ, **(overrides or {})}
        async with await AsyncSession.open(environment=environment) as session:
            return await work(session)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(whole())


def split_target(target: str) -> tuple[str, str]:
    """BUCKET/KEY into bucket and key; the key is empty where only a bucket is named."""
    try:
        target.encode()
    except UnicodeEncodeError:
        raise Refusal(
            "name.invalid", f"'{shown(target)}' is not UTF-8.", advice="Names of buckets and keys are UTF-8."
        ) from None
    bucket, _, key = target.removeprefix("hf://").partition("/")
    if not bucket:
        raise Refusal(
            "config.invalid",
            f"'{target}' names no bucket.",
            advice="Write BUCKET/KEY; `holdfast ls` lists your buckets.",
        )
    return bucket, key


def one_object(target: str) -> tuple[str, str]:
    """BUCKET/KEY of one object; raises Refusal("config.invalid") for a bucket alone."""
    bucket, key = split_target(target)
    if not key:
        raise Refusal(
            "config.invalid",
            f"'{target}' names a bucket, no object.",
            advice=f"Write {bucket}/KEY; `holdfast ls {bucket}` lists what is there.",
        )
    return bucket, key


def folder_prefix(key: str) -> str:
    """The key as the prefix of what lies below it."""
    return key if not key or key.endswith("/") else key + "/"


@click.command()
@click.argument("bucket")
@class_option
@json_option
def mb(bucket: str, storage_class: str | None, *, as_json: bool) -> None:
    """Make a bucket.

    \b
    Examples:
      holdfast mb photos
      holdfast mb archive --class wide
    """
    name, key = split_target(bucket)
    if key:
        raise Refusal("config.invalid", f"'{bucket}' is no bucket name.", advice="Leave out the '/'.")
    info = with_session(lambda session: session.make_bucket(name, storage_class=storage_class))
    if as_json:
        print_json(info)
    else:
        click.echo(f"made {info.bucket} (class {info.storage_class})")


@click.command()
@click.argument("bucket")
@json_option
def rb(bucket: str, *, as_json: bool) -> None:
    """Remove an empty bucket.

    \b
    Example:
      holdfast rb photos
    """
    name, _ = split_target(bucket.rstrip("/"))
    with_session(lambda session: session.remove_bucket(name))
    if as_json:
        print_json({"removed": name})
    else:
        click.echo(f"removed {name}")


@click.command()
@click.argument("source", metavar="FILE|-|DIR", type=click.Path(allow_dash=True))
@click.argument("target", metavar="BUCKET[/KEY]")
@click.option("-r", "--recursive", is_flag=True, help="Store a folder: every regular file below it.")
@class_option
@click.option("--if-absent", is_flag=True, help="Refuse if the object exists.")
@parallel_option
@json_option
@quiet_option
def put(
    source: str,
    target: str,
    storage_class: str | None,
    parallel: int,
    *,
    recursive: bool,
    if_absent: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Store a file, a folder or standard input. What was interrupted goes on when it is repeated.

    \b
    Examples:
      holdfast put cat.jpg photos              as photos/cat.jpg
      holdfast put cat.jpg photos/2024/        as photos/2024/cat.jpg
      tar c src | holdfast put - backup/src.tar
      holdfast put -r ~/Pictures photos/pictures
    """
    from holdfast.app.cli import folders

    bucket, key = split_target(target)
    options = folders.PutOptions(storage_class, if_absent)
    quiet = quiet or as_json
    if recursive:
        if not Path(source).is_dir():
            raise Refusal("config.invalid", f"'{source}' is no folder.", advice="Leave out -r for a file.")
        outcomes = with_session(
            lambda session: folders.put_folder(
                session,
                Path(source),
                bucket,
                folder_prefix(key),
                parallel=parallel,
                quiet=quiet,
                options=options,
            )
        )
        finish(outcomes, as_json=as_json, quiet=quiet)
        return
    if source == "-" and (not key or key.endswith("/")):
        raise Refusal("config.invalid", "Standard input has no name.", advice="Write BUCKET/KEY.")
    if not source or (source != "-" and Path(source).is_dir()):
        raise Refusal("config.invalid", f"'{source}' is no file.", advice="Use -r to store a folder.")
    if not key or key.endswith("/"):
        _, key = split_target(f"{bucket}/{key}{Path(source).name}")
    content = Path(source) if source != "-" else _standard_input()
    info = with_session(
        lambda session: folders.put_one(session, content, bucket, key, quiet=quiet, options=options)
    )
    if as_json:
        print_json(info)


@click.command()
@click.argument("source", metavar="BUCKET/KEY")
@click.argument("target", metavar="[FILE|-|DIR]", type=click.Path(allow_dash=True), default="")
@click.option("-r", "--recursive", is_flag=True, help="Read everything below BUCKET/KEY into a folder.")
@parallel_option
@json_option
@quiet_option
def get(source: str, target: str, parallel: int, *, recursive: bool, as_json: bool, quiet: bool) -> None:
    """Read an object or everything below a prefix. What was interrupted goes on when it is repeated.

    A file appears under its name when all of it has been read and verified; till then it is
    FILE.holdfast-part.

    \b
    Examples:
      holdfast get photos/cat.jpg              into ./cat.jpg
      holdfast get backup/src.tar - | tar x
      holdfast get -r photos/pictures ~/Restored
    """
    from holdfast.app.cli import folders

    quiet = quiet or as_json
    if recursive:
        bucket, key = split_target(source)
        folder = Path(target or ".")
        outcomes = with_session(
            lambda session: folders.get_folder(
                session, bucket, folder_prefix(key), folder, parallel=parallel, quiet=quiet
            )
        )
        finish(outcomes, as_json=as_json, quiet=quiet)
        return
    bucket, key = one_object(source)
    if target == "-":
        if as_json:
            raise Refusal("config.invalid", "Standard output carries the object.", advice="Leave out --json.")
        if sys.stdout is None:
            raise Refusal(
                "config.invalid", "Standard output is closed.", advice="Name a file instead of '-'."
            )
        with os.fdopen(1, "wb", buffering=0, closefd=False) as stream:
            with_session(lambda session: folders.get_stream(session, bucket, key, stream, quiet=quiet))
        return
    path = Path(target) if target else Path()
    if path.is_dir() or target.endswith("/"):
        name = key.rstrip("/").rpartition("/")[2]
        path = folders.path_for(path, name)
    info = with_session(lambda session: folders.get_one(session, bucket, key, path, quiet=quiet))
    if as_json:
        print_json({**folders.described(info), "path": str(path)})


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise Refusal("config.invalid", "Standard input is closed.", advice="Name a file instead of '-'.")
    return os.fdopen(0, "rb", buffering=0, closefd=False)


def _ask_before_emptying(bucket: str) -> None:
    if sys.stdin is None or not sys.stdin.isatty():
        raise Refusal(
            "config.invalid",
            f"This removes every object of '{bucket}', and nobody is there to ask.",
            advice="Add --yes if that is what you want.",
        )
    click.confirm(f"Remove every object of {bucket}?", abort=True, err=True)


def finish(outcomes: list[Outcome], *, as_json: bool, quiet: bool) -> None:
    """Prints how a folder fared; exits with 1 (or 75 where trying again may help) if any object failed."""
    status = 0
    for outcome in outcomes:
        if outcome.failure is not None:
            if not as_json:
                click.echo(f"holdfast: {shown(outcome.name)}:", err=True)
            status = max(status, print_failure(outcome.failure, as_json=as_json))
        elif as_json:
            print_json(outcome.info)
    done = [outcome for outcome in outcomes if outcome.failure is None]
    if not quiet:
        total = sum(outcome.size for outcome in done)
        failed = f", {len(outcomes) - len(done)} failed" if len(done) < len(outcomes) else ""
        click.echo(f"{len(done)} objects, {size_text(total)}{failed}", err=True)
    if status:
        sys.exit(status)


@click.command()
@click.argument("target", metavar="[BUCKET[/PREFIX]]", default="")
@click.option("-r", "--recursive", is_flag=True, help="Every object below the prefix, not one level.")
@click.option("-l", "--long", "long_form", is_flag=True, help="Size, time and class as well.")
@json_option
def ls(target: str, *, recursive: bool, long_form: bool, as_json: bool) -> None:
    """List buckets or objects.

    Every line is one entry: control characters in keys are written as escapes. --json has keys as they are.

    \b
    Examples:
      holdfast ls                     your buckets
      holdfast ls photos/2024/ -l
      holdfast ls -r photos --json
    """
    if not target:
        found = with_session(lambda session: session.buckets())
        for info in found:
            if as_json:
                print_json(info)
            else:
                details = f"{time_text(info.created)}  {info.storage_class:<12}  " if long_form else ""
                click.echo(details + shown(info.bucket))
        return
    bucket, prefix = split_target(target)
    delimiter = "" if recursive else "/"

    async def show(session: AsyncSession) -> None:
        after: str | None = None
        while True:
            page = await session.list(bucket, prefix, delimiter=delimiter, after=after)
            entries: list[str | VersionInfo] = [*page.prefixes, *page.objects]
            for entry in sorted(entries, key=_key_of):
                _print_entry(entry, long_form=long_form, as_json=as_json)
            after = page.after
            if after is None:
                return

    with_session(show)


def _key_of(entry: str | VersionInfo) -> bytes:
    return (entry if isinstance(entry, str) else entry.key).encode()


def _print_entry(entry: str | VersionInfo, *, long_form: bool, as_json: bool) -> None:
    if as_json:
        print_json({"prefix": entry} if isinstance(entry, str) else entry)
    elif not long_form:
        click.echo(shown(entry if isinstance(entry, str) else entry.key))
    elif isinstance(entry, str):
        click.echo(f"{'':>9}  {'':19}  {'':12}  {shown(entry)}")
    else:
        size, time = size_text(entry.size), time_text(entry.created)
        click.echo(f"{size:>9}  {time}  {entry.storage_class:<12}  {shown(entry.key)}")


@click.command()
@click.argument("target", metavar="BUCKET/KEY")
@click.option("-r", "--recursive", is_flag=True, help="Remove everything below BUCKET/KEY.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before emptying a bucket.")
@parallel_option
@json_option
@quiet_option
def rm(target: str, parallel: int, *, recursive: bool, yes: bool, as_json: bool, quiet: bool) -> None:
    """Remove objects. They go to the trash, where they stay recoverable for a time.

    \b
    Examples:
      holdfast rm photos/cat.jpg
      holdfast rm -r photos/2024/
    """
    from holdfast.app.cli import folders

    quiet = quiet or as_json
    if recursive:
        bucket, key = split_target(target)
        if not key and not yes:
            _ask_before_emptying(bucket)
        outcomes = with_session(
            lambda session: folders.remove_folder(session, bucket, folder_prefix(key), parallel=parallel)
        )
        finish(outcomes, as_json=as_json, quiet=quiet)
        return
    bucket, key = one_object(target)
    info = with_session(lambda session: session.remove(bucket, key))
    if as_json:
        print_json(info)
    elif not quiet:
        click.echo(f"removed {bucket}/{shown(key)}", err=True)


@click.command()
@click.argument("target", metavar="BUCKET/KEY")
@click.option("--version", "version_id", metavar="ID", help="A version other than the current one.")
@click.option("--chunks", "all_chunks", is_flag=True, help="A line for every chunk, however many.")
@json_option
def stat(target: str, version_id: str | None, *, all_chunks: bool, as_json: bool) -> None:
    """Show where an object's shards are, and how many more losses it survives.

    \b
    Examples:
      holdfast stat photos/cat.jpg
      holdfast stat photos/cat.jpg --json | jq .survives
    """
    from holdfast.app.cli import health

    bucket, key = one_object(target)
    found = with_session(lambda session: health.whole_health(session, bucket, key, version_id))
    if as_json:
        print_json(found)
        return
    for line in health.summary_lines(found):
        click.echo(line)
    if not found.chunks:
        return
    click.echo()
    print_table(*health.node_table(found), right=health.NODE_RIGHT)
    click.echo()
    shown, left = health.chunk_table(found, None if all_chunks else health.CHUNKS_SHOWN)
    print_table(*shown, right=health.CHUNK_RIGHT)
    if left:
        click.echo(f"... and {left} more chunks (--chunks shows all)")
