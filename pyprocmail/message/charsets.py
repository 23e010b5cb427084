"""Character sets: those of mail, and no other codec of Python's.

Only listed codecs are used: each is a character set and takes time in proportion to its text.  Python's others
compress, escape, encode names of hosts, or run for minutes.
"""

from __future__ import annotations

import encodings
from encodings.aliases import aliases

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_KNOWN = frozenset(
    [
        "ascii",
        "utf_8",
        "utf_7",
        "utf_16",
        "utf_16_be",
        "utf_16_le",
        "utf_32",
        "utf_32_be",
        "utf_32_le",
        "latin_1",
        "iso8859_1",
        "iso8859_2",
        "iso8859_3",
        "iso8859_4",
        "iso8859_5",
        "iso8859_6",
        "iso8859_7",
        "iso8859_8",
        "iso8859_9",
        "iso8859_10",
        "iso8859_11",
        "iso8859_13",
        "iso8859_14",
        "iso8859_15",
        "iso8859_16",
        "cp1250",
        "cp1251",
        "cp1252",
        "cp1253",
        "cp1254",
        "cp1255",
        "cp1256",
        "cp1257",
        "cp1258",
        "cp437",
        "cp720",
        "cp737",
        "cp775",
        "cp850",
        "cp852",
        "cp855",
        "cp856",
        "cp857",
        "cp858",
        "cp860",
        "cp861",
        "cp862",
        "cp863",
        "cp864",
        "cp865",
        "cp866",
        "cp869",
        "cp874",
        "cp1006",
        "cp1125",
        "koi8_r",
        "koi8_t",
        "koi8_u",
        "kz1048",
        "mac_cyrillic",
        "mac_greek",
        "mac_iceland",
        "mac_latin2",
        "mac_roman",
        "mac_turkish",
        "ptcp154",
        "tis_620",
        "hp_roman8",
        "gb2312",
        "gbk",
        "gb18030",
        "hz",
        "big5",
        "big5hkscs",
        "cp950",
        "euc_jp",
        "euc_jis_2004",
        "euc_jisx0213",
        "shift_jis",
        "shift_jis_2004",
        "shift_jisx0213",
        "cp932",
        "iso2022_jp",
        "iso2022_jp_1",
        "iso2022_jp_2",
        "iso2022_jp_2004",
        "iso2022_jp_3",
        "iso2022_jp_ext",
        "iso2022_kr",
        "euc_kr",
        "cp949",
        "johab",
    ]
)
_LONGEST = 40

_READ_AS = {
    "ascii": "",
    "latin_1": "cp1252",
    "iso8859_1": "cp1252",
    "iso8859_9": "cp1254",
    "iso8859_11": "cp874",
    "tis_620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "big5": "cp950",
}
"""The codec that mail readers use for a character set: it has more letters than the named one.  WHATWG Encoding."""
_OTHER_NAMES = {
    "unknown_8bit": "",
    "x_unknown": "",
    "8bit": "",
    "default_charset": "",
    "ks_c_5601_1987": "cp949",
    "ks_c_5601": "cp949",
    "windows_949": "cp949",
    "x_windows_949": "cp949",
    "x_sjis": "cp932",
    "windows_31j": "cp932",
    "x_euc_jp": "euc_jp",
    "x_gbk": "gb18030",
    "x_big5": "cp950",
    "big5_hkscs": "big5hkscs",
    "windows_874": "cp874",
    "dos_874": "cp874",
    "x_cp1250": "cp1250",
    "x_cp1251": "cp1251",
    "x_cp1252": "cp1252",
    "ansi": "cp1252",
    "iso_8859_8_i": "iso8859_8",
    "iso_8859_8_e": "iso8859_8",
    "iso_8859_6_i": "iso8859_6",
    "x_mac_roman": "mac_roman",
    "macintosh": "mac_roman",
    "x_mac_cyrillic": "mac_cyrillic",
    "unicode_1_1_utf_7": "utf_7",
    "utf8mb4": "utf_8",
    "koi8": "koi8_r",
}
_OTHER_STATES = frozenset(
    ["utf_7", "utf_16", "utf_16_be", "utf_16_le", "utf_32", "utf_32_be", "utf_32_le", "hz", "johab"]
)
"""Codecs in which ASCII bytes may mean something else; the same is true of ISO 2022."""


def find(name: str) -> str | None:
    """The codec of the character set `name`, in any spelling; None if it is not a character set of mail."""
    if len(name) > _LONGEST or not name.isascii():
        return None
    plain = encodings.normalize_encoding(name).lower()
    codec = aliases.get(plain) or aliases.get(plain.replace(".", "_")) or plain
    return codec if codec in _KNOWN else None


def of_locale(environ: Mapping[bytes, bytes]) -> bytes:
    """The character set that the locale names, in capitals; US-ASCII without one."""
    locale = next((value for name in (b"LC_ALL", b"LC_CTYPE", b"LANG") if (value := environ.get(name))), b"")
    charset = locale.partition(b".")[2].partition(b"@")[0].upper()
    return (b"UTF-8" if charset == b"UTF8" else charset) or b"US-ASCII"


def to_utf8(text: bytes, name: str) -> bytes | None:
    """The text in UTF-8, without bytes that are invalid in the character set `name`; None if that is unknown."""
    codec = find(name)
    if codec is None:
        return None
    try:
        return text.decode(codec, "ignore").encode("utf-8", "ignore")
    except (LookupError, UnicodeError):
        return None


def decode(text: bytes, name: bytes) -> str:
    """The text as a mail reader shows it, with U+FFFD for invalid bytes; `guess` if the character set is unknown."""
    codec = _reader_codec(name)
    if not codec:
        return guess(text)
    if text.isascii() and codec not in _OTHER_STATES and not codec.startswith("iso2022"):
        return text.decode("ascii")
    try:
        return text.decode(codec, "replace")
    except (LookupError, UnicodeError):
        return guess(text)


def guess(text: bytes, name: bytes = b"") -> str:
    """8-bit text without a character set: UTF-8 if it is valid, else the character set `name`, else Windows-1252."""
    if text.isascii():
        return text.decode("ascii")
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode(_reader_codec(name) or "cp1252", "replace")


def _reader_codec(name: bytes) -> str:
    """The codec that mail readers use for a character set; empty if there is none, as for ASCII."""
    if not name.isascii() or len(name) > _LONGEST:
        return ""
    plain = encodings.normalize_encoding(name.decode("ascii").strip("\"' \t")).lower()
    known = _OTHER_NAMES.get(plain)
    if known is None:
        codec = find(plain) or ""
        known = _READ_AS.get(codec, codec)
    return known


def load() -> None:
    """Import all of them, before the process gives up the right to import."""
    import codecs

    for name in _KNOWN:
        try:
            codecs.lookup(name)
        except LookupError:
            continue  # this Python was built without it
