"""Who may read the live server: the address it listens on, names that a request may give, tokens.

A page of another site can make a browser send requests here, and by DNS rebinding under a name of
its own, which then counts as the same site. The Host header shows the name, so only names that
nobody else can point here are accepted: addresses of this machine, and localhost.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
import socket

from hybridanim.errors import InputError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_HTTP_PORT = 80  # browsers leave it out
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?", re.ASCII)


def bound_address(text: str) -> Address:
    """The address to listen on; of a name, its first IPv4 address where it has one.

    Raises InputError for an empty text, which sockets take for all addresses, unknown names, and
    addresses of groups of machines (multicast, broadcast), which no browser can connect to.
    """
    if not text.strip():
        raise _no_address("nothing")
    found = _own(text) or _own(_looked_up(text))
    if found is None:
        raise _no_address(repr(text))
    if _is_of_many(found):
        raise _no_address(f"{text}, which stands for many machines")
    return found


def _looked_up(text: str) -> str:
    """The address of a name, IPv4 first."""
    try:
        found = socket.getaddrinfo(text, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _no_address(repr(text)) from error
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return str(found[0][4][0])


def _is_of_many(address: Address) -> bool:
    """Whether this is no single machine's; no packet is sent to find out."""
    if address.is_multicast or str(address) in ("255.255.255.255", "127.255.255.255"):
        return True
    if address.version == 6 or address.is_unspecified or address.is_loopback:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(address), 9))
        except PermissionError:  # the broadcast address of a network of this machine
            return True
        except OSError:
            return False
    return False


def _no_address(got: str) -> InputError:
    return InputError(
        f"--serve-address: expected an address of this machine, got {got}; choose 127.0.0.1 for"
        " this machine alone, or 0.0.0.0 for others of its network"
    )


def in_url(bound: Address) -> str:
    """The host part of a URL that this machine reaches the address by."""
    if bound.is_unspecified:
        return "127.0.0.1" if bound.version == 4 else "[::1]"
    return str(bound) if bound.version == 4 else f"[{bound}]"


def is_named(host: str, here: tuple[str, int], asked: str) -> bool:
    """Whether a Host header names this server.

    here: address and port of the connection on this side, which is one of the machine's own
    whatever the server listens on; asked: what the user gave as the address, perhaps a name.
    """
    found = _HOST.fullmatch(host.lower())
    if found is None:
        return False
    name, port = found[1].strip("[]"), int(found[2] or _HTTP_PORT)
    if port != here[1]:
        return False
    if name in ("localhost", asked.lower()):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address == _own(here[0].partition("%")[0])


def new_token() -> str:
    """A random path that cannot be guessed."""
    return secrets.token_urlsafe(16)


def is_below(path: str, root: str) -> bool:
    """Whether a path begins with the root, compared in constant time."""
    return hmac.compare_digest(path[: len(root)].encode(), root.encode())


def _own(text: str) -> Address | None:
    """The address that a text is, IPv4 where it is mapped into IPv6; None for other texts."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
