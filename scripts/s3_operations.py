"""Writes the S3 door's table of operations from the public service model that botocore carries.

The server has no botocore: what it needs of the model is this one reviewed table. Run it when the model
grows: what is new then answers 501 until somebody makes it.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import botocore

MODEL = Path(botocore.__file__).parent / "data" / "s3" / "2006-03-01" / "service-2.json.gz"
TABLE = Path(__file__).resolve().parents[1] / "src" / "holdfast" / "doors" / "s3" / "operation_table.py"

HEAD = '''"""S3's operations, written by scripts/s3_operations.py from the public service model.

Which of them are served, and what they demand, is said in `operations`.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Operation(NamedTuple):
    """One operation of the model.

    `level`: "service", "bucket" or "object". `selector`: the query key that selects it, or "". `query` and
    `header`: names that it requires besides. `streams`: its body is an object's bytes, not a document.
    """

    name: str
    method: str
    level: str
    selector: str = ""
    query: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    streams: bool = False


'''


def level_of(path: str) -> str:
    """Of a request URI of the model, without its query."""
    return {"/": "service", "/{Bucket}": "bucket", "/{Bucket}/{Key+}": "object"}.get(path, "other")


def row_of(name: str, operation: dict[str, Any], shapes: dict[str, Any]) -> tuple[object, ...]:
    """The fields of one operation's row."""
    http = operation["http"]
    path, _, query = http["requestUri"].partition("?")
    shape = shapes[operation["input"]["shape"]] if "input" in operation else {"members": {}}
    members = shape["members"]
    needed = [members[member] for member in shape.get("required", ())]
    payload = members.get(shape.get("payload", ""), {})
    return (
        name,
        http["method"],
        level_of(path),
        query.partition("&")[0].partition("=")[0],
        tuple(sorted(m["locationName"] for m in needed if m.get("location") == "querystring")),
        tuple(sorted(m["locationName"] for m in needed if m.get("location") == "header")),
        shapes.get(payload.get("shape", ""), {}).get("type") == "blob",
    )


def table() -> str:
    """The module's text. Deprecated operations are left out: others answer in their place."""
    model = json.loads(gzip.decompress(MODEL.read_bytes()))
    rows = [
        row_of(name, operation, model["shapes"])
        for name, operation in sorted(model["operations"].items())
        if not operation.get("deprecated")
    ]
    lines = [f"    Operation{line(row)}," for row in rows]
    keys = sorted({str(row[3]) for row in rows if row[3]} | {"uploadId"})
    selectors = "\n".join(f'    "{key}",' for key in keys)
    return (
        f"{HEAD}OPERATIONS: Final = (\n" + "\n".join(lines) + "\n)\n\n"
        f"SELECTORS: Final = frozenset((\n{selectors}\n))\n"
        '"""Every query key that selects an operation."""\n'
    )


def line(row: tuple[object, ...]) -> str:
    """The arguments, without those that are what they are by default."""
    name, method, level, selector, query, header, streams = row
    given = [json.dumps(name), json.dumps(method), json.dumps(level)]
    for field, value in (("selector", selector), ("query", query), ("header", header), ("streams", streams)):
        if value:
            given.append(f"{field}={value!r}".replace("'", '"'))
    return f"({', '.join(given)})"


def main() -> None:
    """Writes the table."""
    TABLE.write_text(table(), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", str(TABLE)], check=True)


if __name__ == "__main__":
    main()
