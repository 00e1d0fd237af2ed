"""Settings of a coordinator: a TOML file in its home, overridden by environment variables.

Every setting is a field below with its default and its sentence; docs/reference/settings.md is generated
from them. A variable is the field's name in capitals after `HOLDFAST_`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from holdfast.world.errors import Refusal
from holdfast.world.network import parse_address

FILE_NAME = "coordinator.toml"
PREFIX = "HOLDFAST_"
WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - recognised here, not bound to


class CoordinatorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator may set."""

    database: Annotated[
        str,
        Meta(
            description="Database URL: empty for SQLite in the home folder, or postgresql://user@host/name."
        ),
    ] = ""
    listen: Annotated[str, Meta(description="Host and port of the HTTP endpoint.")] = "127.0.0.1:8333"
    relay_listen: Annotated[
        str,
        Meta(
            description="Where the relay listens, for clients that cannot reach nodes: tls://HOST:PORT, or "
            "tcp:// on loopback; empty switches it off."
        ),
    ] = "tcp://127.0.0.1:8334"
    relay_advertised: Annotated[
        str,
        Meta(
            description="Where clients are told to find the relay; empty: where it listens. Needed when it "
            "listens on all addresses."
        ),
    ] = ""
    region: Annotated[str, Meta(description="Region name that request signatures are made for.")] = (
        "us-east-1"
    )
    s3_listen: Annotated[
        str, Meta(description="Host and port of the S3 endpoint; empty switches it off.")
    ] = "127.0.0.1:8335"
    s3_tls_listen: Annotated[
        str, Meta(description="Host and port of the S3 endpoint over TLS; empty switches it off.")
    ] = "127.0.0.1:8336"
    s3_tls_certificate: Annotated[
        str,
        Meta(
            description="PEM file of the certificate chain of the S3 endpoint; empty: one for localhost is "
            "made in the home, signed by s3-ca.pem there."
        ),
    ] = ""
    s3_tls_key: Annotated[str, Meta(description="PEM file of the private key of that certificate.")] = ""
    s3_domains: Annotated[
        str,
        Meta(description="Host names, separated by commas, below which S3 programs may put a bucket's name."),
    ] = "localhost,s3.localhost"
    s3_website_domains: Annotated[
        str,
        Meta(description="Host names, separated by commas, below which a bucket's website is served."),
    ] = ""
    s3_lifecycle_day_seconds: Annotated[
        int,
        Meta(description="How long a day of lifecycle rules lasts; only tests shorten it.", ge=1),
    ] = 86400
    s3_notification_targets: Annotated[
        str,
        Meta(
            description="Where events of buckets are told, ARN=URL separated by spaces; what follows # in a "
            "URL signs HTTP messages."
        ),
    ] = ""
    s3_default_ownership: Annotated[
        Literal["ObjectWriter", "BucketOwnerPreferred", "BucketOwnerEnforced"],
        Meta(description="Object ownership of buckets made without saying; the last switches ACLs off."),
    ] = "ObjectWriter"
    s3_log: Annotated[
        Literal["all", "none"], Meta(description="Whether every S3 request gets a line in the log.")
    ] = "all"
    default_class: Annotated[str, Meta(description="Storage class of buckets that name none.")] = "standard"
    heartbeat_seconds: Annotated[int, Meta(description="How often nodes report.", ge=1, le=3600)] = 30
    containment_seconds: Annotated[
        int, Meta(description="How long a silent node's shards still count as live for repair.", ge=1)
    ] = 4 * 3600
    repair_grace_seconds: Annotated[
        int,
        Meta(
            description="How long a chunk that is still safe waits for shards that were never stored or were "
            "proven lost, before they are rebuilt.",
            ge=0,
        ),
    ] = 600
    trash_seconds: Annotated[
        int, Meta(description="How long removed versions can be restored before their space is freed.", ge=0)
    ] = 30 * 86400
    upload_idle_seconds: Annotated[
        int, Meta(description="How long an upload may lie idle before it is ended.", ge=60)
    ] = 24 * 3600
    pass_seconds: Annotated[int, Meta(description="Pause between two rounds of a background pass.", ge=1)] = (
        60
    )
    log: Annotated[str, Meta(description="`console` for people, `json` for programs.")] = "console"

    def __repr__(self) -> str:
        # The database's URL may hold a password.
        return f"CoordinatorSettings(listen={self.listen!r}, relay_listen={self.relay_listen!r})"


def load_settings(home: Path, environment: Mapping[str, str] = os.environ) -> CoordinatorSettings:
    """The settings in force for `home`; raises Refusal("config.invalid") naming the setting that is wrong."""
    path = home / FILE_NAME
    values: dict[str, object] = {}
    if path.exists():
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise Refusal("config.invalid", f"{path} is not TOML: {error}.") from error
    for field in CoordinatorSettings.__struct_fields__:
        text = environment.get(PREFIX + field.upper())
        if text is not None:
            values[field] = text
    try:
        return msgspec.convert(values, CoordinatorSettings, strict=False)
    except msgspec.ValidationError as error:
        raise Refusal(
            "config.invalid",
            f"A setting cannot work: {error}.",
            advice=f"Look in {path} and in variables named {PREFIX}*; docs/reference/settings.md lists them.",
        ) from error


def write_settings(path: Path, values: Mapping[str, str]) -> None:
    """Sets these in a settings file, made if there is none; everything else in it stays as it is."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for name, value in values.items():
        line = f'{name} = "{value}"'
        places = [number for number, old in enumerate(lines) if old.partition("=")[0].strip() == name]
        if places:
            lines[places[0]] = line
        else:
            lines.insert(0, line)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def database_url(settings: CoordinatorSettings, home: Path) -> str:
    """The database in force."""
    return settings.database or f"sqlite:///{home / 'holdfast.db'}"


def relay_address(settings: CoordinatorSettings) -> str:
    """Where clients find the relay; empty if there is none. Raises Refusal("config.invalid")."""
    address = settings.relay_advertised or settings.relay_listen
    if not settings.relay_listen or not address:
        return ""
    if parse_address(address).host in WILDCARDS:
        raise Refusal(
            "config.invalid",
            f"No client can find a relay at {address}.",
            advice="Set `relay_advertised` to an address of this machine: tls://relay.example:8334.",
        )
    return address


def listen_address(settings: CoordinatorSettings) -> tuple[str, int]:
    """Host and port of `listen`."""
    return host_and_port(settings.listen)


def host_and_port(address: str) -> tuple[str, int]:
    """Host and port of an address to listen on; raises Refusal("config.invalid")."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise Refusal("config.invalid", f"'{address}' is not HOST:PORT.", advice="Example: 127.0.0.1:8333.")
    return host.strip("[]"), int(port)


def listed(text: str) -> tuple[str, ...]:
    """The names of a setting that has several, separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
