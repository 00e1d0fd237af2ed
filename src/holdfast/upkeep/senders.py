"""Ways to carry an event to a target: over HTTP, to NATS or to an AMQP broker, by the target's URL.

Only the operator writes these URLs, into the settings. What stands after `#` is not part of the address: it
is the key that an HTTP message is signed with. No way follows a redirect; of answers only the status counts.
The libraries of NATS (`nats-py`) and AMQP (`aio-pika`) are optional; without them such targets refuse.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urldefrag, urlsplit, urlunsplit

import aiohttp

from holdfast.world.clock import MICROSECONDS, Clock
from holdfast.world.errors import Refusal, Trouble

SEND_SECONDS: Final = 10.0
SIGNATURE: Final = "x-holdfast-signature"
TAKEN: Final = 2
"""The first digit of statuses that say so."""
AGENT: Final = "Holdfast notifications"


def signature_of(key: str, time: int, body: bytes) -> str:
    """The value of the signature header: seconds since the epoch, HMAC-SHA256 of `seconds.body` in hex."""
    seconds = str(time // MICROSECONDS)
    made = hmac.new(key.encode(), seconds.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={made}"


class Webhooks:
    """Messages as the bodies of POST requests, taken by any answer of 200 to 299."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def send(self, url: str, body: bytes) -> None:
        """Posts it, signed if the URL carries a key."""
        address, key = urldefrag(url)
        headers = {"content-type": "application/json"}
        if key:
            headers[SIGNATURE] = signature_of(key, self._clock.now(), body)
        try:
            async with self._open().post(
                address, data=body, headers=headers, allow_redirects=False
            ) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise _refused(f"{type(error).__name__}: {error}") from error
        if status // 100 != TAKEN:
            raise _refused(f"it answered {status}")

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=SEND_SECONDS),
                headers={"user-agent": AGENT},
                cookie_jar=aiohttp.DummyCookieJar(),
                # An operator's proxy settings in the environment are not about these.
                trust_env=False,
            )
        return self._session

    async def close(self) -> None:
        """Hangs up."""
        if self._session is not None:
            await self._session.close()
            self._session = None


class Nats:
    """Messages published to the subject that is the URL's path: `nats://host:4222/storage.events`."""

    def __init__(self) -> None:
        self._links: dict[str, Any] = {}

    async def send(self, url: str, body: bytes) -> None:
        """Publishes it; taken when the server has answered what came after it."""
        parts = urlsplit(url)
        server = urlunsplit((parts.scheme, parts.netloc, "", "", ""))
        nats = _library("nats", "nats-py")
        try:
            if server not in self._links:
                self._links[server] = await nats.connect(server, connect_timeout=SEND_SECONDS)
            link = self._links[server]
            await link.publish(parts.path.strip("/"), body)
            await link.flush(timeout=int(SEND_SECONDS))
        except Exception as error:  # the library's errors share no family
            raise _refused(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """Hangs up."""
        links, self._links = self._links, {}
        for link in links.values():
            await link.close()


class Amqp:
    """Messages published to an exchange: `amqp://user:password@host/vhost?exchange=NAME&routing_key=KEY`.

    Without an exchange they go to the queue named by the routing key. The exchange or queue must be there.
    """

    def __init__(self) -> None:
        self._links: dict[str, tuple[Any, Any]] = {}

    async def send(self, url: str, body: bytes) -> None:
        """Publishes it, to be kept on the broker's disk; taken when the broker confirms it."""
        parts = urlsplit(url)
        wishes = dict(parse_qsl(parts.query))
        broker = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
        pika = _library("aio_pika", "aio-pika")
        try:
            channel = await self._channel(pika, broker)
            name = wishes.get("exchange", "")
            exchange = await channel.get_exchange(name) if name else channel.default_exchange
            message = pika.Message(
                body, content_type="application/json", delivery_mode=pika.DeliveryMode.PERSISTENT
            )
            await exchange.publish(
                message, routing_key=wishes.get("routing_key", ""), mandatory=True, timeout=SEND_SECONDS
            )
        except Exception as error:  # the library's errors share no family
            raise _refused(f"{type(error).__name__}: {error}") from error

    async def _channel(self, pika: Any, broker: str) -> Any:
        if broker not in self._links:
            link = await pika.connect_robust(broker, timeout=SEND_SECONDS)
            self._links[broker] = (link, await link.channel(publisher_confirms=True))
        return self._links[broker][1]

    async def close(self) -> None:
        """Hangs up."""
        links, self._links = self._links, {}
        for link, _ in links.values():
            await link.close()


class Senders:
    """Each message the way that its target's URL asks for."""

    def __init__(self, clock: Clock) -> None:
        webhooks, nats, amqp = Webhooks(clock), Nats(), Amqp()
        self._ways: Mapping[str, Webhooks | Nats | Amqp] = {
            "http": webhooks, "https": webhooks, "nats": nats, "tls": nats, "amqp": amqp, "amqps": amqp,
        }  # fmt: skip
        self._all = (webhooks, nats, amqp)

    async def send(self, url: str, body: bytes) -> None:
        """Returns when the target has taken it; raises Trouble("target.refused") if it has not."""
        way = self._ways.get(url.partition(":")[0].lower())
        if way is None:
            raise _refused("no messages can be sent to such a URL")
        await way.send(url, body)

    async def close(self) -> None:
        """Hangs up everywhere."""
        for way in self._all:
            await way.close()


def parse_targets(text: str) -> dict[str, str]:
    """The setting `s3_notification_targets`: ARNs and URLs, `ARN=URL`, separated by spaces.

    Raises Refusal("config.invalid").
    """
    found: dict[str, str] = {}
    for entry in text.split():
        arn, _, url = entry.partition("=")
        parts = urlsplit(url)
        if not arn.startswith("arn:") or parts.scheme not in SCHEMES or not parts.hostname:
            raise Refusal(
                "config.invalid",
                f"The notification target '{arn}' cannot work.",
                advice="Write arn:aws:sqs:REGION:ACCOUNT:NAME=https://HOST/PATH#SIGNING-KEY; nats:// and "
                "amqp:// work too.",
            )
        found[arn] = url
    return found


SCHEMES: Final = frozenset({"http", "https", "nats", "tls", "amqp", "amqps"})


def _library(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise _refused(f"the Python package {package} is not installed") from error


def _refused(why: str) -> Trouble:
    return Trouble("target.refused", f"The target did not take the event: {why[:200]}.")
