"""The codec of the milter protocol beside a second one, kilter.protocol: each reads what the other writes."""

from __future__ import annotations

import struct
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st
from kilter.protocol import messages as kilter
from kilter.protocol.buffer import SimpleBuffer

from pyprocmail.servers.milter import codec

NAME = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=20).filter(lambda name: not name.startswith("-"))
TEXT = st.binary(max_size=40).map(lambda data: data.replace(b"\0", b""))
WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40).map(str.encode)
HOST = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=20)
NUMBER = st.integers(0, 2**32 - 1)

FROM_SERVER = st.one_of(
    st.builds(kilter.Header, NAME, TEXT),
    st.builds(kilter.Body, st.binary(min_size=1, max_size=300)),
    st.builds(kilter.EndOfMessage, st.binary(max_size=30)),
    st.builds(kilter.EnvelopeRecipient, TEXT, st.lists(TEXT, max_size=3)),
    st.builds(kilter.EnvelopeFrom, TEXT, st.lists(TEXT, max_size=3)),
    st.builds(kilter.Helo, HOST),
    st.builds(kilter.Connect, HOST, st.ip_addresses(), st.integers(0, 65535)),
    st.builds(kilter.Macro, st.sampled_from(list(b"CHMRE")), st.dictionaries(NAME, NAME, max_size=4)),
    st.builds(kilter.Unknown, NAME.map(str.encode)),
    st.sampled_from([kilter.Data(), kilter.EndOfHeaders(), kilter.Abort(), kilter.Close()]),
    st.builds(
        lambda actions, protocol: kilter.Negotiate(6, kilter.ActionFlags(actions), kilter.ProtocolFlags(protocol)),
        st.integers(0, 0x1FF),
        st.integers(0, 0x1FFFFF),
    ),
)


def ours(message: kilter.Message) -> codec.Event:
    """The message in our words."""
    match message:
        case kilter.Header(name=name, value=value):
            return codec.Header(name.encode(), bytes(value))
        case kilter.Body(content=content):
            return codec.Body(bytes(content))
        case kilter.EndOfMessage(content=content):
            return codec.EndOfMessage(bytes(content))
        case kilter.EnvelopeRecipient(recipient=address, arguments=words):
            return codec.Recipient(bytes(address), [bytes(word) for word in words])
        case kilter.EnvelopeFrom(sender=address, arguments=words):
            return codec.MailFrom(bytes(address), [bytes(word) for word in words])
        case kilter.Helo(hostname=name):
            return codec.Helo(name.encode())
        case kilter.Connect(hostname=name, address=address, port=port):
            family = b"4" if ip_address(str(address)).version == 4 else b"6"
            return codec.Connect(name.encode(), family, port, str(address).encode())
        case kilter.Macro(stage=stage, macros=values):
            return codec.Macros(bytes([stage]), {name.encode(): value.encode() for name, value in values.items()})
        case kilter.Unknown(content=content):
            return codec.Unknown(bytes(content))
        case kilter.Negotiate():
            return codec.Negotiate(message.version, int(message.action_flags), int(message.protocol_flags))
    plain: dict[type[kilter.Message], codec.Event] = {
        kilter.Data: codec.Data(), kilter.EndOfHeaders: codec.EndOfHeaders(), kilter.Abort: codec.Abort(),
        kilter.Close: codec.Quit(False),
    }  # fmt: skip
    return plain[type(message)]


@given(FROM_SERVER)
def test_what_a_mail_server_says(message: kilter.Message) -> None:
    """kilter writes it, we read it."""
    buffer = SimpleBuffer(4096)
    message.pack(buffer)
    assert list(codec.Decoder().feed(buffer[:].tobytes())) == [ours(message)]


def seen(packets: bytes) -> list[kilter.Message]:
    """What kilter reads in our packets."""
    found = []
    while packets:
        buffer = SimpleBuffer(1 << 20)
        buffer[:] = packets
        message, size = kilter.Message.unpack(buffer)
        message.freeze()
        found.append(message)
        packets = packets[size:]
    return found


@given(NAME, TEXT, NUMBER)
def test_what_we_say_of_a_header(name: str, value: bytes, index: int) -> None:
    """We write it, kilter reads it."""
    field = name.encode()
    assert seen(codec.add_header(field, value)) == [kilter.AddHeader(name, value)]
    assert seen(codec.insert_header(index, field, value)) == [kilter.InsertHeader(index, name, value)]
    assert seen(codec.change_header(index, field, value)) == [kilter.ChangeHeader(index, name, value)]


@given(WORDS, st.binary(min_size=1, max_size=200_000))
def test_what_else_we_say(words: bytes, body: bytes) -> None:
    """Envelope, quarantine and body."""
    text = words.decode()
    assert seen(codec.add_recipient(words)) == [kilter.AddRecipient(text)]
    assert seen(codec.delete_recipient(words)) == [kilter.RemoveRecipient(text)]
    assert seen(codec.change_sender(words)) == [kilter.ChangeSender(text)]
    assert seen(codec.quarantine(words)) == [kilter.Quarantine(text)]
    assert (
        b"".join(
            bytes(one.content)
            for one in seen(b"".join(codec.replace_body(body)))
            if isinstance(one, kilter.ReplaceBody)
        )
        == body
    )


def test_the_short_replies() -> None:
    """Each a packet of one letter."""
    written = (
        codec.CONTINUE + codec.ACCEPT + codec.REJECT + codec.TEMPFAIL + codec.DISCARD + codec.SKIP + codec.PROGRESS
    )
    assert [type(one) for one in seen(written)] == [
        kilter.Continue, kilter.Accept, kilter.Reject, kilter.TemporaryFailure, kilter.Discard, kilter.Skip,
        kilter.Progress,
    ]  # fmt: skip
    (negotiated,) = seen(codec.negotiate(codec.Negotiate(6, 0x1FF, 0x1FFFFF), codec.ADD_HEADERS, codec.NO_HELO))
    assert isinstance(negotiated, kilter.Negotiate)
    assert (negotiated.version, int(negotiated.action_flags), int(negotiated.protocol_flags)) == (6, 1, 2)
    assert struct.unpack(">I", codec.CONTINUE[:4]) == (1,)
