"""Who may call what: keys, what they are good for, and how fast they may call.

A key is shown once, when it is made; what is kept is the SHA-256 of its secret half. Keys are random, 256
bits, so a slow hash would protect nothing. The public half says which hash to compare with, and comparing
takes the same time whatever was presented. Reads no file and no clock.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from offer_optimizer.core.errors import CannotStart, Forbidden, Unauthenticated

PREFIX: Final = "oo1"
"""First part of every key: which form it has. Scanners for leaked secrets can look for it."""
ID_BYTES, SECRET_BYTES = 6, 32
KEYS_MOST: Final = 1000


class Role(StrEnum):
    """What a key is good for. `admin` may do all that `read` may."""

    DECIDE = "decide"
    FEEDBACK = "feedback"
    READ = "read"
    ADMIN = "admin"


class Key(BaseModel):
    """One key as the keys file holds it: its name for the audit log, its public half, and its secret's hash.

    `placements` limits it to these, all where it is empty. `calls_per_second` limits it at each decider,
    None not at all. `certificate` is the common name of a client certificate that stands for the key.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[ -~]+$")]
    roles: Annotated[tuple[Role, ...], Field(min_length=1)]
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    certificate: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    placements: tuple[str, ...] = ()
    calls_per_second: Annotated[float, Field(gt=0.0, le=1e6)] | None = None

    def allows(self, role: Role) -> bool:
        """Return whether the key has a role, or one that holds it."""
        return role in self.roles or (role is Role.READ and Role.ADMIN in self.roles)


class _KeysFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: Annotated[tuple[Key, ...], Field(max_length=KEYS_MOST)]


def make_key(
    entropy: Callable[[int], bytes], name: str, roles: Iterable[Role], placements: Iterable[str]
) -> tuple[str, Key]:
    """Return a new key's text, to be shown once, and what the keys file holds of it."""
    public = entropy(ID_BYTES).hex()
    secret = base64.urlsafe_b64encode(entropy(SECRET_BYTES)).decode().rstrip("=")
    key = Key(
        name=name, roles=tuple(roles), id=public, sha256=_hash(secret).hex(), placements=tuple(placements)
    )
    return f"{PREFIX}_{public}_{secret}", key


def parse_keys(text: str, where: str) -> tuple[Key, ...]:
    """Read a keys file (YAML). Raises CannotStart naming `where` and the defect."""
    try:
        content: Any = yaml.safe_load(text)
        keys = _KeysFile.model_validate(content).keys
    except yaml.YAMLError as error:
        raise CannotStart(f"{where}: not YAML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        raise CannotStart(f"{where}: {path or 'document'}: {first['msg']}") from None
    for key in keys:
        if (key.id is None) != (key.sha256 is None):
            raise CannotStart(f"{where}: key {key.name!r}: id and sha256 go together")
        if key.id is None and key.certificate is None:
            raise CannotStart(f"{where}: key {key.name!r}: needs id and sha256, or a certificate")
    for what in ("name", "id", "certificate"):
        values = [getattr(key, what) for key in keys if getattr(key, what) is not None]
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise CannotStart(f"{where}: {what} {twice!r} is used twice")
    return keys


class KeyRing:
    """The keys in force."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._by_id = {key.id: key for key in keys if key.id is not None}
        self._by_certificate = {key.certificate: key for key in keys if key.certificate is not None}

    def find(self, authorization: str | None, certificate: str | None) -> Key:
        """Return the key of a call: that of its `authorization` header, else that of its client certificate.

        Raises Unauthenticated, which says nothing about which half was wrong.
        """
        if authorization is not None:
            scheme, _, text = authorization.partition(" ")
            key = self._presented(text.strip()) if scheme.lower() == "bearer" else None
        else:
            key = self._by_certificate.get(certificate) if certificate is not None else None
        if key is None:
            raise Unauthenticated
        return key

    def _presented(self, text: str) -> Key | None:
        prefix, _, rest = text.partition("_")
        public, _, secret = rest.partition("_")
        key = self._by_id.get(public) if prefix == PREFIX else None
        expected = bytes.fromhex(key.sha256) if key is not None and key.sha256 is not None else bytes(32)
        # Compared whether or not there is such a key: the time taken says nothing.
        is_equal = hmac.compare_digest(_hash(secret), expected)
        return key if is_equal and key is not None else None


def check_role(key: Key, role: Role, call: str) -> None:
    """Raise Forbidden unless a key has a role."""
    if not key.allows(role):
        raise Forbidden(f"{call}: key {key.name!r} lacks the role {role.value}")


def check_placements(key: Key, placements: Iterable[str], call: str) -> None:
    """Raise Forbidden unless a key may speak of all these placements; an empty one means all there are."""
    if not key.placements:
        return
    for placement in placements:
        if placement not in key.placements:
            what = f"placement {placement!r}" if placement else "all placements at once"
            raise Forbidden(f"{call}: key {key.name!r} is not for {what}")


@dataclass
class Allowance:
    """A bucket that fills with `rate` calls a second and holds one second's worth, at least one."""

    rate: float
    left: float = 0.0
    at_s: float | None = None

    def take(self, now_s: float) -> bool:
        """Take one call out, if there is one. Time that goes back fills nothing."""
        most = max(self.rate, 1.0)
        if self.at_s is None:
            self.left = most
        else:
            self.left = min(most, self.left + max(now_s - self.at_s, 0.0) * self.rate)
        self.at_s = now_s
        if self.left < 1.0:
            return False
        self.left -= 1.0
        return True


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
