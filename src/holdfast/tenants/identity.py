"""Who makes a request: a user of a tenant, as its signature proved, or nobody in particular."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.tenants.permits import Permit

_EVERYTHING = Permit()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Plain data. `anonymous` requests carry no signature; everything else of them is empty.

    `canonical_id`: 64 hexadecimal digits, `account`: 12 digits, both of the tenant; `user_name` is empty
    for the tenant's root, which may do everything with what the tenant owns, unless its access key's permit
    says less.
    """

    anonymous: bool = False
    tenant_id: str = ""
    canonical_id: str = ""
    account: str = ""
    display_name: str = ""
    email: str = ""
    user_id: str = ""
    user_name: str = ""
    access_key: str = ""
    permit: Permit = _EVERYTHING

    @property
    def arn(self) -> str:
        """The name that policies know it by."""
        if self.anonymous:
            return "*"
        end = f"user/{self.user_name}" if self.user_name else "root"
        return f"arn:aws:iam::{self.account}:{end}"


ANONYMOUS = Identity(anonymous=True)
