"""The SQL of requests that were answered."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, select, tuple_, update

from holdfast.files.stores.store import add_if_free, answered_requests

_TAKE = add_if_free(answered_requests)
_ONE = (
    answered_requests.c.tenant == bindparam("of_tenant"),
    answered_requests.c.token == bindparam("of_token"),
)
_SET = update(answered_requests).where(*_ONE).values(answer=bindparam("new_answer"))
_GET = select(answered_requests.c.asked, answered_requests.c.answer).where(*_ONE)


def take_token(connection: Connection, tenant: str, token: bytes, asked: bytes, now: int) -> bool:
    """Whether the token was free; it is taken now, for the request of this digest."""
    row = {"tenant": tenant, "token": token, "asked": asked, "answer": b"", "time": now}
    return connection.execute(_TAKE[connection.dialect.name], row).first() is not None


def set_answer(connection: Connection, tenant: str, token: bytes, answer: bytes) -> None:
    """Keeps what the token's request was answered."""
    connection.execute(_SET, {"of_tenant": tenant, "of_token": token, "new_answer": answer})


def answer_of(connection: Connection, tenant: str, token: bytes) -> tuple[bytes, bytes]:
    """(digest of the request, answer) of a token that is taken."""
    row = connection.execute(_GET, {"of_tenant": tenant, "of_token": token}).one()
    return bytes(row[0]), bytes(row[1])


def old_answers(connection: Connection, before: int, limit: int) -> int:
    """How many answers, up to `limit`, were given before this time."""
    old = select(answered_requests.c.time).where(answered_requests.c.time < before).limit(limit)
    return len(connection.execute(old).all())


def forget_answers(connection: Connection, before: int, limit: int) -> int:
    """Forgets up to `limit` answers given before this time; how many."""
    table = answered_requests
    old = select(table.c.tenant, table.c.token).where(table.c.time < before).order_by(table.c.time)
    doomed = tuple_(table.c.tenant, table.c.token).in_(old.limit(limit))
    return connection.execute(delete(table).where(doomed)).rowcount
