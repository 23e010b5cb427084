"""`encrypt`, `decrypt`, `sign` and `verify` with GnuPG, through python-gnupg.  RFC 3156, OpenPGP/MIME.

The header fields about the body move into the signed or encrypted part, and come back from there.  So a mail that is
encrypted and decrypted again is the same if these fields are adjacent.
"""

from __future__ import annotations

import os
import secrets
import tempfile

from pyprocmail.exits import EX_OK, EX_TEMPFAIL, EX_USAGE, in_one_line
from pyprocmail.message.model import Message, end_of_header
from pyprocmail.tools.mime.mail import TroubleError, entity_fields, is_protected

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyprocmail.host import Host
    from pyprocmail.message.structure import Part
    from pyprocmail.tools.mime.mail import Mail
    from pyprocmail.tools.mime.options import Options

BAD = 1
"""Exit status: there is no signature, or it is not good."""
_HASHES = {
    "1": b"md5",
    "2": b"sha1",
    "3": b"ripemd160",
    "8": b"sha256",
    "9": b"sha384",
    "10": b"sha512",
    "11": b"sha224",
}
_FIELD = b"X-PGP-Signature"


def _gnupg(mail: Mail, given: Options) -> Any:
    """python-gnupg with the keys of --home or of the caller."""
    try:
        import gnupg  # type: ignore[import-untyped]  # the package has no types
    except ImportError:
        raise TroubleError(b"python-gnupg is not installed: pip install 'pyprocmail[gpg]'") from None
    home = given.text(b"home") or mail.environment.get(b"GNUPGHOME", b"")
    try:
        return gnupg.GPG(gnupghome=os.fsdecode(home) or None)
    except (OSError, ValueError, RuntimeError) as error:
        raise TroubleError(b"gpg: " + in_one_line(error).encode(errors="replace")) from error


def _said(result: Any) -> bytes:
    """The message of gpg, on one line."""
    text = str(result.status or "") or str(result.stderr or "").strip().rpartition("\n")[2] or "no answer"
    return b"gpg: " + text.encode("utf-8", "replace")


def _entity(mail: Mail) -> tuple[bytes, bytes, bytes, bytes]:
    """The header before the fields about the body, these fields, the header after them, and the body."""
    message = mail.message
    before, entity, after = entity_fields(message.head)
    if not message.head.endswith((b"\n\n", b"\n\r\n")) and message.head not in (b"\n", b"\r\n"):
        # The mail has no empty line after its header.
        after += mail.newline
    return before, entity, after, message.data[message.split :]


def encrypt(_host: Host, mail: Mail, given: Options) -> int:
    """The mail as multipart/encrypted, for the keys of --to; its Subject and addresses stay readable."""
    if not given.texts.get(b"to"):
        raise TroubleError(b"--to KEY is missing", EX_USAGE)
    if is_protected(mail.root) and mail.root.kind == b"multipart/encrypted":
        mail.change([])
        return EX_OK
    before, entity, after, body = _entity(mail)
    newline = mail.newline
    result = _gnupg(mail, given).encrypt(
        entity + newline + body,
        [one.decode("utf-8", "replace") for one in given.texts[b"to"]],
        sign=(given.text(b"key").decode() or True) if b"sign" in given.flags else None,
        always_trust=b"always-trust" in given.flags,
        armor=True,
    )
    if not result.ok:
        raise TroubleError(_said(result))
    mark = _boundary(result.data)
    text = (
        b'MIME-Version: 1.0\nContent-Type: multipart/encrypted; protocol="application/pgp-encrypted";\n'
        b' boundary="%b"\n' % mark
    )
    parts = (
        b"--%b\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n\n"
        b"--%b\nContent-Type: application/octet-stream\n\n%b\n--%b--\n" % (mark, mark, result.data.rstrip(b"\n"), mark)
    )
    mail.write(_line(before, newline) + text.replace(b"\n", newline) + _rest(after, newline))
    mail.write(parts.replace(b"\r\n", b"\n").replace(b"\n", newline))
    return EX_OK


def decrypt(_host: Host, mail: Mail, given: Options) -> int:
    """Replace the encrypted part by its content; a mail that is not encrypted is unchanged."""
    root = mail.root
    if root.kind != b"multipart/encrypted" or len(root.children) < 2:
        mail.change([])
        return EX_OK
    result = _gnupg(mail, given).decrypt(root.children[1].raw)
    if not result.ok:
        raise TroubleError(_said(result))
    inner = Message(result.data, _head_of(result.data))
    before, _, after = entity_fields(mail.message.head)
    fields = inner.head.rstrip(b"\r\n")
    mail.write(_line(before, mail.newline) + (fields + mail.newline if fields else b"") + _rest(after, mail.newline))
    mail.write(inner.body)
    return EX_OK


def sign(_host: Host, mail: Mail, given: Options) -> int:
    """The mail as multipart/signed."""
    before, entity, after, body = _entity(mail)
    newline = mail.newline
    version = b"".join(line for line in _fields(entity) if line.lower().startswith(b"mime-version"))
    content = b"".join(line for line in _fields(entity) if not line.lower().startswith(b"mime-version"))
    # The newline before the boundary is not part of the signed text, whose lines end with CR LF.
    signed = (content or b"Content-Type: text/plain" + newline) + newline + body.removesuffix(newline)
    canonical = signed.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    key = given.text(b"key").decode("utf-8", "replace")
    result = _gnupg(mail, given).sign(canonical, keyid=key or None, detach=True, clearsign=False, binary=False)
    if not result.data:
        raise TroubleError(_said(result))
    mark = _boundary(signed)
    text = (
        b'Content-Type: multipart/signed; micalg=pgp-%b;\n protocol="application/pgp-signature";\n boundary="%b"\n'
        % (_HASHES.get(str(result.hash_algo), b"sha256"), mark)
    )
    tail = (
        b'\n--%b\nContent-Type: application/pgp-signature; name="signature.asc"\n'
        b"Content-Description: OpenPGP digital signature\n\n%b\n--%b--\n" % (mark, result.data.rstrip(b"\n"), mark)
    )
    head = _line(before, newline) + (version or b"MIME-Version: 1.0" + newline) + text.replace(b"\n", newline)
    mail.write(head + _rest(after, newline) + b"--" + mark + newline + signed)
    mail.write(tail.replace(b"\r\n", b"\n").replace(b"\n", newline))
    return EX_OK


def verify(host: Host, mail: Mail, given: Options) -> int:
    """Whether the mail is signed and the signature is good: the exit status is 0 or 1.

    With --mark the mail is written with the result in a header field, and the status is 0.
    """
    root = mail.root
    found = b"none"
    if root.kind == b"multipart/signed" and len(root.children) == 2:
        found = _verified(host, mail, given, root.children[0], root.children[1])
    mail.note(found)
    if b"mark" not in given.flags:
        return EX_OK if found.startswith(b"good") else BAD
    head, newline = mail.message.head, mail.newline
    kept = [line for line in _fields(head.rstrip(b"\r\n")) if not line.lower().startswith(_FIELD.lower() + b":")]
    mail.write(_line(b"".join(kept), newline) + _FIELD + b": " + found + newline + newline)
    mail.write(mail.message.data[mail.message.split :])
    return EX_OK


def _verified(host: Host, mail: Mail, given: Options, content: Part, signature: Part) -> bytes:
    data = mail.message.data[content.begin : content.end]
    canonical = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    handle, path = tempfile.mkstemp(prefix="pyprocmail-mime.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(signature.raw)
        result = _gnupg(mail, given).verify_data(path, canonical)
    finally:
        host.unlink(os.fsencode(path))
    if result.valid:
        who = f"good; {result.fingerprint}; {result.username}"
        return who.encode("ascii", "replace").replace(b"\n", b" ")
    if result.key_id and "NO_PUBKEY" in str(result.stderr):
        return b"unknown key " + str(result.key_id).encode()
    return b"bad"


def _fields(entity: bytes) -> list[bytes]:
    out: list[bytes] = []
    for line in entity.splitlines(keepends=True):
        if line[:1] in (b" ", b"\t") and out:
            out[-1] += line
        else:
            out.append(line)
    return out


def _head_of(entity: bytes) -> int:
    """The offset of the body of an entity, which may have no header field."""
    for empty in (b"\n", b"\r\n"):
        if entity.startswith(empty):
            return len(empty)
    return end_of_header(entity)


def _line(text: bytes, newline: bytes) -> bytes:
    return text if not text or text.endswith(b"\n") else text + newline


def _rest(after: bytes, newline: bytes) -> bytes:
    """The fields that follow, with the empty line."""
    return after or newline


def _boundary(data: bytes) -> bytes:
    while True:
        mark = b"=_pgp_" + secrets.token_hex(12).encode()
        if mark not in data:
            return mark


COMMANDS: dict[bytes, Callable[[Host, Mail, Options], int]] = {
    b"encrypt": encrypt,
    b"decrypt": decrypt,
    b"sign": sign,
    b"verify": verify,
}

__all__ = ["BAD", "COMMANDS", "EX_TEMPFAIL"]
