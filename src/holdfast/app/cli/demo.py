"""`holdfast demo`: loses nodes and damages disks on purpose, and reads everything back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import tempfile
from collections.abc import Callable, Sequence, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from holdfast.agent.sizes import size_text
from holdfast.app.cli.node import Size
from holdfast.app.cli.output import print_table
from holdfast.app.cli.teller import Teller
from holdfast.world.clock import SystemClock
from holdfast.world.errors import Trouble

if TYPE_CHECKING:
    from holdfast.app.demo import Demo, Input, Reading
    from holdfast.app.local import LocalCloud, LocalNode


REPAIR_SECONDS_MAX = 30.0
Measured = dict[str, Any]


@click.command()
@click.option(
    "--input",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder to take files from. Default: system files of this machine.",
)
@click.option("--size", type=Size(), default="200MB", show_default=True, help="Store at most so much.")
@click.option("--nodes", type=click.IntRange(14, 64), default=16, show_default=True, help="How many nodes.")
@click.option("--keep", is_flag=True, help="Keep the cloud's folder afterwards, to look at.")
@click.option("--json", "as_json", is_flag=True, help="Print what was measured as JSON at the end.")
def demo(folder: Path | None, size: int, nodes: int, *, keep: bool, as_json: bool) -> None:
    """Store files, kill nodes, corrupt bytes, read everything back; says what it did and measured.

    It takes a minute, starts a cloud of its own in a temporary folder, and leaves yours alone. Tiny files are
    mostly left out: each costs as much as one of 100 KB.

    \b
    Examples:
      holdfast demo
      holdfast demo --input ~/Pictures --size 1GB
      holdfast demo --json > demo.json
    """
    from holdfast.app.demo import choose_input
    from holdfast.app.local import LocalCloud

    teller = Teller(to_error=as_json)
    teller.progress("looking for files to store")
    files = choose_input(folder, size)
    total = size_text(sum(file.size for file in files))
    teller.step(f"chose {len(files)} files of {folder or 'this machine'}, {total}, few of them tiny")
    home = Path(tempfile.mkdtemp(prefix="holdfast-demo-"))
    cloud = LocalCloud(home, node_count=nodes, port=0)
    try:
        measured = asyncio.run(_run(cloud, files, teller))
    except asyncio.CancelledError:
        # SIGTERM ends it like Ctrl-C.
        raise KeyboardInterrupt from None
    finally:
        teller.clear()
        if keep:
            click.echo(f"The cloud's folder is {home}", err=True)
        else:
            shutil.rmtree(home, ignore_errors=True)
    if as_json:
        click.echo(json.dumps(measured))
    else:
        _table(measured)


async def _run(cloud: LocalCloud, files: list[Input], teller: Teller) -> Measured:
    from holdfast.app.demo import Demo
    from holdfast.world.chance import SystemChance

    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    demo = Demo(cloud, SystemClock(), SystemChance())
    try:
        await cloud.start(teller.step, teller.progress)
        return await _steps(demo, files, teller)
    finally:
        teller.progress("stopping the cloud")
        with contextlib.suppress(asyncio.CancelledError):
            await demo.close()
        await asyncio.shield(cloud.stop())


async def _steps(demo: Demo, files: list[Input], teller: Teller) -> Measured:
    seconds = await demo.store(files, _progress(teller, "storing", files))
    before = await demo.standing()
    total = sum(size for size, _ in demo.stored.values())
    spare = before.n - before.k
    files_text = f"{len(demo.stored)} files, {size_text(total)}"
    teller.step(f"stored {files_text}, in {seconds:.1f} s: each compressed, encrypted, and cut into")
    teller.step(f"  {before.n} shards on {before.n} nodes, of which any {before.k} bring it back")
    measured: Measured = {
        "files": len(demo.stored), "bytes": total, "store_seconds": seconds,
        "stored_bytes": before.stored_bytes, "k": before.k, "n": before.n, "survives": before.survives,
    }  # fmt: skip

    killed = await demo.kill(spare)
    teller.step(f"kill -9 for {spare} nodes, as many as may be lost: {_names(killed)}")
    measured["read_with_nodes_dead"] = await _read(demo, teller, f"with {spare} nodes dead")

    back = await demo.revive(1)
    damaged, flips = demo.corrupt()
    teller.step(f"started {_names(back)} again, and damaged {flips} bytes on the disk of {damaged.name}")
    state = f"with {spare - 1} dead and 1 damaged"
    measured["read_with_corruption"] = await _read(demo, teller, state)
    reported = measured["shards_reported"] = (await demo.standing()).bad_shards
    teller.step(f"  {reported} damaged shards were found out by their hashes, replaced at once and reported")

    back = await demo.revive(len(demo.dead))
    teller.step(f"started {_names(back)} again")
    await demo.restart_coordinator()
    teller.step("kill -9 for the coordinator, and started it again, with repair in a hurry")
    after = await demo.repaired(
        REPAIR_SECONDS_MAX, lambda left: teller.progress(f"repairing: {left} shards to go")
    )
    measured["shards_left"] = after.bad_shards
    if after.bad_shards:
        teller.step(f"{after.bad_shards} shards still wait for repair")
    else:
        teller.step("the repair pass rebuilt every reported shard from good ones, without the key")
    measured["read_at_the_end"] = await _read(demo, teller, "with all nodes back")
    measured["survives_at_the_end"] = after.survives
    return measured


def _names(nodes: Sequence[LocalNode]) -> str:
    return ", ".join(node.name for node in nodes)


def _progress(teller: Teller, verb: str, files: Sized) -> Callable[[int, int], None]:
    return lambda done, size: teller.progress(f"{verb}: {done} of {len(files)} files, {size_text(size)}")


async def _read(demo: Demo, teller: Teller, state: str) -> dict[str, Any]:
    reading: Reading = await demo.read_all(_progress(teller, f"reading {state}", demo.stored))
    if reading.wrong:
        raise Trouble(
            "chunk.lost",
            f"{len(reading.wrong)} files did not come back {state}.",
            retry=False,
            advice="\n".join(reading.wrong[:5]),
        )
    teller.step(f"read {reading.files} of {len(demo.stored)} files back {state}: every SHA-256 is right")
    return {
        "state": state, "files": reading.files, "bytes": reading.bytes,
        "seconds": reading.seconds, "sha256_equal": True,
    }  # fmt: skip


def _table(measured: Measured) -> None:
    """What it came to."""
    rows = [["stored", str(measured["files"]), "", _rate(measured["bytes"], measured["store_seconds"])]]
    for name in ("read_with_nodes_dead", "read_with_corruption", "read_at_the_end"):
        reading = measured[name]
        same = f"{reading['files']} equal"
        rate = _rate(reading["bytes"], reading["seconds"])
        rows.append([f"read {reading['state']}", str(reading["files"]), same, rate])
    click.echo()
    print_table(["", "files", "SHA-256", "MB/s"], rows, right=frozenset({1, 2, 3}))
    stored = measured["stored_bytes"] / measured["bytes"]
    click.echo(
        f"\nNothing was lost. Each byte takes {stored:.2f} bytes on the nodes, after compression; "
        f"every file survives the loss of any {measured['survives_at_the_end']} nodes."
    )


def _rate(size: int, seconds: float) -> str:
    return f"{size / seconds / 1e6:.0f}"
