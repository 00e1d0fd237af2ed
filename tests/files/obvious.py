"""The history of keys as S3 tells it, in a list: plainly right, and slow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from holdfast.files.attributes import Conditions


@dataclass(frozen=True)
class Obvious:
    """A version or delete marker."""

    key: str
    shown_id: str
    etag: str
    marker: bool = False


@dataclass
class ObviousBucket:
    """All versions of all keys, each key's newest first. Ids are handed in, as they are drawn elsewhere."""

    versioning: str = "off"
    keys: dict[str, list[Obvious]] = field(default_factory=dict)

    def latest(self, key: str) -> Obvious | None:
        found = self.keys.get(key, [])
        return found[0] if found else None

    def current(self, key: str) -> Obvious | None:
        latest = self.latest(key)
        return None if latest is None or latest.marker else latest

    def refusal(self, key: str, conditions: Conditions) -> str | None:
        """The code of the refusal that a write gets."""
        current = self.current(key)
        if conditions.if_absent and current:
            return "precondition.failed"
        if conditions.if_match is not None and current is None:
            return "object.unknown"
        if conditions.if_match is not None and conditions.if_match not in {"*", current.etag}:
            return "precondition.failed"
        if current and conditions.if_none_match in {"*", current.etag}:
            return "precondition.failed"
        return None

    def write(self, key: str, drawn: str, etag: str, *, marker: bool = False) -> Obvious:
        held = self.keys.get(key, [])
        shown = drawn if self.versioning == "on" else "null"
        if shown == "null":
            held = [version for version in held if version.shown_id != "null"]
        version = Obvious(key, shown, etag, marker)
        self.keys[key] = [version, *held]
        return version

    def delete(self, key: str, drawn: str) -> tuple[str | None, bool]:
        if self.versioning == "off":
            self.keys.pop(key, None)
            return None, False
        return self.write(key, drawn, "", marker=True).shown_id, True

    def delete_version(self, key: str, shown_id: str) -> tuple[str, bool]:
        held = self.keys.get(key, [])
        marker = any(version.marker for version in held if version.shown_id == shown_id)
        self.keys[key] = [version for version in held if version.shown_id != shown_id]
        return shown_id, marker

    def find(self, key: str, shown_id: str) -> Obvious | None:
        return next((each for each in self.keys.get(key, []) if each.shown_id == shown_id), None)

    def listed(self) -> Iterator[tuple[Obvious, bool]]:
        """Every version with whether it is the latest, in the order of a listing."""
        for key in sorted(self.keys, key=str.encode):
            for place, version in enumerate(self.keys[key]):
                yield version, place == 0


def obvious_page(
    bucket: ObviousBucket,
    *,
    prefix: str = "",
    delimiter: str = "",
    key_marker: str | None = None,
    version_marker: str | None = None,
    limit: int = 1000,
) -> tuple[list[str], bool]:
    """A page of versions, prefixes as they stand and versions as "key@id"; whether there is more."""
    entries: dict[str, None] = {}
    skipping = version_marker is not None
    for version, _ in bucket.listed():
        common = common_prefix(version.key, prefix, delimiter)
        if not version.key.startswith(prefix) or is_before(version.key, common, key_marker):
            continue
        if version.key == key_marker:
            passed, skipping = not skipping, skipping and version.shown_id != version_marker
            if version_marker is None or not passed:
                continue
        entries[common or f"{version.key}@{version.shown_id}"] = None
    shown = list(entries)
    return shown[:limit], len(shown) > limit > 0


def common_prefix(key: str, prefix: str, delimiter: str) -> str | None:
    rest = key[len(prefix) :]
    return prefix + rest.split(delimiter)[0] + delimiter if delimiter and delimiter in rest else None


def is_before(key: str, common: str | None, marker: str | None) -> bool:
    """Whether the marker has passed the key, or the common prefix that stands for it."""
    if marker is None:
        return False
    return key.encode() < marker.encode() or (common is not None and marker.startswith(common))
