"""Which operation of S3 a request asks for: by method, level and the query key that selects it.

The law: a key that selects an operation of the service model never falls through to another operation. What
is served or not is `operations`' affair; keys that no operation has are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.operation_table import OPERATIONS, SELECTORS, Operation

Level = Literal["service", "bucket", "object"]

POST_FORM: Final = "PostObject"
"""The upload of a browser form, which the service model does not have."""
UPLOAD_ID: Final = "uploadId"
PART_NUMBER: Final = "partNumber"
LIST_TYPE: Final = "list-type"
METHODS: Final = ("GET", "HEAD", "PUT", "POST", "DELETE")


def _candidates() -> dict[tuple[str, str, str], tuple[Operation, ...]]:
    """The operations of each place, the one that requires most first."""
    found: dict[tuple[str, str, str], list[Operation]] = {}
    for operation in OPERATIONS:
        selector = UPLOAD_ID if UPLOAD_ID in operation.query else operation.selector
        found.setdefault((operation.method, operation.level, selector), []).append(operation)
    found["POST", "bucket", ""] = [Operation(POST_FORM, "POST", "bucket", streams=True)]
    return {
        place: tuple(sorted(each, key=lambda one: (-len(one.header), -len(one.query))))
        for place, each in found.items()
    }


_AT: Final = _candidates()
_SOLE: Final = {place: each[0].name for place, each in _AT.items() if len(each) == 1}
_ELSEWHERE: Final = tuple(operation for operation in OPERATIONS if operation.level == "other")
"""Operations of other services' endpoints, known by their headers."""
_LEVELS: Final = {(level, selector) for _, level, selector in _AT}


def route(method: str, level: Level, query: Mapping[str, str], headers: Mapping[str, str]) -> str:
    """The operation's name.

    Raises:
        S3Error: MethodNotAllowed, or what is wrong with the combination of query keys.
    """
    selector = _selector(method, level, query) if query else ""
    if method == "POST" and level == "bucket":
        for operation in _ELSEWHERE:
            if all(name in headers for name in operation.header):
                return operation.name
    place = (method, level, selector)
    sole = _SOLE.get(place)
    if sole is not None:
        return sole
    candidates = _AT.get(place)
    if candidates is None:
        raise _nowhere(method, level, selector)
    for operation in candidates:
        if all(name in query for name in operation.query) and all(
            name in headers for name in operation.header
        ):
            return operation.name
    return candidates[-1].name


def _selector(method: str, level: Level, query: Mapping[str, str]) -> str:
    found = [name for name in query if name in SELECTORS]
    if level == "object" and method == "PUT" and PART_NUMBER in query and not found:
        # Whoever numbers a part means no whole object; its handler says that the upload is not named.
        return UPLOAD_ID
    if len(found) > 1 and LIST_TYPE in found:
        found.remove(LIST_TYPE)
    if not found or (level == "service" and method == "GET"):
        return ""
    if len(found) > 1:
        raise S3Error(
            "InvalidArgument",
            f"Conflicting query string parameters: {', '.join(sorted(found))}",
            ArgumentName="ResourceType",
            ArgumentValue=found[0],
        )
    selector = found[0]
    if selector == LIST_TYPE and level == "bucket":
        return _listing(method, query[selector])
    return selector


def _listing(method: str, version: str) -> str:
    if version == "2" or method != "GET":
        return LIST_TYPE
    if version == "1":
        return ""
    raise S3Error("InvalidArgument", "Invalid list type", ArgumentName=LIST_TYPE, ArgumentValue=version)


def _nowhere(method: str, level: Level, selector: str) -> S3Error:
    if selector and (level, selector) not in _LEVELS:
        what = "key" if level == "object" else level
        return S3Error(
            "InvalidRequest", f"There is no such thing as the ?{selector} sub-resource for a {what}"
        )
    allowed = [name for name in METHODS if (name, level, selector) in _AT]
    return S3Error(
        "MethodNotAllowed",
        headers=[("allow", ", ".join(allowed))],
        Method=method,
        ResourceType=(selector or level).upper(),
    )
