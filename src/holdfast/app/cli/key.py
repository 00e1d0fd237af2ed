"""`holdfast key`: the tenant's own key, which never leaves its machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from holdfast.app.cli.output import time_text
from holdfast.world.errors import Refusal

if TYPE_CHECKING:
    from holdfast.chunks.keys import TenantKey
    from holdfast.client.session import AsyncSession

json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for programs.")
file_argument = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
passphrase_option = click.option(
    "--passphrase",
    envvar="HOLDFAST_PASSPHRASE",
    help="Of a locked key file (better: HOLDFAST_PASSPHRASE, or wait to be asked).",
)


@click.group()
def key() -> None:
    """The key that only you hold. Without it nobody, Holdfast included, can read what you store.

    A key file is text: print it, or copy it to a safe place. The coordinator knows its id, never the key.

    \b
    Examples:
      holdfast key new ~/holdfast.key
      holdfast key lock ~/holdfast.key
      holdfast key show ~/holdfast.key
      holdfast key register ~/holdfast.key --add
    """


@key.command()
@file_argument
@click.option("--lock/--no-lock", default=False, help="Lock it with a passphrase.")
@passphrase_option
def new(file: Path, lock: bool, passphrase: str | None) -> None:
    """Make a new key in FILE; never overwrites one.

    \b
    Examples:
      holdfast key new ~/holdfast.key
      holdfast key new --lock ~/holdfast.key
    """
    from holdfast.chunks.keys import TenantKey
    from holdfast.chunks.metadata import KEY_BYTES
    from holdfast.world.chance import SystemChance

    if file.exists():
        raise Refusal(
            "config.invalid",
            f"{file} is there already.",
            advice="Data sealed with it would be lost: choose another name, or move it away yourself.",
        )
    made = TenantKey(SystemChance().bytes(KEY_BYTES))
    _write(file, made, _asked(passphrase, confirm=True) if lock else None)
    click.echo(f"Made the key {made.key_id.hex()} in {file}. Keep a copy away from this machine.")


@key.command()
@file_argument
@passphrase_option
@json_option
def show(file: Path, passphrase: str | None, as_json: bool) -> None:
    """Show the id of the key in FILE, and whether it is locked; never the key.

    \b
    Examples:
      holdfast key show ~/holdfast.key
      holdfast key show ~/holdfast.key --json
    """
    from holdfast.chunks import key_file

    text = _text(file)
    locked = key_file.is_locked(text)
    found = _read(text, passphrase)
    if as_json:
        click.echo(json.dumps({"key_id": found.key_id.hex(), "locked": locked, "file": str(file)}))
    else:
        click.echo(f"Key {found.key_id.hex()}, {'locked with a passphrase' if locked else 'not locked'}")


@key.command()
@file_argument
@passphrase_option
def lock(file: Path, passphrase: str | None) -> None:
    """Lock the key in FILE with a (new) passphrase. Copies made before stay as they are.

    \b
    Example:
      holdfast key lock ~/holdfast.key
    """
    found = _read(_text(file), None)
    _write(file, found, _asked(passphrase, confirm=True))
    click.echo(f"Locked {file}.")


@key.command()
@file_argument
@passphrase_option
def unlock(file: Path, passphrase: str | None) -> None:
    """Write the key in FILE without its passphrase.

    \b
    Example:
      holdfast key unlock ~/holdfast.key
    """
    _write(file, _read(_text(file), passphrase), None)
    click.echo(f"Unlocked {file}: whoever can read the file can read your data.")


@key.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option("--add", is_flag=True, help="Allow it though the account seals with another key already.")
@passphrase_option
@json_option
def register(file: Path | None, passphrase: str | None, *, add: bool, as_json: bool) -> None:
    """Let your account seal with the key in FILE, or with the key of your profile.

    The first key that you use is registered by itself. Another one is refused unless you say --add: it is
    mostly a slip, and objects sealed with a key can only be read with that key.

    \b
    Examples:
      holdfast key register                          the key that the profile names
      holdfast key register ~/second.key --add
    """
    from holdfast.app.cli.files import with_session

    overrides: dict[str, str] = {}
    if file is not None:
        text = _text(file)
        overrides["HOLDFAST_KEY_FILE"] = str(file)
        from holdfast.chunks import key_file

        if key_file.is_locked(text):
            overrides["HOLDFAST_PASSPHRASE"] = _asked(passphrase, confirm=False)

    async def work(session: AsyncSession) -> tuple[bytes, bool]:
        known = {registered.key_id for registered in (await session.tenant()).keys}
        key_id = await session.register_key(add=add)
        return key_id, key_id in known

    key_id, before = with_session(work, overrides)
    if as_json:
        click.echo(json.dumps({"key_id": key_id.hex(), "registered_before": before}))
    else:
        click.echo(f"Key {key_id.hex()} {'was registered before' if before else 'is registered'}.")


@key.command("list")
@json_option
def list_keys(*, as_json: bool) -> None:
    """List the keys that your account seals with, by id; the first is the oldest.

    \b
    Examples:
      holdfast key list
      holdfast key list --json
    """
    from holdfast.app.cli.files import with_session

    for known in with_session(lambda session: session.tenant()).keys:
        if as_json:
            click.echo(json.dumps({"key_id": known.key_id.hex(), "created": known.created}))
        else:
            click.echo(f"{known.key_id.hex()}  since {time_text(known.created)} UTC")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal("config.missing", f"There is no key file at {file}: {error}.") from error


def _read(text: str, passphrase: str | None) -> TenantKey:
    from holdfast.chunks import key_file

    return key_file.read(text, _asked(passphrase, confirm=False) if key_file.is_locked(text) else None)


def _asked(passphrase: str | None, *, confirm: bool) -> str:
    if passphrase:
        return passphrase
    asked: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True)
    return asked


def _write(file: Path, made: TenantKey, passphrase: str | None) -> None:
    from holdfast.app.private_file import write_private
    from holdfast.chunks import key_file
    from holdfast.chunks.passphrase import SALT_BYTES
    from holdfast.world.chance import SystemChance

    if passphrase is None:
        text = key_file.write(made)
    else:
        text = key_file.write_locked(made, passphrase, SystemChance().bytes(SALT_BYTES))
    write_private(file, text.encode())
