"""Website configurations, kept and shown; `website` serves by them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NoReturn

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.settings.settings_documents import (
    done,
    expect,
    gone,
    invalid,
    leaf,
    malformed,
    need_leaf,
    save,
    sent,
    shown,
)
from holdfast.doors.s3.wire.xml_reading import Node
from holdfast.doors.s3.wire.xml_writing import element, group, optional
from holdfast.files.bucket_settings import RoutingRule, Website

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import Handler, S3Request, S3Response

RULES_MAX: Final = 50
PROTOCOLS: Final = frozenset({"http", "https"})

_REDIRECT_CODE: Final = re.compile(r"3(?!00)[0-9]{2}")
_ERROR_CODE: Final = re.compile(r"[45][0-9]{2}")
_HOST: Final = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")


def read_website(root: Node) -> Website:
    """A `<WebsiteConfiguration>`; raises S3Error MalformedXML, InvalidArgument or InvalidRequest."""
    expect(root, one="RedirectAllRequestsTo IndexDocument ErrorDocument RoutingRules")
    everything = root.find("RedirectAllRequestsTo")
    if everything is not None:
        if len(root.children) > 1:
            _refuse("RedirectAllRequestsTo cannot be provided in conjunction with other Routing Rules.")
        return _read_redirect_all(everything)
    index = root.find("IndexDocument")
    if index is None:
        invalid(
            "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty",
            "IndexDocument",
            "null",
        )
    expect(index, one="Suffix")
    suffix = need_leaf(index, "Suffix")
    if not suffix or "/" in suffix:
        invalid("The IndexDocument Suffix is not well formed", "IndexDocument", suffix)
    return Website(index_suffix=suffix, error_key=_read_error_key(root), routing=_read_routing(root))


def _read_redirect_all(node: Node) -> Website:
    expect(node, one="HostName Protocol")
    return Website(
        redirect_host=_checked_host(need_leaf(node, "HostName")),
        redirect_protocol=_checked_protocol(leaf(node, "Protocol")),
    )


def _read_error_key(root: Node) -> str:
    node = root.find("ErrorDocument")
    if node is None:
        return ""
    expect(node, one="Key")
    key = need_leaf(node, "Key")
    if not key:
        invalid("The ErrorDocument Key is not well formed", "ErrorDocument", key)
    return key


def _read_routing(root: Node) -> tuple[RoutingRule, ...]:
    node = root.find("RoutingRules")
    if node is None:
        return ()
    expect(node, many="RoutingRule")
    if not node.children:
        malformed()
    if len(node.children) > RULES_MAX:
        _refuse(
            f"{len(node.children)} routing rules provided, the number of routing rules in a website "
            f"configuration is limited to {RULES_MAX}."
        )
    return tuple([_read_rule(each) for each in node.children])


def _read_rule(node: Node) -> RoutingRule:
    expect(node, one="Condition Redirect")
    prefix, error = _read_condition(node.find("Condition"))
    redirect = node.need("Redirect")
    expect(redirect, one="HostName HttpRedirectCode Protocol ReplaceKeyPrefixWith ReplaceKeyWith")
    if not redirect.children:
        malformed()
    host, code = leaf(redirect, "HostName"), leaf(redirect, "HttpRedirectCode")
    if code is not None and _REDIRECT_CODE.fullmatch(code) is None:
        _refuse(f"The provided HTTP redirect code ({code}) is not valid. Valid codes are 3XX except 300.")
    replace_prefix, replace_key = leaf(redirect, "ReplaceKeyPrefixWith"), leaf(redirect, "ReplaceKeyWith")
    if replace_prefix is not None and replace_key is not None:
        _refuse("You can only define ReplaceKeyPrefix or ReplaceKey but not both.")
    return RoutingRule(
        key_prefix=prefix,
        error_code=error,
        protocol=_checked_protocol(leaf(redirect, "Protocol")),
        host="" if host is None else _checked_host(host),
        code=code or "",
        replace_prefix=replace_prefix,
        replace_key=replace_key,
    )


def _read_condition(node: Node | None) -> tuple[str, str]:
    if node is None:
        return "", ""
    expect(node, one="KeyPrefixEquals HttpErrorCodeReturnedEquals")
    if not node.children:
        _refuse(
            "Condition cannot be empty. To redirect all requests without a condition, the condition element "
            "shouldn't be present."
        )
    error = leaf(node, "HttpErrorCodeReturnedEquals")
    if error is not None and _ERROR_CODE.fullmatch(error) is None:
        _refuse(f"The provided HTTP error code ({error}) is not valid. Valid codes are 4XX or 5XX.")
    return leaf(node, "KeyPrefixEquals") or "", error or ""


def _checked_protocol(protocol: str | None) -> str:
    if protocol is not None and protocol not in PROTOCOLS:
        _refuse(
            "Invalid protocol, protocol can be http or https. If not defined the protocol will be selected "
            "automatically."
        )
    return protocol or ""


def _checked_host(host: str) -> str:
    """It becomes part of a header, so nothing but what a host name may be made of."""
    if _HOST.fullmatch(host) is None:
        invalid("The HostName is not well formed", "HostName", host[:200])
    return host


def _refuse(message: str) -> NoReturn:
    raise S3Error("InvalidRequest", message)


def website_elements(website: Website) -> str:
    """What `<WebsiteConfiguration>` holds."""
    if website.redirect_host:
        return group(
            "RedirectAllRequestsTo",
            element("HostName", website.redirect_host),
            optional("Protocol", website.redirect_protocol),
        )
    index = group("IndexDocument", element("Suffix", website.index_suffix))
    error = group("ErrorDocument", element("Key", website.error_key)) if website.error_key else ""
    rules = [_rule_element(rule) for rule in website.routing]
    return index + error + (group("RoutingRules", *rules) if rules else "")


def _rule_element(rule: RoutingRule) -> str:
    condition = optional("HttpErrorCodeReturnedEquals", rule.error_code) + optional(
        "KeyPrefixEquals", rule.key_prefix
    )
    redirect = group(
        "Redirect",
        optional("Protocol", rule.protocol),
        optional("HostName", rule.host),
        optional("HttpRedirectCode", rule.code),
        "" if rule.replace_prefix is None else element("ReplaceKeyPrefixWith", rule.replace_prefix),
        "" if rule.replace_key is None else element("ReplaceKeyWith", rule.replace_key),
    )
    return group("RoutingRule", group("Condition", condition) if condition else "", redirect)


async def get_bucket_website(_door: Door, request: S3Request) -> S3Response:
    """GET ?website."""
    website = request.bucket.parsed.website
    if website is None:
        raise S3Error("NoSuchWebsiteConfiguration", BucketName=request.bucket.name)
    return shown("WebsiteConfiguration", website_elements(website))


async def put_bucket_website(door: Door, request: S3Request) -> S3Response:
    """PUT ?website."""
    website = read_website(await sent(request, "WebsiteConfiguration"))
    await save(door, request, website=website)
    return done()


async def delete_bucket_website(door: Door, request: S3Request) -> S3Response:
    """DELETE ?website."""
    await save(door, request, website=None)
    return gone()


HANDLERS: Final[dict[str, Handler]] = {
    "GetBucketWebsite": get_bucket_website,
    "PutBucketWebsite": put_bucket_website,
    "DeleteBucketWebsite": delete_bucket_website,
}
