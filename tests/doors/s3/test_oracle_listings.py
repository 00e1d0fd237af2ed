"""Listings over the wire against the plain rule of S3: every form, every page, any key."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import unquote_plus

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.doors.s3.program import S3Cloud, s3_story

pytestmark = pytest.mark.slow

KEYS = st.sets(
    st.text(st.sampled_from("ab/+% \x01\xe9\U0001f33f\uffff"), min_size=1, max_size=6),
    min_size=1,
    max_size=14,
)
PREFIXES = st.text(st.sampled_from("ab/+\xe9"), max_size=3)
DELIMITERS = st.sampled_from(("", "/", "a", "//", "+"))


class Page(NamedTuple):
    """What one whole listing gives, page after page."""

    keys: list[str]
    prefixes: list[str]
    sizes: list[int]


def obvious(keys: set[str], prefix: str, delimiter: str, after: str = "") -> tuple[list[str], list[str]]:
    """S3's rule: keys below the prefix in the order of their bytes, rolled up at the delimiter."""
    found: list[str] = []
    rolled: list[str] = []
    for key in sorted(keys, key=str.encode):
        if not key.startswith(prefix):
            continue
        at = key.find(delimiter, len(prefix)) if delimiter else -1
        if at >= 0:
            common = key[: at + len(delimiter)]
            if common.encode() > after.encode() and common not in rolled:
                rolled.append(common)
        elif key.encode() > after.encode():
            found.append(key)
    return found, rolled


def _read(answer: dict[str, Any], what: str, name: str) -> list[str]:
    return [unquote_plus(one[name]) for one in answer.get(what, [])]


async def listed(cloud: S3Cloud, version: int, limit: int, **wish: str) -> Page:
    """The whole listing by pages of at most `limit`."""
    page = Page([], [], [])
    more: dict[str, str] = {}
    while True:
        operation = "ListObjectsV2" if version == 2 else "ListObjects"
        sent = {name: value for name, value in {**wish, **more}.items() if value}
        answer = await cloud.alice.call(operation, Bucket="photos", MaxKeys=limit, EncodingType="url", **sent)
        keys = _read(answer, "Contents", "Key")
        prefixes = _read(answer, "CommonPrefixes", "Prefix")
        assert len(keys) + len(prefixes) <= limit
        if version == 2:
            assert answer["KeyCount"] == len(keys) + len(prefixes)
        page.keys.extend(keys)
        page.prefixes.extend(prefixes)
        page.sizes.append(len(keys) + len(prefixes))
        if not answer["IsTruncated"]:
            return page
        if version == 2:
            more = {"ContinuationToken": answer["NextContinuationToken"]}
        elif wish.get("Delimiter"):
            more = {"Marker": unquote_plus(answer["NextMarker"])}
        else:
            assert "NextMarker" not in answer
            more = {"Marker": keys[-1]}


@given(
    keys=KEYS,
    wishes=st.lists(
        st.tuples(st.sampled_from((1, 2)), PREFIXES, DELIMITERS, st.integers(1, 5)), min_size=8, max_size=8
    ),
)
@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
def test_every_listing_gives_what_the_plain_rule_gives(
    keys: set[str], wishes: list[tuple[int, str, str, int]]
) -> None:
    async def story(cloud: S3Cloud) -> None:
        for key in keys:
            await cloud.alice.call("PutObject", Bucket="photos", Key=key, Body=b"x")
        for version, prefix, delimiter, limit in wishes:
            page = await listed(cloud, version, limit, Prefix=prefix, Delimiter=delimiter)
            assert (page.keys, page.prefixes) == obvious(keys, prefix, delimiter)
            assert set(page.sizes[:-1]) <= {limit}, "only the last page may be short"
        for key in keys:
            start = await listed(cloud, 2, 1000, StartAfter=key)
            assert start.keys == obvious(keys, "", "", key)[0]

    s3_story(story)


@given(keys=KEYS, limit=st.integers(1, 4), prefix=PREFIXES)
@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
def test_versions_are_listed_newest_first_below_each_key(keys: set[str], limit: int, prefix: str) -> None:
    async def story(cloud: S3Cloud) -> None:
        status = {"Status": "Enabled"}
        await cloud.alice.call("PutBucketVersioning", Bucket="photos", VersioningConfiguration=status)
        wanted: dict[str, list[str]] = {key: [] for key in keys}
        for turn in range(2):
            for key in sorted(keys):
                if turn and len(key) % 3 == 0:
                    done = await cloud.alice.call("DeleteObject", Bucket="photos", Key=key)
                else:
                    done = await cloud.alice.call("PutObject", Bucket="photos", Key=key, Body=b"x")
                wanted[key].insert(0, done["VersionId"])
        seen: list[tuple[str, str]] = []
        more: dict[str, str] = {}
        while True:
            answer = await cloud.alice.call(
                "ListObjectVersions",
                Bucket="photos",
                MaxKeys=limit,
                Prefix=prefix,
                EncodingType="url",
                **more,
            )
            found = [*answer.get("Versions", []), *answer.get("DeleteMarkers", [])]
            assert 0 < len(found) <= limit or not answer["IsTruncated"]
            seen += [(unquote_plus(one["Key"]), one["VersionId"]) for one in found]
            if not answer["IsTruncated"]:
                break
            more = {
                "KeyMarker": unquote_plus(answer["NextKeyMarker"]),
                "VersionIdMarker": answer["NextVersionIdMarker"],
            }
        below = {key: versions for key, versions in wanted.items() if key.startswith(prefix)}
        assert sorted(seen) == sorted((key, one) for key, versions in below.items() for one in versions)

    s3_story(story)
