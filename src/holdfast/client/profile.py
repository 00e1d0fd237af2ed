"""Who we are and whom we talk to: endpoint, access key, and the key that seals.

A profile comes from a JSON file (by default `~/.config/holdfast/profile.json`, readable by its owner only);
variables of the environment override single fields:

| variable | field |
|---|---|
| `HOLDFAST_PROFILE` | path of the profile file |
| `HOLDFAST_ENDPOINT` | `endpoint`, such as `http://127.0.0.1:9000` |
| `HOLDFAST_ACCESS_KEY`, `HOLDFAST_SECRET_KEY` | what signs requests |
| `HOLDFAST_KEY_FILE` | `key_file`: the tenant key as a file; set but empty: there is none |
| `HOLDFAST_PASSPHRASE` | `passphrase`: unlocks the key file; without a file, makes the key |
| `HOLDFAST_RELAY` | `relay`: auto, always or never |

The passphrase is never written to the file by us.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from holdfast.world.errors import Refusal

RelayChoice = Literal["auto", "always", "never"]

VARIABLES = {
    "HOLDFAST_ENDPOINT": "endpoint",
    "HOLDFAST_ACCESS_KEY": "access_key",
    "HOLDFAST_SECRET_KEY": "secret_key",
    "HOLDFAST_KEY_FILE": "key_file",
    "HOLDFAST_PASSPHRASE": "passphrase",
    "HOLDFAST_RELAY": "relay",
    "HOLDFAST_REGION": "region",
}


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint, access key and tenant key. Neither secrets nor passphrase show in its repr."""

    endpoint: str = ""
    access_key: str = ""
    secret_key: str = ""
    key_file: str = ""
    passphrase: str = ""
    region: str = "us-east-1"
    relay: RelayChoice = "auto"
    version: int = 1

    def __repr__(self) -> str:
        return f"Profile(endpoint={self.endpoint!r}, access_key={self.access_key!r})"


def profile_path(environment: Mapping[str, str]) -> Path:
    """Where the profile file is looked for."""
    if named := environment.get("HOLDFAST_PROFILE"):
        return Path(named).expanduser()
    config = environment.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(config) / "holdfast" / "profile.json"


def state_folder(environment: Mapping[str, str]) -> Path:
    """Where journals of interrupted transfers are kept."""
    state = environment.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "holdfast"


def write_profile(profile: Profile, path: Path) -> None:
    """Writes the file whole or not at all, mode 0600, without the passphrase."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    content = msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(profile, passphrase="")))
    partial = path.with_name(path.name + ".new")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content + b"\n")
    partial.replace(path)


def read_profile(path: Path) -> Profile:
    """The profile in the file; raises Refusal("config.missing" | "config.invalid" | "format.newer")."""
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise Refusal(
            "config.missing",
            f"There is no profile at {path}.",
            advice="Run `holdfast up` for a local cloud, or set HOLDFAST_ENDPOINT, HOLDFAST_ACCESS_KEY and "
            "HOLDFAST_SECRET_KEY.",
        ) from error
    except OSError as error:
        raise Refusal("config.invalid", f"The profile {path} cannot be read: {error.strerror}.") from error
    try:
        profile = msgspec.json.decode(content, type=Profile)
    except msgspec.DecodeError as error:
        raise Refusal("config.invalid", f"The profile {path} is damaged: {error}.") from error
    if profile.version > 1:
        raise Refusal(
            "format.newer",
            f"The profile {path} was written by a newer Holdfast.",
            advice="Upgrade this program, or name another file in HOLDFAST_PROFILE.",
        )
    return profile


def find_profile(environment: Mapping[str, str]) -> Profile:
    """The profile to use: the file, overridden by the environment; no file is needed if that says it all.

    Raises Refusal("config.missing" | "config.invalid").
    """
    overrides = {field: environment[name] for name, field in VARIABLES.items() if environment.get(name)}
    if environment.get("HOLDFAST_KEY_FILE") == "":
        # Said to be empty: the passphrase alone makes the key, whatever the file says.
        overrides["key_file"] = ""
    complete = {"endpoint", "access_key", "secret_key"} <= overrides.keys()
    path = profile_path(environment)
    profile = Profile() if complete and not path.exists() else read_profile(path)
    try:
        profile = msgspec.convert({**msgspec.structs.asdict(profile), **overrides}, Profile)
    except msgspec.ValidationError as error:
        raise Refusal(
            "config.invalid", f"A HOLDFAST_ variable cannot be used: {error}.", advice="See docs/sdk.md."
        ) from error
    return checked(profile)


def checked(profile: Profile) -> Profile:
    """The profile itself if it is complete; raises Refusal("config.missing" | "config.invalid")."""
    missing = [name for name in ("endpoint", "access_key", "secret_key") if not getattr(profile, name)]
    if missing:
        raise Refusal(
            "config.missing",
            f"The profile says nothing about: {', '.join(missing)}.",
            advice="Set " + ", ".join(f"HOLDFAST_{name.upper()}" for name in missing) + ".",
        )
    if not profile.endpoint.startswith(("http://", "https://")):
        raise Refusal(
            "config.invalid",
            f"'{profile.endpoint}' is not an endpoint.",
            advice="Write http://host:port or https://host:port.",
        )
    return profile
