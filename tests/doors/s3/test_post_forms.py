"""Browser forms: taken apart wherever the network cuts them, bound by their policies."""

from __future__ import annotations

import base64
import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.doors.s3.contents.post_forms import Form, check_policy, read_form
from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.wire.form_reading import FieldsReader, FileDecoder, boundary_of

BOUNDARY = b"----WebKitFormBoundary7MA4YWxkTrZu0gW"
NOW = 1_760_000_000 * 1_000_000


def part(name: str, value: bytes, more: str = "") -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode()
    return b"--" + BOUNDARY + b"\r\n" + head + value + b"\r\n"


def form_bytes(fields: dict[str, str], file: bytes, *, file_name: str = "f", after: bytes = b"") -> bytes:
    parts = [part(name, value.encode()) for name, value in fields.items()]
    head = f'; filename="{file_name}"\r\nContent-Type: text/plain'
    return b"".join(parts) + part("file", file, head) + after + b"--" + BOUNDARY + b"--\r\n"


def taken_apart(body: bytes, cuts: list[int]) -> tuple[dict[str, str], str, bytes]:
    """Fields, file name and file, fed in pieces."""
    places = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    reader, decoder = FieldsReader(BOUNDARY), FileDecoder(BOUNDARY)
    opening, file = None, b""
    for start, stop in pairwise(places):
        data = body[start:stop]
        if opening is None:
            opening = reader.feed(data)
            if opening is None:
                continue
            data = opening.first
        file += b"".join(bytes(view) for view in decoder.feed(data))
    assert opening is not None
    decoder.ended()
    return opening.fields, opening.file_name, file


texts = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20)
field_names = st.from_regex(r"[a-z][a-z0-9-]{0,10}", fullmatch=True).filter(lambda name: name != "file")
files = st.binary(max_size=300) | st.sampled_from(
    [b"\r\n--" + BOUNDARY[:-1], b"\r\n--" + BOUNDARY[:5] + b"\r\n--", b"\r\n" * 9, b"--" + BOUNDARY]
)


@given(st.dictionaries(field_names, texts, max_size=4), files, st.lists(st.integers(0, 1 << 16), max_size=10))
def test_a_form_is_the_same_however_it_is_cut(fields, file, cuts) -> None:
    body = form_bytes(fields, file)
    if b"\r\n--" + BOUNDARY not in file:
        assert taken_apart(body, cuts) == (fields, "f", file)


def test_names_are_in_any_case_and_files_may_be_called_anything() -> None:
    body = form_bytes({"Key": "k", "X-Amz-Meta-A": "b"}, b"x", file_name='a \\"b\\" ü;c')
    assert taken_apart(body, []) == ({"key": "k", "x-amz-meta-a": "b"}, 'a "b" ü;c', b"x")


def test_what_follows_the_file_is_ignored() -> None:
    assert taken_apart(form_bytes({}, b"x", after=part("key", b"late")), []) == ({}, "f", b"x")


@given(st.binary(max_size=300), st.booleans())
def test_whatever_comes_is_a_form_or_an_error_of_s3(body: bytes, framed: bool) -> None:
    sent = b"--" + BOUNDARY + b"\r\n" + body + b"\r\n--" + BOUNDARY + b"--" if framed else body
    reader = FieldsReader(BOUNDARY)
    try:
        reader.feed(sent)
    except S3Error as error:
        assert error.status == 400  # noqa: PT017


def test_fields_before_the_file_are_bounded() -> None:
    reader = FieldsReader(BOUNDARY)
    with pytest.raises(S3Error, match="MaxPostPreDataLengthExceededError"):
        reader.feed(part("a", b"x" * 40_000))
    nothing = b"".join([part(f"a-field-without-a-value-{number}", b"") for number in range(4000)])
    with pytest.raises(S3Error, match="MaxPostPreDataLengthExceededError"):
        FieldsReader(BOUNDARY).feed(nothing)
    endless = FieldsReader(BOUNDARY)
    for _ in range(32):
        endless.feed(b"x" * 1000)
    with pytest.raises(S3Error, match="MaxPostPreDataLengthExceededError"):
        endless.feed(b"x" * 1000)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (part("key", b"k") + b"--" + BOUNDARY + b"--", "InvalidArgument"),
        (part("key", b"k") + part("KEY", b"k") + part("file", b""), "InvalidArgument"),
        (b"--" + BOUNDARY + b"\r\nContent-Type: text/plain\r\n\r\nx\r\n", "MalformedPOSTRequest"),
        (b"--" + BOUNDARY + b"\r\nContent-Disposition: form-data\r\n\r\nx\r\n", "MalformedPOSTRequest"),
        (part("key", b"\xff") + part("file", b""), "MalformedPOSTRequest"),
    ],
)
def test_what_is_no_form_of_s3_is_refused(body: bytes, code: str) -> None:
    reader = FieldsReader(BOUNDARY)
    with pytest.raises(S3Error) as caught:
        reader.feed(body)
    assert caught.value.code == code


@pytest.mark.parametrize(("size", "code"), [(2, "EntityTooSmall"), (3, ""), (5, ""), (6, "EntityTooLarge")])
def test_a_files_size_is_within_its_bounds(size: int, code: str) -> None:
    decoder = FileDecoder(BOUNDARY, least=3, most=5)
    body = b"x" * size + b"\r\n--" + BOUNDARY

    def run() -> None:
        decoder.feed(body)
        decoder.ended()

    if code:
        with pytest.raises(S3Error) as caught:
            run()
        assert caught.value.code == code
    else:
        run()


def test_a_file_without_an_end_is_incomplete() -> None:
    decoder = FileDecoder(BOUNDARY)
    decoder.feed(b"hello")
    with pytest.raises(S3Error, match="IncompleteBody"):
        decoder.ended()


@pytest.mark.parametrize(
    ("content_type", "code"),
    [
        ("", "PreconditionFailed"),
        ("text/plain", "PreconditionFailed"),
        ("application/x-www-form-urlencoded", "PreconditionFailed"),
        ("multipart/form-data", "MalformedPOSTRequest"),
        ("multipart/form-data; boundary=" + "x" * 71, "MalformedPOSTRequest"),
    ],
)
def test_only_multipart_forms_are_taken(content_type: str, code: str) -> None:
    with pytest.raises(S3Error) as caught:
        boundary_of(content_type)
    assert caught.value.code == code


def test_a_boundary_may_be_quoted() -> None:
    assert boundary_of('multipart/form-data; charset=utf-8; boundary="a b"') == b"a b"


async def test_reading_goes_on_behind_the_fields() -> None:
    body = form_bytes({"key": "up/${filename}"}, b"hello " * 100, file_name="C:\\Documents\\x.txt")
    pieces = [body[at : at + 50] for at in range(0, len(body), 50)]
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> dict:
        return messages.pop(0)

    form = await read_form(receive, f"multipart/form-data; boundary={BOUNDARY.decode()}")
    assert form.key == "up/x.txt"
    into = bytearray(1000)
    file = form.body({}, (0, None))
    assert await file.fill(memoryview(into)) == 600
    assert await file.ended() == {}
    assert into[:600] == b"hello " * 100


# --- policies --------------------------------------------------------------------------------------------


def checked(policy: object, **fields: str) -> tuple[int, int | None]:
    text = policy if isinstance(policy, str) else json.dumps(policy)
    sent = {name.replace("_", "-"): value for name, value in fields.items()}
    sent = {"key": "user/a.txt", "policy": base64.b64encode(text.encode()).decode(), **sent}
    form = Form(fields=sent, file_name="a.txt", boundary=BOUNDARY, receive=None)
    return check_policy(form, "photos", NOW)


LATER = "2099-01-01T00:00:00.000Z"
KEY = ["starts-with", "$key", "user/"]
BUCKET = {"bucket": "photos"}


def policy(*conditions: object, expiration: object = LATER) -> dict[str, object]:
    return {"expiration": expiration, "conditions": [KEY, BUCKET, *conditions]}


@pytest.mark.parametrize(
    ("conditions", "fields"),
    [
        ([], {}),
        ([["eq", "$bucket", "photos"]], {"bucket": "photos"}),
        ([{"ACL": "private"}], {"acl": "private"}),
        ([["starts-with", "$X-Amz-Meta-A", ""]], {"x_amz_meta_a": "anything"}),
        ([["starts-with", "$x-amz-meta-a", ""]], {}),
        ([["starts-with", "$Content-Type", "image/"]], {"content_type": "image/png,image/gif"}),
        ([], {"x_ignore_this": "1", "x_amz_signature": "s"}),
    ],
)
def test_a_form_that_keeps_to_its_policy_may_be_of_any_size(conditions, fields) -> None:
    assert checked(policy(*conditions), **fields) == (0, None)


def test_a_policy_bounds_the_files_size() -> None:
    assert checked(policy(["content-length-range", 3, "20"])) == (3, 20)


@pytest.mark.parametrize(
    ("conditions", "fields"),
    [
        ([{"bucket": "other"}], {}),
        ([["eq", "$key", "user/b.txt"]], {}),
        ([], {"key": "other/a.txt"}),
        ([{"acl": "private"}], {"acl": "public-read"}),
        ([{"acl": "private"}], {}),
        ([["starts-with", "$Content-Type", "image/"]], {"content_type": "image/png,text/html"}),
        ([], {"acl": "private"}),
        ([], {"content_type": "text/plain"}),
    ],
)
def test_a_form_that_breaks_its_policy_is_denied(conditions, fields) -> None:
    with pytest.raises(S3Error) as caught:
        checked(policy(*conditions), **fields)
    assert (caught.value.code, caught.value.status) == ("AccessDenied", 403)
    assert caught.value.message.startswith("Invalid according to Policy: ")


@pytest.mark.parametrize("conditions", [[KEY], [BUCKET], []])
def test_a_policy_must_speak_of_bucket_and_key(conditions) -> None:
    with pytest.raises(S3Error, match="Extra input fields") as caught:
        checked({"expiration": LATER, "conditions": conditions})
    assert (caught.value.code, caught.value.status) == ("AccessDenied", 403)


@pytest.mark.parametrize(("written", "means"), [("\\$a", "$a"), ("\\\\$a", "\\$a"), ("$a", "$a")])
def test_a_dollar_may_be_written_with_a_backslash(written, means) -> None:
    text = json.dumps(policy({"x-amz-meta-a": "HERE"})).replace("HERE", written)
    assert checked(text, x_amz_meta_a=means) == (0, None)


def test_an_expired_policy_is_denied() -> None:
    with pytest.raises(S3Error, match="Policy expired") as caught:
        checked(policy(expiration="2020-01-01T00:00:00Z"))
    assert caught.value.status == 403


UNREADABLE: list[object] = [
    *("", "{", "[]", "null", '"x"', "[" * 5000),
    *({}, {"conditions": []}, {"expiration": LATER}, {"expiration": LATER, "conditions": {}}),
    *(policy(expiration=when) for when in ("tomorrow", 5, "2099-01-01")),
    *(policy(condition) for condition in ("x", [], {"a": 1}, {"a": "1", "b": "2"})),
    *(policy(["eq", *rest]) for rest in (["$a"], ["a", "b"], ["$a", 3])),
    policy(["is", "$a", "b"]),
    *(policy(["content-length-range", *bounds]) for bounds in (["few", "many"], [5, 3], [-1, 3])),
]


@pytest.mark.parametrize(
    "written",
    UNREADABLE,
    ids=range(len(UNREADABLE)),
)
def test_a_policy_that_is_none_is_invalid(written) -> None:
    with pytest.raises(S3Error) as caught:
        checked(written)
    assert (caught.value.code, caught.value.status) == ("InvalidPolicyDocument", 400)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda x: st.lists(x, max_size=4) | st.dictionaries(st.text(max_size=5), x, max_size=3),
    )
)
def test_any_conditions_are_kept_or_refused(conditions) -> None:
    try:
        checked({"expiration": LATER, "conditions": conditions})
    except S3Error as error:
        assert error.code in {"InvalidPolicyDocument", "AccessDenied"}  # noqa: PT017
