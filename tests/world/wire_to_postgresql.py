"""A wire to a PostgreSQL server that can be cut at any time, as when a server dies or a cable is pulled."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from typing import Self

from sqlalchemy import make_url

SOCKET = ".s.PGSQL.5432"
_FIELDS = b"SWARNING\0VWARNING\0C57P02\0Mterminating connection because of a crash\0\0"
LAST_WORDS = b"N" + (len(_FIELDS) + 4).to_bytes(4, "big") + _FIELDS
"""The notice that a server's processes leave behind when they are told to die at once."""


class CutWire:
    """Listens as a server would in `folder` and passes bytes on to the real one."""

    def __init__(self, server: str, folder: Path) -> None:
        url = make_url(server)
        host = str(url.query.get("host", url.host or "127.0.0.1"))
        port = url.port or 5432
        self._target: str | tuple[str, int] = (host, port)
        if host.startswith("/"):
            self._target = f"{host}/.s.PGSQL.{port}"
        self.url = url.set(host=None, port=None, query={"host": str(folder)}).render_as_string(
            hide_password=False
        )
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(folder / SOCKET))
        self._door.listen()
        self._ends: list[socket.socket] = []
        self._clients: list[socket.socket] = []
        self._lock = threading.Lock()
        self.dead = False
        """Whether who comes is turned away."""
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._door.close()
        self.cut()

    def cut(self, *, last_words: bool = False) -> None:
        """Ends all connections; nobody is told why, or all are in a notice that they did not ask for."""
        with self._lock:
            for client in self._clients if last_words else []:
                with contextlib.suppress(OSError):
                    client.sendall(LAST_WORDS)
            self._clients.clear()
            for end in self._ends:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
            self._ends.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._door.accept()
            except OSError:
                return
            if self.dead:
                client.close()
                continue
            family = socket.AF_UNIX if isinstance(self._target, str) else socket.AF_INET
            server = socket.socket(family)
            server.connect(self._target)
            with self._lock:
                self._ends += [client, server]
                self._clients.append(client)
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(1 << 16):
                sink.sendall(piece)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
