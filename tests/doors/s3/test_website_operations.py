"""Website configurations come back as they were put; what S3 does not take is refused in its words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.doors.s3 import mutations, shapes

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.settings import website_operations as websites
from holdfast.files.bucket_settings import Website

PROTOCOLS, HOSTS = st.sampled_from(["http", "https"]), st.sampled_from(["example.com", "a.b:8080"])
TEXTS = st.text("abc/é &<", min_size=1, max_size=6)


def some(draw: st.DrawFn, **choices: st.SearchStrategy[str]) -> dict[str, str]:
    return {name: draw(choice) for name, choice in choices.items() if draw(st.booleans())}


@st.composite
def routing_rules(draw: st.DrawFn) -> dict[str, Any]:
    errors = st.sampled_from(["404", "403", "500"])
    condition = some(draw, KeyPrefixEquals=TEXTS, HttpErrorCodeReturnedEquals=errors)
    redirect = some(
        draw, HostName=HOSTS, Protocol=PROTOCOLS, HttpRedirectCode=st.sampled_from(["301", "302", "307"])
    )
    replacing = draw(st.sampled_from(["ReplaceKeyWith", "ReplaceKeyPrefixWith", ""]))
    if replacing or not redirect:
        redirect[replacing or "ReplaceKeyWith"] = draw(st.text("ab/", max_size=4))
    return ({"Condition": condition} if condition else {}) | {"Redirect": redirect}


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    if draw(st.booleans()):
        return {"RedirectAllRequestsTo": {"HostName": draw(HOSTS)} | some(draw, Protocol=PROTOCOLS)}
    made: dict[str, Any] = {"IndexDocument": {"Suffix": draw(st.sampled_from(["index.html", "é", "a b"]))}}
    if draw(st.booleans()):
        made["ErrorDocument"] = {"Key": draw(TEXTS)}
    rules = draw(st.lists(routing_rules(), max_size=3))
    return made | ({"RoutingRules": rules} if rules else {})


def put(configuration: dict[str, Any]) -> Website:
    return websites.read_website(shapes.sent("PutBucketWebsite", WebsiteConfiguration=configuration))


def got(website: Website) -> Any:
    content = websites.website_elements(website)
    return shapes.shown("GetBucketWebsite", "WebsiteConfiguration", content)


@given(configurations())
def test_a_configuration_comes_back_as_it_was_put(given: dict[str, Any]) -> None:
    assert got(put(given)) == given


def site(*rules: dict[str, Any], **changed: Any) -> dict[str, Any]:
    made = {"IndexDocument": {"Suffix": "index.html"}} | changed
    made |= {"RoutingRules": list(rules)} if rules else {}
    return {name: value for name, value in made.items() if value is not None}


GO = {"HostName": "example.com"}


@pytest.mark.parametrize(
    ("configuration", "code"),
    [
        ({}, "InvalidArgument"),
        (site(IndexDocument=None, ErrorDocument={"Key": "e"}), "InvalidArgument"),
        (site(IndexDocument={"Suffix": ""}), "InvalidArgument"),
        (site(IndexDocument={"Suffix": "a/b"}), "InvalidArgument"),
        (site(ErrorDocument={"Key": ""}), "InvalidArgument"),
        (site(RedirectAllRequestsTo=GO), "InvalidRequest"),
        ({"RedirectAllRequestsTo": {}}, "MalformedXML"),
        ({"RedirectAllRequestsTo": {"HostName": "a\r\nb: c"}}, "InvalidArgument"),
        ({"RedirectAllRequestsTo": GO | {"Protocol": "ftp"}}, "InvalidRequest"),
        (site({"Redirect": {}}), "MalformedXML"),
        (site({"Condition": {"KeyPrefixEquals": "a"}}), "MalformedXML"),
        (site({"Condition": {}, "Redirect": GO}), "InvalidRequest"),
        (site({"Redirect": {"ReplaceKeyWith": "a", "ReplaceKeyPrefixWith": "b"}}), "InvalidRequest"),
        (site({"Redirect": GO | {"HttpRedirectCode": "300"}}), "InvalidRequest"),
        (site({"Redirect": GO | {"HttpRedirectCode": "404"}}), "InvalidRequest"),
        (
            site({"Condition": {"HttpErrorCodeReturnedEquals": "200"}, "Redirect": GO}),
            "InvalidRequest",
        ),
        (site(*[{"Redirect": GO}] * 51), "InvalidRequest"),
    ],
)
def test_what_cannot_be_is_refused(configuration: dict[str, Any], code: str) -> None:
    with pytest.raises(S3Error) as caught:
        put(configuration)
    assert shapes.code_of(caught.value) == (code, 400)


VALID = shapes.written(
    "PutBucketWebsite",
    WebsiteConfiguration=site(
        {"Condition": {"KeyPrefixEquals": "a"}, "Redirect": {"ReplaceKeyPrefixWith": "b"}},
        ErrorDocument={"Key": "e"},
    ),
)


@given(st.data())
def test_a_document_nearly_right_never_trips_the_reader(data: st.DataObject) -> None:
    mutations.survives(data, VALID, lambda root: got(websites.read_website(root)))
