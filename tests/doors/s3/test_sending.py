"""What goes onto the wire is a header a line, whatever it came from."""

from __future__ import annotations

from holdfast.doors.s3.sending import line


def test_a_headers_value_is_one_line_of_latin_1() -> None:
    assert line("plain") == b"plain"
    assert line("a\r\nset-cookie: b\0") == b"a  set-cookie: b "
    assert line("\u00fc \u20ac") == b"\xfc ?"
