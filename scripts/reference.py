"""Writes docs/reference from the code, so that its tables cannot lie; tests/house notices a stale page."""

from __future__ import annotations

import typing
from pathlib import Path

import msgspec

from holdfast.app.settings import FILE_NAME, PREFIX, CoordinatorSettings
from holdfast.doors.rest.failures import STATUS
from holdfast.doors.s3.operation_table import OPERATIONS as OPERATION_TABLE
from holdfast.doors.s3.operations import RULES
from holdfast.protocol.control import OPERATIONS, Operation
from holdfast.tenants.permits import ACTION_OF, ACTIONS
from holdfast.world.errors import CODES

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"
HEAD = "<!-- Written by `make reference`; change the code, not this page. -->\n\n"


def errors_page() -> str:
    """Every failure code with its HTTP status."""
    rows = "\n".join(f"| `{code}` | {STATUS[code]} | {meaning} |" for code, meaning in CODES.items())
    return f"""# Error codes

A code never changes its meaning. The CLI prints it in parentheses, `--json` and the SDK carry it as `code`.
A refusal can be mended by the caller; trouble is the world's, and its `retry` says whether again may help.

| code | HTTP | means |
|---|---|---|
{rows}
"""


def settings_page() -> str:
    """Every setting of a coordinator."""
    hints = typing.get_type_hints(CoordinatorSettings, include_extras=True)
    rows = []
    for field in msgspec.structs.fields(CoordinatorSettings):
        _, meta = typing.get_args(hints[field.name])
        kind = type(field.default)
        rows.append(
            f"| `{field.name}` | `{PREFIX}{field.name.upper()}` | {kind.__name__} | `{field.default!r}` "
            f"| {meta.description} |"
        )
    table = "\n".join(rows)
    return f"""# Settings of a coordinator

Read from `{FILE_NAME}` in the coordinator's home; a variable of the environment wins over the file.

| setting | variable | type | default | meaning |
|---|---|---|---|---|
{table}
"""


def operations_page() -> str:
    """Every control operation with its fields."""
    parts = [_operation(operation) for operation in OPERATIONS.values()]
    actions = "\n".join(f"| `{name}` | {meaning} |" for name, meaning in ACTIONS.items())
    return f"""# Control operations

`POST /api/v1/control/NAME`, body and reply as MessagePack (`application/vnd.holdfast.v1+msgpack`) or JSON
(`application/json`; bytes are base64), signed with AWS Signature Version 4 for the service `holdfast`.

## Actions that a permit may allow

| action | lets |
|---|---|
{actions}

{"".join(parts)}"""


def _operation(operation: type[Operation]) -> str:
    doc = " ".join((operation.__doc__ or "").split())
    if doc.startswith(f"{operation.__name__}("):
        doc = ""
    fields = ", ".join(
        f"`{field.name}`" + ("" if field.required else "?") for field in msgspec.structs.fields(operation)
    )
    action, reply = ACTION_OF[operation.name], operation.Reply.__name__
    return (
        f"### {operation.name}\n\n{doc}\n\n"
        f"Action `{action}`. Fields: {fields or 'none'}. Reply: `{reply}`.\n\n"
    ).replace("\n\n\n\n", "\n\n")


def s3_operations_page() -> str:
    """Every operation of S3, and whether the S3 door serves it."""
    rows = []
    for operation in OPERATION_TABLE:
        rule = RULES.get(operation.name)
        place = {"service": "/", "bucket": "/BUCKET", "object": "/BUCKET/KEY"}.get(operation.level, "-")
        asked = operation.selector or "&".join(operation.query)
        target = f"{operation.method} {place}" + (f"?{asked}" if asked else "")
        state = "served" if rule else "501"
        action = f"`{rule.action}`" if rule else ""
        rows.append(f"| {operation.name} | `{target}` | {state} | {action} |")
    served = sum(operation.name in RULES for operation in OPERATION_TABLE)
    table = "\n".join(rows)
    return f"""# Operations of S3

The public service model has {len(OPERATION_TABLE)} operations that are not deprecated; Holdfast serves
{served} of them, and PostObject, the upload of a browser form, which the model does not have. All others are
answered `501 NotImplemented`, whatever else a request says.

The action is what a bucket policy or an access key must allow; some requests need further ones.

| operation | request | state | action |
|---|---|---|---|
{table}
"""


PAGES = {
    "errors.md": errors_page,
    "settings.md": settings_page,
    "operations.md": operations_page,
    "s3-operations.md": s3_operations_page,
}


def main() -> None:
    """Writes every page."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(HEAD + page().rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
