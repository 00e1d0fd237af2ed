"""Every operation of the service model is found by its request, and never mistaken for another."""

from __future__ import annotations

import pytest
from botocore import session
from botocore.serialize import create_serializer
from hypothesis import given
from hypothesis import strategies as st
from scripts import s3_operations

from holdfast.doors.s3 import operation_table, operations
from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.operation_table import OPERATIONS, SELECTORS
from holdfast.doors.s3.operations import HANDLERS, MODULES, RULES, STREAMING
from holdfast.doors.s3.routes import POST_FORM, route
from holdfast.doors.s3.wire.hosts import Hosts, Place
from holdfast.tenants.s3_actions import NAMED_ONLY, S3_ACTIONS

LEVELS = ("service", "bucket", "object")
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "TRACE")
MODEL = session.get_session().get_service_model("s3")
OTHER_ENDPOINTS = {"ListDirectoryBuckets"}
"""Asked at an endpoint of its own; here the same request lists buckets."""


def test_the_table_is_the_models() -> None:
    written: dict[str, object] = {}
    exec(s3_operations.table(), written)
    assert written["OPERATIONS"] == operation_table.OPERATIONS, "run `python -m scripts.s3_operations`"
    assert written["SELECTORS"] == operation_table.SELECTORS


def asked(name: str) -> tuple[str, str, dict[str, str], dict[str, str]]:
    """Method, level, query and headers of an operation as botocore asks for it."""
    operation = MODEL.operation_model(name)
    shape = operation.input_shape
    sample = {
        "integer": 1,
        "list": ["x"],
        "timestamp": 0,
        "boolean": True,
        "structure": {},
        "blob": b"",
        "long": 1,
    }
    parameters = {
        member: sample.get(shape.members[member].type_name, "x")
        for member in (shape.required_members if shape else ())
    }
    wish = create_serializer("rest-xml", include_validation=False).serialize_to_request(parameters, operation)
    path, _, query = wish["url_path"].partition("?")
    pairs = dict(part.partition("=")[::2] for part in query.split("&") if part)
    level = {0: "service", 1: "bucket"}.get(len([part for part in path.split("/") if part]), "object")
    known = {k: str(v) for k, v in wish["query_string"].items()}
    return wish["method"], level, {**pairs, **known}, {k.lower(): str(v) for k, v in wish["headers"].items()}


@pytest.mark.parametrize("name", [operation.name for operation in OPERATIONS])
def test_an_operation_is_found_by_the_request_that_botocore_makes(name: str) -> None:
    if name not in OTHER_ENDPOINTS:
        assert route(*asked(name)) == name


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("method", METHODS)
def test_a_sub_resource_never_falls_through_to_another_operation(level: str, method: str) -> None:
    for selector in sorted(SELECTORS):
        for value in ("", "1", "2"):
            try:
                found = route(method, level, {selector: value}, {})
            except S3Error as error:
                assert error.code in {"MethodNotAllowed", "InvalidRequest", "InvalidArgument"}  # noqa: PT017
                continue
            if method == "GET" and (level == "service" or selector == "list-type"):
                # Reading a list in another way than was asked for harms nobody.
                assert found.startswith("List")
            else:
                assert any(one.name == found and selector in {one.selector, *one.query} for one in OPERATIONS)


def test_a_numbered_part_is_never_stored_as_an_object() -> None:
    assert route("PUT", "object", {"partNumber": "1"}, {}) == "UploadPart"
    assert route("PUT", "object", {"uploadId": "x"}, {}) == "UploadPart"
    assert (
        route("PUT", "object", {"partNumber": "1", "uploadId": "x"}, {"x-amz-copy-source": "s"})
        == "UploadPartCopy"
    )
    assert route("GET", "object", {"partNumber": "1"}, {}) == "GetObject"


@pytest.mark.parametrize(
    ("method", "level", "query", "code", "status"),
    [
        ("PATCH", "object", {}, "MethodNotAllowed", 405),
        ("POST", "object", {}, "MethodNotAllowed", 405),
        ("POST", "service", {}, "MethodNotAllowed", 405),
        ("HEAD", "bucket", {"acl": ""}, "MethodNotAllowed", 405),
        ("GET", "object", {"versions": ""}, "InvalidRequest", 400),
        ("PUT", "object", {"cors": ""}, "InvalidRequest", 400),
        ("GET", "bucket", {"acl": "", "policy": ""}, "InvalidArgument", 400),
        ("GET", "bucket", {"list-type": "3"}, "InvalidArgument", 400),
    ],
)
def test_what_is_no_operation_is_refused_as_s3_does(method, level, query, code, status) -> None:
    with pytest.raises(S3Error) as caught:
        route(method, level, query, {})
    assert (caught.value.code, caught.value.status) == (code, status)


@given(
    st.sampled_from(METHODS),
    st.sampled_from(LEVELS),
    st.dictionaries(st.text(max_size=4), st.text(max_size=4)),
)
def test_keys_that_nobody_knows_are_ignored(method, level, query) -> None:
    query = {name: value for name, value in query.items() if name not in SELECTORS}
    answers = []
    for keys in ({}, {**query, "x-id": "PutObject"}):
        try:
            answers.append(route(method, level, keys, {}))
        except S3Error as error:
            answers.append(error.code)
    assert answers[0] == answers[1]


def test_lists_come_in_two_versions() -> None:
    assert route("GET", "bucket", {"list-type": "2", "prefix": "x"}, {}) == "ListObjectsV2"
    assert route("GET", "bucket", {"list-type": "1"}, {}) == "ListObjects"
    assert route("GET", "bucket", {"list-type": "2", "versions": ""}, {}) == "ListObjectVersions"


def test_every_operation_that_is_served_has_one_handler_and_every_handler_is_served() -> None:
    assert set(HANDLERS) == set(RULES) - {POST_FORM}
    assert set(RULES) <= {operation.name for operation in OPERATIONS} | {POST_FORM}
    offered = [name for module in MODULES for name in module.HANDLERS]
    assert len(offered) == len(set(offered)), "two modules answer the same operation"
    deprecated = {name for name in MODEL.operation_names if MODEL.operation_model(name).deprecated}
    assert set(offered) - set(RULES) <= deprecated, "an operation has a handler but no rule"


def test_every_module_of_operations_is_joined() -> None:
    from pathlib import Path

    folder = Path(operations.__file__).parent
    with_handlers = {
        p.stem for p in folder.rglob("*.py") if "\nHANDLERS: Final[dict[str, Handler]] = {" in p.read_text()
    }
    assert with_handlers - {"operations"} == {module.__name__.rpartition(".")[2] for module in MODULES}


def test_every_action_is_one_that_is_judged() -> None:
    for name, rule in RULES.items():
        assert rule.action in {*S3_ACTIONS, *NAMED_ONLY}, name


def test_bodies_of_objects_are_told_from_documents() -> None:
    assert {"PutObject", "UploadPart"} <= STREAMING
    assert not STREAMING & {"PutBucketPolicy", "DeleteObjects", "CompleteMultipartUpload"}


# --- hosts -----------------------------------------------------------------------------------------------

HOSTS = Hosts(("localhost", "s3.localhost", "S3.Example.com."), ("web.localhost",))


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("", Place()),
        ("127.0.0.1:8335", Place()),
        ("[::1]:8335", Place()),
        ("localhost", Place()),
        ("s3.localhost:8335", Place()),
        ("photos.localhost", Place("photos")),
        ("photos.s3.localhost:8335", Place("photos")),
        ("my.dotted.bucket.s3.localhost.:8335", Place("my.dotted.bucket")),
        ("PHOTOS.s3.EXAMPLE.com", Place("photos")),
        ("photos.web.localhost:80", Place("photos", website=True)),
        ("web.localhost", Place("web")),
        ("s3.example.com.evil.org", Place()),
        ("mys3.example.com", Place()),
    ],
)
def test_a_host_names_a_bucket_below_the_longest_domain_that_is_served(host: str, place: Place) -> None:
    assert HOSTS.place(host) == place
    assert HOSTS.place(host) == place


@given(st.text(max_size=40))
def test_any_host_is_read(host: str) -> None:
    assert isinstance(HOSTS.place(host), Place)


def test_what_is_remembered_of_hosts_is_bounded() -> None:
    hosts = Hosts(("localhost",))
    for number in range(10_000):
        hosts.place(f"b{number}.localhost")
    assert len(hosts._known) < 5000


def test_hosts_of_absurd_length_are_nobodys_and_not_remembered() -> None:
    hosts = Hosts(("localhost",))
    assert hosts.place("a" * 5000 + ".localhost") == Place()
    assert hosts.place("a.localhost:8333") == Place("a")
    assert len(hosts._known) == 1
