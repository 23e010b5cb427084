"""Addresses that expire: user-YYYYMMDDLL-key@domain is good for LL days from that day on.

    expiring.py make USER DAYS      a new one, without its domain
    expiring.py check               what RECIPIENT is: good ADDRESS, expired DATE, malformed or unknown

The key is a part of the HMAC of the rest.  The file SECRET has the secret; both variables come from the environment.
"""

import datetime as dt
import hashlib
import hmac
import os
import re
import sys
from pathlib import Path

_KEY_LETTERS = 10
_FORM = re.compile(r"(?P<user>[A-Za-z0-9._+]+)-(?P<date>[0-9]{8})(?P<days>[0-9]{2})-(?P<key>[0-9a-f]{10})")


def key(what: str) -> str:
    """The key of user-YYYYMMDDLL."""
    secret = Path(os.environ["SECRET"]).read_bytes()
    return hmac.new(secret, what.lower().encode(), hashlib.sha256).hexdigest()[:_KEY_LETTERS]


def make(user: str, days: int, today: dt.date) -> str:
    """An address without its domain."""
    what = f"{user}-{today:%Y%m%d}{days:02d}"
    return f"{what}-{key(what)}"


def check(address: str, today: dt.date) -> str:
    """What the address is."""
    local, _, domain = address.rpartition("@")
    found = _FORM.fullmatch(local.lower())
    if found is None:
        return "malformed"
    try:
        begin = dt.datetime.strptime(found["date"], "%Y%m%d").date()  # noqa: DTZ007  a day has no zone
    except ValueError:
        return "malformed"
    what = f"{found['user']}-{found['date']}{found['days']}"
    if not hmac.compare_digest(key(what), found["key"]):
        return "unknown"
    end = begin + dt.timedelta(days=int(found["days"]))
    return f"expired {end}" if today > end else f"good {found['user']}@{domain}"


def main() -> None:
    """Make, or check."""
    today = dt.datetime.now(dt.UTC).date()
    if sys.argv[1:2] == ["make"]:
        print(make(sys.argv[2], int(sys.argv[3]), today))
    else:
        print(check(os.environ["RECIPIENT"], today))


if __name__ == "__main__":
    main()
