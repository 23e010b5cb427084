"""`scan`: asks clamd about the mail.  If clamd cannot be asked, the result is never "clean".  clamd(8), INSTREAM."""

from __future__ import annotations

from pyprocmail.exits import EX_OK, EX_TEMPFAIL, in_one_line
from pyprocmail.message import header
from pyprocmail.tools.mime.mail import TroubleError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyprocmail.host import Host
    from pyprocmail.tools.mime.mail import Mail
    from pyprocmail.tools.mime.options import Options

SOCKET = b"/run/clamav/clamd.ctl"
INFECTED = 1
_TIMEOUT_S = 120
_CHUNK = 1 << 17
_LONGEST_ANSWER = 4096
_FIELD = b"X-Virus-Status"


def scan(host: Host, mail: Mail, given: Options) -> int:
    """Ask clamd; the exit status is 0, 1 or 75.

    With --mark the mail is written with the answer in a header field, which replaces any such field that the mail
    already has, and the status is 0 for an infected mail as well.
    """
    address = given.text(b"socket", SOCKET)
    try:
        answer = _ask(host, address, mail.message.data, given.number(b"timeout", _TIMEOUT_S))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else in_one_line(error)
        raise TroubleError(b"cannot ask clamd at %b: %b" % (address, why.encode())) from error
    name = answer.removesuffix(b" FOUND").partition(b": ")[2]
    if answer.endswith(b": OK"):
        found = b"clean"
    elif answer.endswith(b" FOUND") and name:
        found = b"infected; " + name
        mail.note(b"infected: " + name)
    else:
        raise TroubleError(b"clamd says: " + answer)
    if b"mark" not in given.flags:
        return EX_OK if found == b"clean" else INFECTED
    _mark(mail, found)
    return EX_OK


def _ask(host: Host, address: bytes, data: bytes, seconds: float) -> bytes:
    """clamd's answer about a mail, on one line."""
    stream = host.stream(address, seconds)
    try:
        try:
            stream.sendall(b"zINSTREAM\0")
            view = memoryview(data)
            for at in range(0, len(view), _CHUNK):
                piece = view[at : at + _CHUNK]
                stream.sendall(len(piece).to_bytes(4, "big"))
                stream.sendall(piece)
            stream.sendall(bytes(4))
        except (BrokenPipeError, ConnectionResetError):
            pass  # clamd stopped reading, and its answer is the reason
        answer = bytearray()
        while len(answer) < _LONGEST_ANSWER and b"\0" not in answer:
            piece_back = stream.recv(_LONGEST_ANSWER)
            if not piece_back:
                break
            answer += piece_back
    finally:
        stream.close()
    text = bytes(answer).partition(b"\0")[0].strip()
    return bytes(byte if 0x20 <= byte < 0x7F else 0x3F for byte in text)


def _mark(mail: Mail, found: bytes) -> None:
    message = mail.message
    head, newline = message.head, mail.newline
    stop = head.rstrip(b"\r\n")
    out = bytearray()
    for field in header.fields(stop):
        if field.partition(b":")[0].strip().lower() != _FIELD.lower():
            out += field + b"\n"
    out += _FIELD + b": " + found + newline
    rest = head[len(stop) :]
    mail.write(bytes(out) + (rest[rest.find(b"\n") + 1 :] if rest else newline))
    mail.write(message.data[message.split :])


__all__ = ["EX_TEMPFAIL", "INFECTED", "SOCKET", "scan"]
