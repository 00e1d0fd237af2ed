"""Listings: versions 1 and 2, delimiters, pages, encodings; and the versions of keys."""

from __future__ import annotations

from typing import Any

import pytest
from tests.s3.refusals import refusal, status

KEYS = ["a", "b/1", "b/2", "b/c/3", "d", "e/", "e/f", "g h", "ä", "zz"]


@pytest.fixture
def filled(s3: Any, bucket: str) -> str:
    for key in KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    return bucket


def keys(answer: dict[str, Any]) -> list[str]:
    return [one["Key"] for one in answer.get("Contents", [])]


def prefixes(answer: dict[str, Any]) -> list[str]:
    return [one["Prefix"] for one in answer.get("CommonPrefixes", [])]


def test_keys_come_in_the_order_of_their_bytes(s3: Any, filled: str) -> None:
    expected = sorted(KEYS, key=lambda key: key.encode())
    assert keys(s3.list_objects(Bucket=filled)) == expected
    second = s3.list_objects_v2(Bucket=filled)
    assert keys(second) == expected
    assert (second["KeyCount"], second["IsTruncated"], second["MaxKeys"]) == (len(KEYS), False, 1000)
    one = second["Contents"][0]
    assert (one["Size"], one["StorageClass"]) == (1, "STANDARD")
    assert "Owner" not in one


def test_a_delimiter_rolls_keys_up(s3: Any, filled: str) -> None:
    answer = s3.list_objects_v2(Bucket=filled, Delimiter="/")
    assert keys(answer) == ["a", "d", "g h", "zz", "ä"]
    assert prefixes(answer) == ["b/", "e/"]
    assert answer["KeyCount"] == 7
    inner = s3.list_objects(Bucket=filled, Delimiter="/", Prefix="b/")
    assert (keys(inner), prefixes(inner)) == (["b/1", "b/2"], ["b/c/"])
    nothing = s3.list_objects_v2(Bucket=filled, Prefix="nothing/")
    assert (keys(nothing), nothing["KeyCount"], nothing["Prefix"]) == ([], 0, "nothing/")
    odd = s3.list_objects_v2(Bucket=filled, Delimiter=" ")
    assert prefixes(odd) == ["g "]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("delimiter", ["", "/"])
def test_pages_of_any_size_tell_the_same(s3: Any, filled: str, size: int, delimiter: str) -> None:
    whole = s3.list_objects_v2(Bucket=filled, Delimiter=delimiter)
    expected = (keys(whole), prefixes(whole))
    found: tuple[list[str], list[str]] = ([], [])
    more: dict[str, Any] = {}
    while True:
        page = s3.list_objects_v2(Bucket=filled, Delimiter=delimiter, MaxKeys=size, **more)
        found = (found[0] + keys(page), found[1] + prefixes(page))
        assert page["KeyCount"] == len(keys(page)) + len(prefixes(page)) <= size
        if not page["IsTruncated"]:
            assert "NextContinuationToken" not in page
            break
        more = {"ContinuationToken": page["NextContinuationToken"]}
    assert found == expected
    found, marker = ([], []), ""
    while True:
        page = s3.list_objects(Bucket=filled, Delimiter=delimiter, MaxKeys=size, Marker=marker)
        found = (found[0] + keys(page), found[1] + prefixes(page))
        if not page["IsTruncated"]:
            break
        assert ("NextMarker" in page) == bool(delimiter)
        marker = page["NextMarker"] if delimiter else keys(page)[-1]
    assert found == expected


def test_a_listing_starts_after_any_key(s3: Any, filled: str) -> None:
    assert keys(s3.list_objects_v2(Bucket=filled, StartAfter="d"))[0] == "e/"
    assert keys(s3.list_objects(Bucket=filled, Marker="b/1"))[0] == "b/2"
    after = s3.list_objects_v2(Bucket=filled, StartAfter="b/1", Delimiter="/")
    assert prefixes(after)[0] in {"b/", "e/"}
    assert after["StartAfter"] == "b/1"


def test_odd_page_sizes(s3: Any, filled: str) -> None:
    none = s3.list_objects_v2(Bucket=filled, MaxKeys=0)
    assert (keys(none), none["IsTruncated"], none["KeyCount"]) == ([], False, 0)
    assert refusal(s3.list_objects_v2, Bucket=filled, MaxKeys=-1) == (400, "InvalidArgument")
    assert refusal(s3.list_objects, Bucket=filled, MaxKeys="blah") == (400, "InvalidArgument")
    assert len(keys(s3.list_objects(Bucket=filled, MaxKeys=5000))) == len(KEYS)
    assert refusal(s3.list_objects_v2, Bucket=filled, ContinuationToken="") == (400, "InvalidArgument")


def test_owners_are_shown_where_asked(s3: Any, filled: str, owner: Any) -> None:
    shown = s3.list_objects_v2(Bucket=filled, FetchOwner=True)["Contents"][0]["Owner"]
    assert shown["ID"] == owner.canonical_id
    assert s3.list_objects(Bucket=filled)["Contents"][0]["Owner"]["ID"] == owner.canonical_id


def test_versions_are_listed_newest_first(s3: Any, versioned: str) -> None:
    ids = [s3.put_object(Bucket=versioned, Key="k", Body=bytes([n]))["VersionId"] for n in range(3)]
    marker = s3.delete_object(Bucket=versioned, Key="k")
    assert marker["DeleteMarker"] is True
    s3.put_object(Bucket=versioned, Key="j/x", Body=b"")
    answer = s3.list_object_versions(Bucket=versioned)
    shown = [(one["Key"], one["VersionId"], one["IsLatest"]) for one in answer["Versions"]]
    assert [one[:2] for one in shown if one[0] == "k"] == [("k", version) for version in reversed(ids)]
    assert not any(latest for key, _, latest in shown if key == "k")
    assert [(one["VersionId"], one["IsLatest"]) for one in answer["DeleteMarkers"]] == [
        (marker["VersionId"], True)
    ]
    found: list[str] = []
    more: dict[str, str] = {}
    while True:
        page = s3.list_object_versions(Bucket=versioned, MaxKeys=1, **more)
        found += [one["VersionId"] for one in page.get("Versions", []) + page.get("DeleteMarkers", [])]
        if not page["IsTruncated"]:
            break
        more = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}
    assert found == [shown[0][1], marker["VersionId"], *reversed(ids)]
    rolled = s3.list_object_versions(Bucket=versioned, Delimiter="/")
    assert prefixes(rolled) == ["j/"]
    assert keys(s3.list_objects_v2(Bucket=versioned)) == ["j/x"]


def test_buckets_are_listed(s3: Any, bucket: str, owner: Any) -> None:
    answer = s3.list_buckets()
    assert bucket in [one["Name"] for one in answer["Buckets"]]
    assert answer["Owner"]["ID"] == owner.canonical_id
    page = s3.list_buckets(MaxBuckets=1)
    assert len(page["Buckets"]) == 1
    if "ContinuationToken" in page:
        following = s3.list_buckets(MaxBuckets=1, ContinuationToken=page["ContinuationToken"])
        assert following["Buckets"][0]["Name"] > page["Buckets"][0]["Name"]
    assert [one["Name"] for one in s3.list_buckets(Prefix=bucket)["Buckets"]] == [bucket]


def test_bucket_life(s3: Any, s3_other: Any, bucket: str) -> None:
    assert status(s3.head_bucket(Bucket=bucket)) == 200
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    assert status(s3.create_bucket(Bucket=bucket)) == 200
    assert refusal(s3_other.create_bucket, Bucket=bucket) == (409, "BucketAlreadyExists")
    assert refusal(s3_other.head_bucket, Bucket=bucket) == (403, "403")
    assert refusal(s3_other.list_objects_v2, Bucket=bucket) == (403, "AccessDenied")
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    assert refusal(s3.delete_bucket, Bucket=bucket) == (409, "BucketNotEmpty")
    s3.delete_object(Bucket=bucket, Key="a")
    assert status(s3.delete_bucket(Bucket=bucket)) == 204
    assert refusal(s3.delete_bucket, Bucket=bucket) == (404, "NoSuchBucket")


@pytest.mark.parametrize(
    "name",
    ["ab", "A-capital", "under_score", "x" * 64, "-dash", "dash-", "dot..dot", "192.168.5.4"],
)
def test_bad_bucket_names_are_refused(s3: Any, name: str) -> None:
    assert refusal(s3.create_bucket, Bucket=name) == (400, "InvalidBucketName")


@pytest.mark.parametrize("call", ["list_objects", "list_objects_v2"])
@pytest.mark.parametrize(
    ("mark", "rolled", "left"),
    [
        ("%", ["a%"], ["a b", "a.b", "a\nb", "aXYb"]),
        (" ", ["a "], ["a%b", "a.b", "a\nb", "aXYb"]),
        (".", ["a."], ["a b", "a%b", "a\nb", "aXYb"]),
        ("\n", ["a\n"], ["a b", "a%b", "a.b", "aXYb"]),
        ("XY", ["aXY"], ["a b", "a%b", "a.b", "a\nb"]),
        ("a", ["a"], []),
        ("b", ["a b", "a%b", "a.b", "a\nb", "aXYb"], []),
        ("\x07", [], ["a b", "a%b", "a.b", "a\nb", "aXYb"]),
        ("", [], ["a b", "a%b", "a.b", "a\nb", "aXYb"]),
    ],
)
def test_anything_may_be_a_delimiter(
    s3: Any, bucket: str, call: str, mark: str, rolled: list[str], left: list[str]
) -> None:
    for key in ("a b", "a%b", "a.b", "a\nb", "aXYb"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    answer = getattr(s3, call)(Bucket=bucket, Delimiter=mark)
    assert (prefixes(answer), keys(answer)) == (sorted(rolled), sorted(left))
    assert answer.get("Delimiter") == (mark or None)
    assert answer["IsTruncated"] is False


@pytest.mark.parametrize("call", ["list_objects", "list_objects_v2"])
def test_a_prefix_may_be_a_whole_key_or_unreadable(s3: Any, filled: str, call: str) -> None:
    ask = getattr(s3, call)
    assert keys(ask(Bucket=filled, Prefix="b/1")) == ["b/1"]
    assert keys(ask(Bucket=filled, Prefix="e/", Delimiter="/")) == ["e/", "e/f"]
    assert prefixes(ask(Bucket=filled, Prefix="e", Delimiter="/")) == ["e/"]
    assert keys(ask(Bucket=filled, Prefix="")) == sorted(KEYS, key=lambda key: key.encode())
    assert keys(ask(Bucket=filled, Prefix="\x0a")) == []
    assert keys(ask(Bucket=filled, Prefix="b", Delimiter="c")) == ["b/1", "b/2"]
    assert prefixes(ask(Bucket=filled, Prefix="b", Delimiter="c")) == ["b/c"]


def test_names_come_encoded_where_that_is_asked(s3: Any, bucket: str) -> None:
    for key in ("a+1/b", "x/y z", "q&<>", "ü/ö", "t\x01"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    for call in (s3.list_objects, s3.list_objects_v2, s3.list_object_versions):
        answer = call(Bucket=bucket, Delimiter="/", EncodingType="url")
        assert answer["EncodingType"] == "url"
        assert prefixes(answer) == ["a%2B1/", "x/", "%C3%BC/"]
        found = answer.get("Contents") or answer["Versions"]
        assert [one["Key"] for one in found] == ["q%26%3C%3E", "t%01"]
        assert refusal(call, Bucket=bucket, EncodingType="none") == (400, "InvalidArgument")
        assert refusal(call, Bucket=bucket, MaxKeys="many") == (400, "InvalidArgument")
        assert refusal(call, Bucket=bucket, MaxKeys=-1) == (400, "InvalidArgument")


def test_markers_need_not_be_keys(s3: Any, filled: str) -> None:
    in_order = sorted(KEYS, key=lambda key: key.encode())
    for marker in ("", "\x0a", "b/1", "b/15", "zzz", "\uffff"):
        rest = [key for key in in_order if key.encode() > marker.encode()]
        first = s3.list_objects(Bucket=filled, Marker=marker)
        assert (keys(first), first["Marker"]) == (rest, marker)
        second = s3.list_objects_v2(Bucket=filled, StartAfter=marker)
        assert (keys(second), second.get("StartAfter", "")) == (rest, marker)


def test_a_token_goes_before_a_start(s3: Any, filled: str) -> None:
    in_order = sorted(KEYS, key=lambda key: key.encode())
    first = s3.list_objects_v2(Bucket=filled, MaxKeys=1, StartAfter="a")
    token = first["NextContinuationToken"]
    second = s3.list_objects_v2(Bucket=filled, MaxKeys=2, StartAfter="a", ContinuationToken=token)
    assert keys(first) + keys(second) == in_order[1:4]
    assert second["ContinuationToken"] == token
    assert refusal(s3.list_objects_v2, Bucket=filled, ContinuationToken="garbage") == (400, "InvalidArgument")


def test_visitors_list_what_is_public(s3: Any, s3_visitor: Any, filled: str) -> None:
    for call in (s3_visitor.list_objects, s3_visitor.list_objects_v2):
        assert refusal(call, Bucket=filled) == (403, "AccessDenied")
    s3.put_bucket_acl(Bucket=filled, ACL="public-read")
    for call in (s3_visitor.list_objects, s3_visitor.list_objects_v2):
        assert len(keys(call(Bucket=filled))) == len(KEYS)
        assert refusal(call, Bucket=f"{filled}-none") == (404, "NoSuchBucket")
    assert refusal(s3_visitor.list_buckets) == (403, "AccessDenied")


def test_listings_tell_of_restores_where_asked(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", StorageClass="GLACIER")
    s3.restore_object(Bucket=bucket, Key="a", RestoreRequest={"Days": 100})
    for call in (s3.list_objects, s3.list_objects_v2, s3.list_object_versions):
        answer = call(Bucket=bucket, OptionalObjectAttributes=["RestoreStatus"])
        told = (answer.get("Contents") or answer["Versions"])[0]["RestoreStatus"]
        assert told["IsRestoreInProgress"] is False
        assert told["RestoreExpiryDate"]
        answer = call(Bucket=bucket)
        assert "RestoreStatus" not in (answer.get("Contents") or answer["Versions"])[0]


@pytest.mark.parametrize("name", ["xn--name", "sthree-name", "name-s3alias", "name--ol-s3", "dot.-dash",
                                  "dash-.dot", ".dot", "dot.", "ab"])  # fmt: skip
def test_reserved_and_unhostly_bucket_names_are_refused(s3: Any, name: str) -> None:
    assert refusal(s3.create_bucket, Bucket=name) == (400, "InvalidBucketName")


@pytest.mark.parametrize("location", ["eu-west-1", "nonsense"])
def test_a_bucket_is_made_where_the_endpoint_is(s3: Any, bucket: str, location: str) -> None:
    words = {"Bucket": f"{bucket}-2", "CreateBucketConfiguration": {"LocationConstraint": location}}
    code = "InvalidLocationConstraint" if location == "nonsense" else "IllegalLocationConstraintException"
    assert refusal(s3.create_bucket, **words) == (400, code)
