"""The records of one chunk, encrypted and opened straight from memory to memory.

Each record is AES-256-GCM under the chunk's key; its nonce is its number. Besides, every record is bound to
the format, the chunk's place in the object, its three lengths and whether it is compressed. So a coordinator
that exchanges chunks or lies about lengths is found out by the first record.
"""

from __future__ import annotations

import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from holdfast.chunks.keys import chunk_key
from holdfast.chunks.layout import (
    CHUNK_BYTES_MAX,
    FORMAT,
    RECORD_BYTES,
    STRIDE_BYTES,
    TAG_BYTES,
    sealed_length,
)
from holdfast.world.errors import Trouble

_CONTEXT = struct.Struct(">16sBBQQQQ")
_CONTEXT_TAG = b"holdfast record\0"
_FLAG_COMPRESSED = 1
_NONCES = tuple(number.to_bytes(12, "big") for number in range(CHUNK_BYTES_MAX // RECORD_BYTES))


class RecordCipher:
    """One chunk's key and context."""

    def __init__(
        self,
        *,
        data_key: bytes,
        chunk_id: bytes,
        number: int,
        plain_length: int,
        packed_length: int,
        compressed: bool,
    ) -> None:
        self._cipher = AESGCM(chunk_key(data_key, chunk_id))
        self._number = number
        self._context = _CONTEXT.pack(
            _CONTEXT_TAG,
            FORMAT,
            _FLAG_COMPRESSED if compressed else 0,
            number,
            plain_length,
            packed_length,
            sealed_length(packed_length),
        )

    def seal(self, packed: memoryview, into: memoryview) -> None:
        """Encrypts all records of the chunk, each with its tag behind it, into the start of `into`."""
        encrypt, context = self._cipher.encrypt_into, self._context
        length = len(packed)
        out = 0
        for index, start in enumerate(range(0, length, RECORD_BYTES)):
            size = min(RECORD_BYTES, length - start)
            end = out + size + TAG_BYTES
            encrypt(_NONCES[index], packed[start : start + size], context, into[out:end])
            out += STRIDE_BYTES

    def open_record(self, index: int, sealed: memoryview, into: memoryview) -> None:
        """Decrypts record `index` into `into`, which is a tag shorter than `sealed`.

        Raises Trouble("metadata.forged"), with `into` zeroed, if the record is not the one sealed there.
        """
        try:
            self._cipher.decrypt_into(_NONCES[index], sealed, self._context, into)
        except InvalidTag:
            into[:] = bytes(len(into))
            raise Trouble(
                "metadata.forged",
                f"Record {index} of chunk {self._number} does not open: "
                "the chunk's bytes or its metadata are not those that were sealed.",
                retry=False,
                advice="Do not trust this copy; tell the operator, or open the object from its manifest.",
                number=self._number,
                record=index,
            ) from None
