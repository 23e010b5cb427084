"""The milter protocol, version 6, without sockets: bytes in, events out; replies as bytes.

A packet is a length (four bytes, most significant first), a letter, and data.  Sendmail's libmilter documents the
letters; version 6 came with Sendmail 8.14.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

VERSION = 6
OLDEST = 2
LARGEST_PACKET_BYTES = 8 << 20
"""A header field may be long; a body comes in chunks of 64 KB."""
_LENGTH_BYTES = 4
_LARGEST_CHUNK_BYTES = 65535

# What a filter may do, if it has announced it (SMFIF_).
ADD_HEADERS, CHANGE_BODY, ADD_RECIPIENTS, DELETE_RECIPIENTS = 0x01, 0x02, 0x04, 0x08
CHANGE_HEADERS, QUARANTINE, CHANGE_SENDER = 0x10, 0x20, 0x40

# The steps that the mail server must not send, and those that it needs no reply to (SMFIP_).
NO_CONNECT, NO_HELO, NO_MAIL, NO_RECIPIENT, NO_BODY, NO_HEADERS, NO_END_OF_HEADERS = (
    0x01,
    0x02,
    0x04,
    0x08,
    0x10,
    0x20,
    0x40,
)
NO_REPLY_HEADER, NO_UNKNOWN, NO_DATA, SKIP_BODY, REJECTED_RECIPIENTS = 0x80, 0x100, 0x200, 0x400, 0x800
NO_REPLY_CONNECT, NO_REPLY_HELO, NO_REPLY_MAIL, NO_REPLY_RECIPIENT = 0x1000, 0x2000, 0x4000, 0x8000
NO_REPLY_DATA, NO_REPLY_UNKNOWN, NO_REPLY_END_OF_HEADERS, NO_REPLY_BODY = 0x10000, 0x20000, 0x40000, 0x80000


class ProtocolError(Exception):
    """The mail server does not follow the protocol; the caller closes the connection."""


@dataclass(frozen=True, slots=True)
class Negotiate:
    """What the mail server can do: version, actions and protocol steps."""

    version: int
    actions: int
    protocol: int


@dataclass(frozen=True, slots=True)
class Macros:
    """Values of macros for the command with that letter, which comes next."""

    command: bytes
    values: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Connect:
    """A client: its name, the family (`4`, `6`, `L` or `U`), and its address."""

    host: bytes
    family: bytes
    port: int
    address: bytes


@dataclass(frozen=True, slots=True)
class Helo:
    """The name that the client gave in HELO or EHLO."""

    name: bytes


@dataclass(frozen=True, slots=True)
class MailFrom:
    """A mail begins: the sender with its brackets, and the parameters of ESMTP."""

    sender: bytes
    parameters: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Recipient:
    """A recipient with its brackets, and the parameters of ESMTP."""

    address: bytes
    parameters: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Data:
    """The client wants to send the mail."""


@dataclass(frozen=True, slots=True)
class Header:
    """A header field; the value keeps its folds."""

    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class EndOfHeaders:
    """The header is complete."""


@dataclass(frozen=True, slots=True)
class Body:
    """A piece of the body, with CRLF."""

    chunk: bytes


@dataclass(frozen=True, slots=True)
class EndOfMessage:
    """The mail is complete; `chunk` is the last piece of the body, perhaps empty."""

    chunk: bytes


@dataclass(frozen=True, slots=True)
class Abort:
    """The mail is cancelled; the connection stays open.  There is no reply to this."""


@dataclass(frozen=True, slots=True)
class Quit:
    """The client leaves; with `again` the connection serves the next client.  There is no reply to this."""

    again: bool


@dataclass(frozen=True, slots=True)
class Unknown:
    """A command of the client that the mail server does not know."""

    line: bytes


Event: TypeAlias = (
    Negotiate
    | Macros
    | Connect
    | Helo
    | MailFrom
    | Recipient
    | Data
    | Header
    | EndOfHeaders
    | Body
    | EndOfMessage
    | Abort
    | Quit
    | Unknown
)


class Decoder:
    """Turns the bytes of one connection into events, whatever pieces they arrive in."""

    __slots__ = ("_buffer", "_largest")

    def __init__(self, largest_bytes: int = LARGEST_PACKET_BYTES) -> None:
        self._buffer = bytearray()
        self._largest = largest_bytes

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that are complete now.

        Raises:
            ProtocolError: a packet is empty or too large, has an unknown letter, or lacks a part.
        """
        self._buffer += data
        at = 0
        try:
            while len(self._buffer) - at >= _LENGTH_BYTES:
                length = int.from_bytes(self._buffer[at : at + _LENGTH_BYTES], "big")
                if not 0 < length <= self._largest:
                    raise ProtocolError(f"a packet of {length} bytes")
                end = at + _LENGTH_BYTES + length
                if len(self._buffer) < end:
                    break
                packet = bytes(memoryview(self._buffer)[at + _LENGTH_BYTES : end])
                at = end
                yield decode(packet)
        finally:
            del self._buffer[:at]


def decode(packet: bytes) -> Event:
    """The event of a packet without its length.

    Raises:
        ProtocolError: it is not a valid packet.
    """
    letter, data = packet[:1], packet[1:]
    if letter == b"B":
        return Body(data)
    if letter == b"L":
        name, value = _strings(data, 2)[:2]
        return Header(name, value)
    if letter == b"D":
        words = data[1:].split(b"\0")[:-1]
        return Macros(
            data[:1], {name.strip(b"{}"): value for name, value in zip(words[::2], words[1::2], strict=False)}
        )
    if letter == b"R":
        address, *parameters = _strings(data, 1)
        return Recipient(address, parameters)
    if letter == b"M":
        sender, *parameters = _strings(data, 1)
        return MailFrom(sender, parameters)
    if letter == b"C":
        return _connect(data)
    if letter == b"O":
        if len(data) < 12:
            raise ProtocolError("half a negotiation")
        return Negotiate(*struct.unpack(">III", data[:12]))
    if letter == b"H":
        return Helo(_strings(data, 1)[0])
    if letter == b"E":
        return EndOfMessage(data)
    if letter == b"U":
        return Unknown(data.removesuffix(b"\0"))
    event = _PLAIN.get(letter)
    if event is None:
        raise ProtocolError(f"an unknown command {letter!r}")
    return event


_PLAIN: Mapping[bytes, Event] = {
    b"T": Data(), b"N": EndOfHeaders(), b"A": Abort(), b"Q": Quit(False), b"K": Quit(True),
}  # fmt: skip


def _strings(data: bytes, least: int) -> list[bytes]:
    if not data.endswith(b"\0"):
        raise ProtocolError("a text without an end")
    words = data[:-1].split(b"\0")
    if len(words) < least:
        raise ProtocolError("a text is missing")
    return words


def _connect(data: bytes) -> Connect:
    host, end, rest = data.partition(b"\0")
    if not end or not rest:
        raise ProtocolError("half a connection")
    family = rest[:1]
    if family == b"U":
        return Connect(host, family, 0, b"")
    if len(rest) < 3:
        raise ProtocolError("a connection without a port")
    return Connect(host, family, int.from_bytes(rest[1:3], "big"), rest[3:].partition(b"\0")[0])


# -- replies ---------------------------------------------------------------------------------


def packet(letter: bytes, data: bytes = b"") -> bytes:
    """A packet to the mail server."""
    return struct.pack(">I", len(data) + 1) + letter + data


CONTINUE, ACCEPT, REJECT, TEMPFAIL, DISCARD = (packet(letter) for letter in (b"c", b"a", b"r", b"t", b"d"))
SKIP, PROGRESS = packet(b"s"), packet(b"p")


def negotiate(offer: Negotiate, actions: int, protocol: int) -> bytes:
    """Our answer to the offer: the actions and protocol steps that we choose from it.

    Raises:
        ProtocolError: the version is too old, or the offer lacks an action that we need.
    """
    if offer.version < OLDEST:
        raise ProtocolError(f"version {offer.version} of the protocol")
    if actions & ~offer.actions:
        raise ProtocolError("the mail server does not allow what the rules may do")
    return packet(b"O", struct.pack(">III", min(offer.version, VERSION), actions, protocol & offer.protocol))


def reply(text: bytes) -> bytes:
    """A reply with a text of ours, such as `550 5.7.1 Not here`."""
    return packet(b"y", text + b"\0")


def add_header(name: bytes, value: bytes) -> bytes:
    """Add a field at the end of the header."""
    return packet(b"h", name + b"\0" + value + b"\0")


def insert_header(index: int, name: bytes, value: bytes) -> bytes:
    """Insert a field before the one with that index, counted from 0."""
    return packet(b"i", struct.pack(">I", index) + name + b"\0" + value + b"\0")


def change_header(index: int, name: bytes, value: bytes) -> bytes:
    """Change the value of the field of that name with that number, counted from 1; an empty value removes it."""
    return packet(b"m", struct.pack(">I", index) + name + b"\0" + value + b"\0")


def replace_body(body: bytes) -> Iterator[bytes]:
    """Replace the body, in as many packets as needed."""
    for start in range(0, max(len(body), 1), _LARGEST_CHUNK_BYTES):
        yield packet(b"b", body[start : start + _LARGEST_CHUNK_BYTES])


def add_recipient(address: bytes) -> bytes:
    """Add a recipient."""
    return packet(b"+", address + b"\0")


def delete_recipient(address: bytes) -> bytes:
    """Remove a recipient."""
    return packet(b"-", address + b"\0")


def change_sender(address: bytes) -> bytes:
    """Change the envelope sender."""
    return packet(b"e", address + b"\0")


def quarantine(reason: bytes) -> bytes:
    """Hold the mail in the mail server's quarantine."""
    return packet(b"q", reason + b"\0")
