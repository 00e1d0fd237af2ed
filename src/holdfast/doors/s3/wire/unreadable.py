"""What is no HTTP is refused in S3's form, too: by an error document, not by the server's plain words.

The application never sees such a request, so this sits in the server's protocol. The connection ends with the
answer, because nobody can tell where the next request begins; where an answer to a request before is under
way, it ends with that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.doors.http_limits import BoundedProtocol
from holdfast.doors.s3.failures import KINDS
from holdfast.doors.s3.wire.xml_writing import error_document

if TYPE_CHECKING:
    from holdfast.world.chance import Chance

CODE = "BadRequest"
MESSAGE = "An error occurred when parsing the HTTP request."


def protocol_of(chance: Chance) -> type[BoundedProtocol]:
    """The protocol of the door's servers; `chance` numbers what it refuses."""

    class Protocol(BoundedProtocol):
        def send_400_response(self, msg: str) -> None:
            cycle = self.cycle
            if cycle is not None and not cycle.more_body and not cycle.response_complete:
                # What follows a whole request is none; that one still gets its answer, the last here.
                cycle.keep_alive = False
                return
            request_id = chance.bytes(8).hex().upper()
            content = error_document(CODE, MESSAGE, (), request_id, "")
            headers = [
                *self.server_state.default_headers,
                (b"x-amz-request-id", request_id.encode()),
                (b"server", b"Holdfast"),
                (b"content-type", b"application/xml"),
                (b"content-length", b"%d" % len(content)),
                (b"connection", b"close"),
            ]
            head = b"".join([b"%b: %b\r\n" % header for header in headers])
            status = KINDS[CODE].status
            self.transport.write(b"HTTP/1.1 %d Bad Request\r\n%b\r\n%b" % (status, head, content))
            self.transport.close()

    return Protocol
