"""The formats of JSON schema, checked by other means than those that masks are made from."""

from __future__ import annotations

import ipaddress
import re
from calendar import isleap
from collections.abc import Callable
from urllib.parse import urlsplit

_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)
_TIME = re.compile(
    r"(\d\d):(\d\d):(\d\d)(\.\d+)?([zZ]|[+-](\d\d):(\d\d))",
    re.ASCII,
)
_DURATION = re.compile(
    r"P(?:\d+W|(?=[\dT])(?:\d+Y)?(?:\d+M)?(?:\d+D)?(?:T(?=\d)[\dHMS]+)?)", re.ASCII
)
_TIME_OF_DURATION = re.compile(r"(?:\d+H)?(?:\d+M)?(?:\d+S)?", re.ASCII)
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?:[!#$&-;=?-Z\[\]_a-z~]|%[0-9A-Fa-f]{2})*")
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def is_date(text: str) -> bool:
    found = _DATE.fullmatch(text)
    if found is None:
        return False
    year, month, day = map(int, found.groups())
    return (1 <= month <= 12 and 1 <= day <= _DAYS[month - 1] and (day, month) != (29, 2)) or (
        (day, month) == (29, 2) and isleap(year)
    )


def is_time(text: str) -> bool:
    """A second may be the sixtieth."""
    found = _TIME.fullmatch(text)
    if found is None:
        return False
    hour, minute, second, _, _, ahead, past = found.groups(default="0")
    return (
        int(hour) < 24
        and int(minute) < 60
        and int(second) <= 60
        and int(ahead) < 24
        and int(past) < 60
    )


def is_date_time(text: str) -> bool:
    return text[10:11] in ("T", "t") and is_date(text[:10]) and is_time(text[11:])


def is_duration(text: str) -> bool:
    if text == "P" or _DURATION.fullmatch(text) is None:
        return False
    _, mark, time = text.partition("T")
    return not mark or _TIME_OF_DURATION.fullmatch(time) is not None


def is_email(text: str) -> bool:
    """Something without spaces, an @, and a host's name or address."""
    before, mark, host = text.rpartition("@")
    literal = host.startswith("[") and host.endswith("]")
    return bool(mark and before) and not re.search(r"\s", before) and (literal or is_hostname(host))


def is_hostname(text: str) -> bool:
    return all(_LABEL.fullmatch(label) for label in text.split("."))


def is_ipv4(text: str) -> bool:
    return _parses(ipaddress.IPv4Address, text)


def is_ipv6(text: str) -> bool:
    return "%" not in text and _parses(ipaddress.IPv6Address, text)


def is_uuid(text: str) -> bool:
    return _UUID.fullmatch(text) is not None


def is_uri(text: str) -> bool:
    return _URI.fullmatch(text) is not None and _parses(urlsplit, text)


FORMATS: dict[str, Callable[[str], bool]] = {
    "date": is_date,
    "time": is_time,
    "date-time": is_date_time,
    "duration": is_duration,
    "email": is_email,
    "hostname": is_hostname,
    "ipv4": is_ipv4,
    "ipv6": is_ipv6,
    "uuid": is_uuid,
    "uri": is_uri,
}
"""By name: exactly those that masks enforce."""


def _parses(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True
