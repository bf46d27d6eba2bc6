"""Keys that open the service: kept as hashes, each with a role.

A file (or the variable MAMDR_KEYS) has a line for each key, `ROLE NAME SHA256`; # begins a comment. A key is drawn at
random from 2^256, so that its plain hash gives nothing away and comparing costs microseconds.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mamdr.errors import ConfigError

Role = Literal["reader", "admin"]
VARIABLE = "MAMDR_KEYS"
SHORTEST = 32  # signs that a key made elsewhere must have
_LINE = re.compile(r"(reader|admin) ([A-Za-z0-9._-]{1,40}) ([0-9a-f]{64})")


@dataclass(frozen=True)
class Caller:
    """Who asks. An admin may do what a reader may."""

    name: str
    role: Role


ANYONE = Caller("anyone", "admin")
"""The caller of a service without keys, which listens on this machine alone."""


class Keys:
    """The keys of a service.

    Args:
        by_hash: SHA-256 of a key -> whose it is; empty lets everybody in.
    """

    def __init__(self, by_hash: Mapping[str, Caller]) -> None:
        self._by_hash = dict(by_hash)

    def __len__(self) -> int:
        return len(self._by_hash)

    @classmethod
    def load(cls, file: Path | None, environment: Mapping[str, str] | None = None) -> Keys:
        """Keys from a file, or else from the environment.

        Raises: ConfigError for a file that is absent, or a line that is none of a key.
        """
        source, text = VARIABLE, (environment or os.environ).get(VARIABLE, "")
        if file is not None:
            source = str(file)
            try:
                text = file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(
                    f"cannot read the keys in {file}", "a text file", "Make one with `mamdr keys`"
                ) from error
        found: dict[str, Caller] = {}
        for number, line in enumerate(re.split(r"[\n;]", text), start=1):
            said = line.split("#", 1)[0].strip()
            if not said:
                continue
            match = _LINE.fullmatch(said)
            if match is None:
                raise ConfigError(
                    f"line {number} of {source} is no key", "ROLE NAME SHA256", "Make lines with `mamdr keys`"
                )
            role: Role = "admin" if match[1] == "admin" else "reader"
            found[match[3]] = Caller(match[2], role)
        return cls(found)

    def caller(self, authorization: str | None) -> Caller | None:
        """Whose key a request carries in its Authorization header; None for none or a wrong one."""
        if not self._by_hash:
            return ANYONE
        kind, _, key = (authorization or "").partition(" ")
        if kind.lower() != "bearer" or not key:
            return None
        return self._by_hash.get(digest(key.strip()))


def digest(key: str) -> str:
    """The hash by which a key is kept."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def make_key() -> str:
    """A new key."""
    return secrets.token_urlsafe(32)


def line(role: Role, name: str, key: str) -> str:
    """A key's line in the file.

    Raises: ConfigError for a name of other signs, or a key that is too short.
    """
    if len(key) < SHORTEST:
        raise ConfigError(
            f"a key of {len(key)} signs", f"{SHORTEST} or more, drawn at random", "Let `mamdr keys` draw one"
        )
    said = f"{role} {name} {digest(key)}"
    if not _LINE.fullmatch(said):
        raise ConfigError(f"the name {name!r}", "letters, digits, . _ and -", "Give another name")
    return said


def check_open(keys: Keys, host: str) -> None:
    """Raise ConfigError for a service without keys that others than this machine could reach."""
    if len(keys):
        return
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    if not local:
        raise ConfigError(
            f"no keys, and --host {host} lets other machines in",
            "keys, or an address of this machine alone",
            f"Make a key with `mamdr keys` and name the file with --keys (or set {VARIABLE})",
        )
