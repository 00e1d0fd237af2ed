"""What is wrong with a node, and what its owner can do about it.

Pure: `examine` gathers the facts, `diagnose` judges them, one small check after another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from holdfast.agent.coordinator import readable_on_the_wire
from holdfast.agent.home import Settings, Status
from holdfast.agent.sizes import size_text
from holdfast.agent.vault import RESERVE_BYTES
from holdfast.protocol.fleet import HEARTBEAT_SECONDS
from holdfast.world.clock import MICROSECONDS
from holdfast.world.errors import Refusal
from holdfast.world.network import parse_address

GOOD: Final = "good"
WARNING: Final = "warning"
BAD: Final = "bad"

CLOCK_SECONDS_WARNING = 10.0
CLOCK_SECONDS_BAD = 60.0
SYNC_SECONDS_WARNING = 0.05
SYNC_SECONDS_BAD = 0.5
HEARTBEATS_MISSED_BAD = 4
FILES_NEEDED = 1024


class Finding(msgspec.Struct, frozen=True):
    """One check's outcome: `level` is good, warning or bad; `advice` says what to do about the last two."""

    check: str
    level: str
    message: str
    advice: str = ""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All that the checks look at. None: it could not be found out."""

    now: int
    made: bool = True
    settings: Settings | None = None
    key_failure: str = ""
    folder_mode: int | None = None
    key_mode: int | None = None
    registered: bool = True
    pid: int | None = None
    status: Status | None = None
    endpoint_failure: str = ""
    round_trip: float | None = None
    clock_offset: float | None = None
    reached: dict[str, str] = {}
    """Each advertised address that was dialled from here, with the failure or an empty string."""
    disk_free: int | None = None
    disk_failure: str = ""
    sync_seconds: float | None = None
    files_max: int | None = None


def diagnose(facts: Facts) -> list[Finding]:
    """Every finding, in the order of the checks; good ones too."""
    if not facts.made or facts.settings is None:
        return [
            Finding(
                "home",
                BAD,
                facts.key_failure or "There is no node in this folder.",
                "Run 'holdfast node init' first, or name the right folder with --home.",
            )
        ]
    return [finding for check in _CHECKS for finding in check(facts, facts.settings)]


def worst(findings: list[Finding]) -> str:
    """The worst level among the findings."""
    levels = [finding.level for finding in findings]
    return BAD if BAD in levels else WARNING if WARNING in levels else GOOD


# --- the checks -----------------------------------------------------------------------------------------


def _check_key(facts: Facts, _: Settings) -> list[Finding]:
    if facts.key_failure:
        return [Finding("key", BAD, facts.key_failure, "Restore node.key from a copy.")]
    open_to_others = [
        f"{name} (mode {mode:o})"
        for name, mode in (("the folder", facts.folder_mode), ("node.key", facts.key_mode))
        if mode is not None and mode & 0o077
    ]
    if open_to_others:
        return [
            Finding(
                "key",
                BAD,
                f"Others on this machine can get at {' and '.join(open_to_others)}.",
                "Run: chmod 700 on the folder and chmod 600 on node.key.",
            )
        ]
    return [Finding("key", GOOD, "The key is there and private.")]


def _check_registered(facts: Facts, settings: Settings) -> list[Finding]:
    if facts.registered:
        return [Finding("registration", GOOD, f"Registered with {settings.endpoint}.")]
    return [
        Finding(
            "registration",
            BAD,
            "The coordinator has not confirmed this node yet.",
            "Run the same 'holdfast node init' again; it goes on where it stopped.",
        )
    ]


def _check_endpoint(facts: Facts, settings: Settings) -> list[Finding]:
    if facts.endpoint_failure:
        return [
            Finding(
                "endpoint",
                BAD,
                facts.endpoint_failure,
                "Check the network and the endpoint's URL. Valid grants are served meanwhile.",
            )
        ]
    found = []
    if facts.round_trip is not None:
        found.append(Finding("endpoint", GOOD, f"It answers in {facts.round_trip * 1000:.0f} ms."))
    if readable_on_the_wire(settings.endpoint):
        found.append(
            Finding(
                "endpoint",
                WARNING,
                f"{settings.endpoint} is not protected: who sits in between can give this node orders.",
                "Ask the operator for an https:// endpoint.",
            )
        )
    return found


def _check_clock(facts: Facts, _: Settings) -> list[Finding]:
    offset = facts.clock_offset
    if offset is None and facts.status is not None and facts.status.welcomed:
        offset = facts.status.clock_offset / MICROSECONDS
    if offset is None:
        return [
            Finding("clock", WARNING, "The coordinator's time is not known.", "Try again when it answers.")
        ]
    if abs(offset) < CLOCK_SECONDS_WARNING:
        return [
            Finding("clock", GOOD, f"The clock is within {max(abs(offset), 1):.0f} s of the coordinator's.")
        ]
    way = "behind" if offset > 0 else "ahead of"
    return [
        Finding(
            "clock",
            BAD if abs(offset) >= CLOCK_SECONDS_BAD else WARNING,
            f"The clock is {abs(offset):.0f} s {way} the coordinator's; "
            f"grants fail from {CLOCK_SECONDS_BAD:.0f} s.",
            "Switch on time synchronisation, for instance: timedatectl set-ntp true.",
        )
    ]


def _check_heartbeat(facts: Facts, _: Settings) -> list[Finding]:
    status = facts.status
    if facts.pid is None:
        ended = status is not None and status.state != "stopped"
        return [
            Finding(
                "heartbeat",
                BAD if ended else WARNING,
                "The node is not running" + ("; it did not stop in an orderly way." if ended else "."),
                "Run 'holdfast node run', best under a supervisor that restarts it (see docs/node.md).",
            )
        ]
    if status is None or not status.welcomed:
        why = status.failure if status is not None else ""
        return [
            Finding(
                "heartbeat",
                WARNING,
                "The node runs; the coordinator has not answered it since its start. " + why,
                "Wait a minute and look again.",
            )
        ]
    silent = (facts.now - status.welcomed) / MICROSECONDS
    if silent > HEARTBEATS_MISSED_BAD * HEARTBEAT_SECONDS:
        return [
            Finding(
                "heartbeat",
                BAD,
                f"The coordinator last answered {silent:.0f} s ago. {status.failure}".strip(),
                "Look at the findings about the endpoint and the clock.",
            )
        ]
    notices = [Finding("notice", WARNING, notice, "") for notice in status.notices]
    return [Finding("heartbeat", GOOD, f"The coordinator answered {max(silent, 0):.0f} s ago."), *notices]


def _check_addresses(facts: Facts, settings: Settings) -> list[Finding]:
    found = []
    addresses = settings.advertised or (facts.status.addresses if facts.status is not None else [])
    for text in addresses:
        try:
            address = parse_address(text)
        except Refusal as refusal:
            found.append(Finding("address", BAD, refusal.message, refusal.advice))
            continue
        if address.loopback and readable_on_the_wire(settings.endpoint.replace("https:", "http:")):
            found.append(
                Finding(
                    "address",
                    BAD,
                    f"{text} reaches this machine only, but the coordinator is elsewhere.",
                    "Set the address others reach you at: holdfast node init --advertise tls://HOST:PORT ...",
                )
            )
            continue
        failure = facts.reached.get(text)
        if failure:
            found.append(
                Finding(
                    "address",
                    WARNING,
                    f"{text} does not answer from here: {failure}",
                    "Check firewall and port forwarding (some routers only fail from the inside).",
                )
            )
        elif failure is not None:
            found.append(Finding("address", GOOD, f"{text} answers with this node's key."))
    return found


def _check_space(facts: Facts, settings: Settings) -> list[Finding]:
    if facts.disk_failure or facts.disk_free is None:
        return [Finding("disk", BAD, facts.disk_failure or "The disk cannot be read.", "Check the device.")]
    if settings.allocated == 0:
        return [
            Finding(
                "space",
                WARNING,
                "No space is allocated, so nothing will be stored.",
                "Run: holdfast node allocate --space 100GB",
            )
        ]
    used = facts.status.used if facts.status is not None else 0
    usable = max(facts.disk_free - RESERVE_BYTES, 0)
    missing = settings.allocated - used - usable
    if missing > 0:
        return [
            Finding(
                "space",
                WARNING,
                f"{size_text(settings.allocated)} are allocated, but with {size_text(RESERVE_BYTES)} "
                f"kept free the disk holds only {size_text(used + usable)} of them.",
                f"Free {size_text(missing)} on the disk, or allocate less. The node just fills less.",
            )
        ]
    return [
        Finding(
            "space",
            GOOD,
            f"{size_text(used)} of {size_text(settings.allocated)} used; the disk holds the rest.",
        )
    ]


def _check_sync(facts: Facts, _: Settings) -> list[Finding]:
    if facts.sync_seconds is None:
        return []
    spoken = f"A write is safe on the disk after {facts.sync_seconds * 1000:.1f} ms."
    if facts.sync_seconds < SYNC_SECONDS_WARNING:
        return [Finding("disk speed", GOOD, spoken)]
    return [
        Finding(
            "disk speed",
            BAD if facts.sync_seconds >= SYNC_SECONDS_BAD else WARNING,
            spoken,
            "Uploads wait for this. A disk of its own, or an SSD, earns more trust.",
        )
    ]


def _check_vault(facts: Facts, _: Settings) -> list[Finding]:
    status = facts.status
    if status is None:
        return []
    if status.lost_count:
        return [
            Finding(
                "vault",
                WARNING,
                f"{status.lost_count} shards were found damaged or missing. {status.recovery}".strip(),
                "They are rebuilt elsewhere. If it happens again, test the disk (smartctl -a).",
            )
        ]
    return [Finding("vault", GOOD, f"{status.shard_count} shards. {status.recovery}".strip())]


def _check_files(facts: Facts, _: Settings) -> list[Finding]:
    if facts.files_max is None or facts.files_max >= FILES_NEEDED:
        return []
    return [
        Finding(
            "open files",
            WARNING,
            f"This session may open {facts.files_max} files; {FILES_NEEDED} or more are better.",
            "Raise it with ulimit -n, or LimitNOFILE= in the unit.",
        )
    ]


_CHECKS: Final[tuple[Callable[[Facts, Settings], list[Finding]], ...]] = (
    _check_key,
    _check_registered,
    _check_endpoint,
    _check_clock,
    _check_heartbeat,
    _check_addresses,
    _check_space,
    _check_sync,
    _check_vault,
    _check_files,
)
