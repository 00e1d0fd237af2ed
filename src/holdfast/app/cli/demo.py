"""`holdfast demo`: loses nodes and damages disks on purpose, and reads everything back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from holdfast.agent.sizes import size_text
from holdfast.app.cli.node import Size
from holdfast.world.clock import SystemClock
from holdfast.world.errors import Trouble

if TYPE_CHECKING:
    from holdfast.app.demo import Demo, Input, Reading
    from holdfast.app.local import LocalCloud


REDRAW_SECONDS = 0.1


@click.command()
@click.option(
    "--input",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder to store. Default: system files of this machine.",
)
@click.option("--size", type=Size(), default="200MB", show_default=True, help="Store at most so much.")
@click.option("--nodes", type=click.IntRange(14, 64), default=16, show_default=True)
@click.option("--keep", is_flag=True, help="Keep the cloud's folder afterwards, to look at.")
@click.option("--json", "as_json", is_flag=True, help="Print what was measured as JSON at the end.")
def demo(folder: Path | None, size: int, nodes: int, *, keep: bool, as_json: bool) -> None:
    """Store a folder, kill nodes, corrupt bytes, read everything back; says what it did and measured.

    It starts a cloud of its own in a temporary folder and leaves yours alone.

    \b
    Examples:
      holdfast demo
      holdfast demo --input ~/Pictures --size 1GB
      holdfast demo --json > demo.json
    """
    from holdfast.app.demo import choose_input
    from holdfast.app.local import LocalCloud

    files = choose_input(folder, size)
    home = Path(tempfile.mkdtemp(prefix="holdfast-demo-"))
    cloud = LocalCloud(home, node_count=nodes, port=0)
    try:
        measured = asyncio.run(_run(cloud, files, _Teller(quiet=as_json)))
    finally:
        if keep:
            click.echo(f"The cloud's folder is {home}", err=True)
        else:
            shutil.rmtree(home, ignore_errors=True)
    if as_json:
        click.echo(json.dumps(measured, indent=2))


class _Teller:
    """Prints steps with the time since the start, and progress in place on a terminal."""

    def __init__(self, *, quiet: bool) -> None:
        self._clock = SystemClock()
        self._began = self._clock.monotonic()
        self._to_error = quiet
        self._live = sys.stderr.isatty()
        self._shown = 0.0

    def step(self, line: str) -> None:
        self._clear()
        click.echo(f"{self._clock.monotonic() - self._began:6.1f} s  {line}", err=self._to_error)

    def progress(self, what: str, total: int) -> Any:
        def tell(files: int, count: int) -> None:
            now = self._clock.monotonic()
            if self._live and now - self._shown > REDRAW_SECONDS:
                self._shown = now
                share = 100 * count // max(1, total)
                click.echo(f"\r          {what}: {share:3} %, {files} files ", nl=False, err=True)

        return tell

    def _clear(self) -> None:
        if self._live:
            click.echo("\r" + " " * 60 + "\r", nl=False, err=True)


async def _run(cloud: LocalCloud, files: list[Input], teller: _Teller) -> dict[str, Any]:
    from holdfast.app.demo import Demo
    from holdfast.world.chance import SystemChance

    demo = Demo(cloud, SystemClock(), SystemChance())
    try:
        await cloud.start(teller.step)
        return await _steps(demo, files, teller)
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await demo.close()
        await cloud.stop()


async def _steps(demo: Demo, files: list[Input], teller: _Teller) -> dict[str, Any]:
    total = sum(file.size for file in files)
    seconds = await demo.store(files, teller.progress("storing", total))
    k, n, survives, stored = await demo.tolerance()
    teller.step(
        f"stored {len(files)} files, {size_text(total)}, in {seconds:.1f} s "
        f"({total / seconds / 1e6:.0f} MB/s): {k} of {n} shards, {size_text(stored)} on the nodes"
    )
    teller.step(f"every file survives the loss of {survives} nodes")
    measured: dict[str, Any] = {
        "files": len(files), "bytes": total, "store_seconds": seconds, "stored_bytes": stored,
        "k": k, "n": n, "survives": survives,
    }  # fmt: skip

    killed = await demo.kill(n - k)
    teller.step(f"kill -9: {', '.join(node.name for node in killed)}")
    measured["read_with_nodes_dead"] = await _read(demo, teller, total, f"with {n - k} nodes dead")

    back = await demo.revive(1)
    teller.step(f"started {back[0].name} again, so that there is one shard to spare")
    damaged, flips = demo.corrupt()
    teller.step(f"overwrote {flips} bytes all over the vault of {damaged.name}, behind its back")
    measured["read_with_corruption"] = await _read(demo, teller, total, f"with {n - k - 1} dead, 1 damaged")
    measured["shards_reported"] = await demo.suspects()
    teller.step(f"readers reported {measured['shards_reported']} bad shards; none reached a user")

    back = await demo.revive(len(demo.dead))
    teller.step(f"started again: {', '.join(node.name for node in back)}")
    measured["read_at_the_end"] = await _read(demo, teller, total, "with all nodes back")
    _, _, survives, _ = await demo.tolerance()
    measured["survives_at_the_end"] = survives
    teller.step(f"every file survives the loss of {survives} more nodes; the damaged shards wait for repair")
    return measured


async def _read(demo: Demo, teller: _Teller, total: int, state: str) -> dict[str, Any]:
    reading: Reading = await demo.read_all(teller.progress("reading", total))
    if reading.wrong:
        raise Trouble(
            "chunk.lost",
            f"{len(reading.wrong)} files did not come back {state}.",
            retry=False,
            advice="\n  ".join(reading.wrong[:5]),
        )
    teller.step(
        f"read {reading.files} of {len(demo.stored)} files back {state}: every SHA-256 is right "
        f"({reading.bytes / reading.seconds / 1e6:.0f} MB/s)"
    )
    return {"files": reading.files, "seconds": reading.seconds, "sha256_equal": True}
