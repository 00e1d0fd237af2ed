"""The fast kernel: Intel's ISA-L called through cffi, straight on the shards' memory, without the GIL.

The library lies inside pyeclib's wheel, which is why pyeclib is a dependency; its own Python calls copy and
hold the GIL, so they are not used. Debian's libisal2 serves as well.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cffi

from holdfast.chunks.erasure import Kernel
from holdfast.chunks.field import Matrix, parity_rows, times

_TABLE_BYTES = 32
"""ISA-L expands each coefficient to a table of this size."""

_DECLARATIONS = """
void ec_init_tables(int k, int rows, unsigned char *a, unsigned char *gftbls);
void ec_encode_data(int len, int k, int rows, unsigned char *gftbls,
                    unsigned char **data, unsigned char **coding);
"""


def _candidates() -> Iterator[str]:
    """Where the library may be: beside pyeclib, where wheels keep theirs; then wherever the system looks."""
    spec = importlib.util.find_spec("pyeclib")
    for place in spec.submodule_search_locations or () if spec else ():
        package = Path(place)
        for folder in (package.parent / "pyeclib.libs", package / ".libs", package / ".dylibs"):
            yield from (str(path) for path in sorted(folder.glob("libisal*")))
    yield from ("libisal.so.2", "libisal.2.dylib", "libisal.so")


@functools.lru_cache(maxsize=1)
def load() -> IsalKernel | None:
    """The kernel, or None where no library loads or one gives wrong bytes."""
    ffi = cffi.FFI()
    ffi.cdef(_DECLARATIONS)
    for candidate in _candidates():
        try:
            library: Any = ffi.dlopen(candidate)
            kernel = IsalKernel(ffi, library)
        except (OSError, AttributeError):
            continue
        if _multiplies_rightly(kernel):
            return kernel
    return None


class IsalKernel:
    """Keeps the expanded tables of the matrices used last: those for encoding, and the usual losses."""

    name = "isal"

    def __init__(self, ffi: cffi.FFI, library: Any) -> None:
        self._ffi = ffi
        self._encode = library.ec_encode_data
        self._expand = library.ec_init_tables
        self._tables = functools.lru_cache(maxsize=256)(self._make_tables)

    def multiply(self, matrix: Matrix, sources: Sequence[memoryview], targets: Sequence[memoryview]) -> None:
        ffi = self._ffi
        rows, columns = len(matrix), len(matrix[0])
        length = len(sources[0])
        assert len(sources) == columns, "a source for each column"
        assert len(targets) == rows, "a target for each row"
        # The C code believes the lengths it is told.
        assert all(len(view) == length for view in (*sources, *targets)), "all rows are of one length"
        tables = self._tables(rows, columns, b"".join(matrix))
        inputs = [ffi.from_buffer("unsigned char[]", view) for view in sources]
        outputs = [ffi.from_buffer("unsigned char[]", view, require_writable=True) for view in targets]
        try:
            self._encode(
                length,
                columns,
                rows,
                tables,
                ffi.new("unsigned char *[]", inputs),
                ffi.new("unsigned char *[]", outputs),
            )
        finally:
            # Else the views could not be released, nor their memory closed, until the collector ran.
            for held in (*inputs, *outputs):
                ffi.release(held)

    def _make_tables(self, rows: int, columns: int, coefficients: bytes) -> Any:
        tables = self._ffi.new("unsigned char[]", _TABLE_BYTES * rows * columns)
        self._expand(columns, rows, self._ffi.from_buffer("unsigned char[]", coefficients), tables)
        return tables


def _multiplies_rightly(kernel: Kernel) -> bool:
    """A library with another polynomial or a broken vector path would destroy data in silence."""
    matrix = parity_rows(3, range(3, 10))
    sources = [bytes((i * i + 7 * i * j + j) % 251 for i in range(5 * 64)) for j in range(3)]
    targets = [memoryview(bytearray(5 * 64)) for _ in matrix]
    kernel.multiply(matrix, [memoryview(source) for source in sources], targets)
    return all(
        target[i] == times(row[0], a) ^ times(row[1], b) ^ times(row[2], c)
        for row, target in zip(matrix, targets, strict=True)
        for i, (a, b, c) in enumerate(zip(*sources, strict=True))
    )
