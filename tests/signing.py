"""DKIM signatures, by dkimpy: made before a mail passes us, and verified afterwards."""

from __future__ import annotations

import dkim

_PUBLIC = (
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDFK1xCh86Xg7YfZvJobaHbk9wiENkpuI3h"
    "QUXklGgG6Nw9AEXJZRXESWMj+3joJfidFwjxpuITf+jSmA0h2w5GV+5dHeFD0eVGpI79teCF"
    "haZLAMxPWkd76kr06qt0VSKx8qEQLQhUsSBwnv2z5LXByC6GHhLV/MpVx1d/qiOPXQIDAQAB"
)
# Signs mails of these tests, and nothing else.
_PRIVATE = """\
-----BEGIN RSA PRIVATE KEY-----
MIICWwIBAAKBgQDFK1xCh86Xg7YfZvJobaHbk9wiENkpuI3hQUXklGgG6Nw9AEXJ
ZRXESWMj+3joJfidFwjxpuITf+jSmA0h2w5GV+5dHeFD0eVGpI79teCFhaZLAMxP
Wkd76kr06qt0VSKx8qEQLQhUsSBwnv2z5LXByC6GHhLV/MpVx1d/qiOPXQIDAQAB
AoGAK4PmWMigT9BB4axW07Veg5eefeY6B3sz1QMS6d/XFa9O7CejP0+P/kI0Hzzg
8ltvAzySPMMYIjWYrOHiBBbUj03i3l0AVRJgvKgz7fbVhumX02CqG9rjf9Aa5n3M
ghZP1FCmEcUaYd+l2IRoWCcDLftj4s40hJmuK74Dm/hrcAECQQD+5TNlku7UcUr+
h59eIlTKL8Pmr1EbfbzOUbf06EF43+8dIbiRXGqUJD5cL1waQSsXzv4Jd9/DqtpB
/Ziz9TY5AkEAxgYdQxcS9bRIhFG8vH7L7wZwlH54fjuuVmdH2ayLuxgYWP67qHum
QRinUYQ1iWfBwi5KBpl/CKYu2FYLR5uCRQJANmdtROzLlQRpYVJJLapeNpljUsVw
plF8Dv1aKie4cbg6LRmZb00uYlgqBzsEiYYHUJmZlyPC2tyIoTUjdqWL4QJACrMH
37kecCImjOexr+mV8TtC1/MhZYip+ccoza0R+7Dol95jm03bBMdlOvVOwzbU9D32
B/dBMuFvxIaZo2vWlQJAVsfPwUGv/yx8zUpMISxO0Lmk5khJlS0ysIOprjQlrGse
qBIlJCR2MFcIz5sq2l2ZwF/MYV3WjvtFtXwZ9U3WQA==
-----END RSA PRIVATE KEY-----
"""


def signed(mail: bytes) -> bytes:
    """The mail, whose lines end with CRLF, with a signature of its From:, To:, Subject: and body."""
    fields = [b"from", b"to", b"subject"]
    made: bytes = dkim.sign(mail, b"test", b"example.com", _PRIVATE.encode(), include_headers=fields)
    return made + mail


def is_genuine(mail: bytes) -> bool:
    """Whether the signature in the mail, whose lines end with CRLF, still holds."""
    record = f"v=DKIM1; k=rsa; p={_PUBLIC}".encode()
    return bool(dkim.verify(mail, dnsfunc=lambda *_, **__: record))
