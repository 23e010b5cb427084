"""`pyprocmail mime`: what it changes, and that every other byte stays what it was."""

from __future__ import annotations

import base64
import email
import os
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from clamd import Clamd
from conftest import ROOT
from decoded import messages
from hypothesis import given
from hypothesis import strategies as st

from pyprocmail.host import Host
from pyprocmail.message.model import Message
from pyprocmail.tools import mime
from pyprocmail.tools.mime import mail as mails
from pyprocmail.tools.mime import packing
from pyprocmail.tools.mime.files import safe_name

PDF = b"%PDF-1.4 " + bytes(range(256)) * 8
ENCODED = base64.encodebytes(PDF)
MAIL = (
    b"From a@b Thu Jan  1 00:00:00 2026\nFrom: a@b.example\nSubject: a mail\nMIME-Version: 1.0\n"
    b'Content-Type: multipart/mixed;\n\tboundary="=_b"\nX-Last: yes\n\npreamble\n--=_b\n'
    b"Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nGr=FC=DFe =\nbye\n"
    b"--=_b\nContent-Type: text/html; charset=utf-8\n\n<html><BODY>hi</BODY></html>\n--=_b\n"
    b"Content-Type: application/pdf\nContent-Disposition: attachment; filename*=utf-8''M%C3%A4rz.pdf\n"
    b"Content-Transfer-Encoding: base64\n\n" + ENCODED + b"--=_b--\nepilogue\n"
)
PLAIN = b"From: a@b.example\nSubject: x\n\none\ntwo\n"
SIGNED = (
    b"From: a@b.example\nMIME-Version: 1.0\nContent-Type: multipart/signed; boundary=s; protocol=x; micalg=y\n\n--s\n"
    b"Content-Type: multipart/mixed; boundary=m\n\n--m\n\ntext\n--m\nContent-Type: application/pdf; name=a.pdf\n\nx\n"
    b"--m--\n--s\nContent-Type: application/pgp-signature\n\nxx\n--s--\n"
)

Mime = Callable[..., bytes]


def mime_of(*words: str | Path, data: bytes = MAIL, expect: int = 0, said: list[bytes] | None = None) -> bytes:
    """What `pyprocmail mime` writes."""
    out: list[bytes] = []
    source = BytesIO(data)
    argv = [b"pyprocmail", b"mime", *(os.fsencode(word) for word in words)]
    notes: list[bytes] = [] if said is None else said
    status = mime.run(Host(), argv, os.environb, source.read, out.append, notes.append)
    assert status == expect, notes
    return b"".join(out)


def bodies(mail: bytes) -> list[bytes]:
    """The decoded bodies of the parts, as the standard library has them."""
    return [
        bytes(part.get_payload(decode=True))
        for part in email.message_from_bytes(mail).walk()
        if not part.is_multipart()
    ]


def crlf(data: bytes) -> bytes:
    """The mail as it comes from a network."""
    return data.replace(b"\n", b"\r\n")


# -- looking -------------------------------------------------------------------------------------


def test_list() -> None:
    """A line for each part."""
    assert mime_of("list").decode().splitlines() == [
        f"1\tmultipart/mixed\t{len(Message(MAIL).body)}",
        "1.1\ttext/plain\t9",
        "1.2\ttext/html\t28",
        f"1.3\tapplication/pdf\t{len(PDF)}\tMärz.pdf",
    ]
    assert mime_of("list", "--type", "text/*", "--larger", "10").count(b"\n") == 1


def test_headers() -> None:
    """As they stand, and decoded."""
    mail = b"Subject: =?utf-8?q?=C3=A4?=\n =?utf-8?q?b?=\n\nx"
    assert mime_of("headers", data=mail) == mail[:-1]
    assert mime_of("headers", "--decode", data=mail) == "Subject: äb\n".encode()


@pytest.mark.parametrize("words", ["nothing", "", "strip --no", "strip --larger x", "footer", "list x"])
def test_usage(words: str) -> None:
    """What cannot be understood is 64, and no mail is written."""
    assert mime_of(*words.split(), expect=64) == b""


# -- taking out ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", [bytes, crlf])
def test_extract(tmp_path: Path, ends: Callable[[bytes], bytes]) -> None:
    """The bytes of the attachment, in a file of its name; a second one of the name gets a number."""
    for number in ("", "-1", "-2"):
        path = tmp_path / f"März{number}.pdf"
        assert mime_of("extract", "--dir", tmp_path, data=ends(MAIL)) == os.fsencode(path) + b"\n"
        assert path.read_bytes() == PDF
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("..", "part.pdf"),
        (".bashrc", "bashrc"),
        ("-rf", "rf"),
        ("C:\\x\\a b.exe", "a b.exe"),
        ("a\\0b|c;d`e$f\x1b[1m", "0b_c_d_e_f _1m"),
        ("con.txt", "_con.txt"),
        ("x" * 300 + ".pdf", "x" * 196 + ".pdf"),
        ("", "part.pdf"),
    ],
)
def test_safe_names(name: str, safe: str) -> None:
    """No name leads out of the folder, hides, is an option or speaks to a terminal."""
    value = name.replace("\\", "\\\\")
    data = f'Content-Type: application/pdf; name="{value}"\n\nx'.encode()
    written: list[bytes] = []
    mail = mails.Mail(Message(data), {}, written.append, written.append)
    assert safe_name(mail.root) == safe


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """A link of the name is a file that is there."""
    (tmp_path / "März.pdf").symlink_to(tmp_path / "elsewhere")
    assert mime_of("extract", "--dir", tmp_path).endswith("März-1.pdf\n".encode())
    assert not (tmp_path / "elsewhere").exists()


def test_no_folder_is_for_later() -> None:
    """75, and the mail server tries again."""
    mime_of("extract", "--dir", "/no/such/folder", expect=75)


@pytest.mark.parametrize("ends", [bytes, crlf])
def test_strip(ends: Callable[[bytes], bytes]) -> None:
    """A note stands where the attachment was, and nothing else has changed."""
    data = ends(MAIL)
    found = mime_of("strip", "--type", "application/*", "--larger", "1000", data=data)
    note = f"[ An attachment was removed here: März.pdf (application/pdf, {len(PDF)} bytes) ]".encode()
    fields = b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n"
    at = data.index(b"Content-Type: application/pdf")
    end = data.rindex(ends(b"\n--=_b--"))
    assert found == data[:at] + ends(fields) + note + data[end:]
    assert mime_of("strip", "--name", "*.doc", data=data) == data


def test_strip_a_mail_that_is_an_attachment() -> None:
    """The other fields of the header stay."""
    data = b"From: a@b\nContent-Type: application/zip; name=x.zip\nX: y\n\nPK\n"
    found = mime_of("strip", "--note", "no {name} of {size}", data=data)
    assert found == (
        b"From: a@b\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
        b"Content-Transfer-Encoding: 8bit\nX: y\n\nno x.zip of 3\n"
    )


@pytest.mark.parametrize("words", [["strip"], ["footer", "--text", "{footer}"], ["compress"], ["decompress"]])
def test_what_is_signed_is_left_alone(tmp_path: Path, words: list[str]) -> None:
    """Not a byte, unless told otherwise."""
    (tmp_path / "footer").write_text("footer\n")
    words = [word.replace("{footer}", str(tmp_path / "footer")) for word in words]
    assert mime_of(*words, data=SIGNED) == SIGNED
    if words[0] in ("strip", "footer"):
        assert mime_of(*words, "--signed", data=SIGNED) != SIGNED


def test_nothing_to_do_changes_nothing() -> None:
    """200 real mails: every command that finds nothing writes the mail as it came."""
    for data in messages((ROOT / "examples" / "inbox.mbox").read_bytes()):
        for words in (["strip", "--name", "*.none"], ["compress", "--larger", "99999999"], ["decompress"]):
            assert mime_of(*words, data=data) == data


# -- footers -------------------------------------------------------------------------------------


@pytest.fixture
def notice(tmp_path: Path) -> Path:
    """A footer."""
    path = tmp_path / "footer"
    path.write_text("-- \nViele Grüße & > ads\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("ends", [bytes, crlf])
def test_footer(notice: Path, ends: Callable[[bytes], bytes]) -> None:
    """In both texts, each in its own character set and encoding."""
    data = ends(MAIL)
    found = mime_of("footer", "--text", notice, data=data)
    text, markup, pdf = bodies(found)
    assert text.decode("latin-1").replace("\r", "") == "Grüße bye\n-- \nViele Grüße & > ads"
    assert markup == ends(b"<html><BODY>hi<p>-- <br>\nViele Gr&#252;&#223;e &amp; &gt; ads</p>\n</BODY></html>")
    assert pdf == PDF
    # What was there before the footer is there still, to the byte.
    assert found.startswith(data[: data.index(ends(b"bye\n"))])
    assert found.endswith(data[data.index(b"</BODY>") :])


def test_footer_of_a_plain_mail(notice: Path) -> None:
    """It gets what it needs to say in its header."""
    found = mime_of("footer", "--text", notice, data=PLAIN)
    assert (
        found
        == (
            "From: a@b.example\nSubject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
            "Content-Transfer-Encoding: 8bit\n\none\ntwo\n-- \nViele Grüße & > ads\n"
        ).encode()
    )
    notice.write_text("ascii\n")
    assert mime_of("footer", "--text", notice, data=PLAIN) == PLAIN + b"ascii\n"


def test_footer_that_flows(notice: Path) -> None:
    """format=flowed: lines are stuffed, and none goes on in the next."""
    data = PLAIN.replace(b"\n\n", b"\nContent-Type: text/plain; format=flowed\n\n", 1)
    notice.write_text("> quoted \n from\nFrom me\n-- \nx\n")
    assert mime_of("footer", "--text", notice, data=data) == data + b" > quoted\n  from\n From me\n-- \nx\n"


def test_footer_in_base64_and_in_another_character_set(notice: Path) -> None:
    """base64 is written anew; a character set without the letters becomes UTF-8."""
    body = base64.encodebytes(b"one\n")
    head = b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n"
    parsed = email.message_from_bytes(mime_of("footer", "--text", notice, data=head + body))
    assert parsed.get_payload(decode=True) == "one\n-- \nViele Grüße & > ads\n".encode()
    notice.write_text("5 €\n", encoding="utf-8")
    head = b"Content-Type: text/plain; charset=iso-8859-2; x=y\n\n"
    found = mime_of("footer", "--text", notice, data=head + b"\xe8\n")
    assert found.endswith("čX".encode()[:2] + "\n5 €\n".encode())
    assert b'charset=utf-8; x="y"' in found


# -- packing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", [bytes, crlf])
def test_round_trip(ends: Callable[[bytes], bytes]) -> None:
    """Packed and unpacked again it is the same mail, to the byte."""
    data = ends(MAIL)
    packed = mime_of("compress", data=data)
    assert len(packed) < len(data)
    assert b"application/zip" in packed
    assert mime_of("decompress", data=packed) == data


@given(st.binary(max_size=3000), st.sampled_from(["base64", "8bit", ""]), st.booleans(), st.booleans())
def test_every_round_trip(content: bytes, encoding: str, carriage: bool, nested: bool) -> None:
    """Whatever is attached."""
    content = content * 3 if encoding == "base64" else content.replace(b"\r", b"").replace(b"--", b"") * 3
    body = base64.encodebytes(content) if encoding == "base64" else content + b"\n"
    part = b"Content-Type: application/x; name=a\n"
    part += f"Content-Transfer-Encoding: {encoding}\n".encode() if encoding else b""
    data = b"Subject: x\n" + part + b"\n" + body
    if nested:
        data = b"Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\n" + part + b"\n" + body + b"--b--\n"
    data = crlf(data) if carriage and encoding == "base64" else data
    assert mime_of("decompress", data=mime_of("compress", data=data)) == data


def zipped(*files: tuple[str, bytes]) -> bytes:
    """A mail with a zip file."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return (
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\nContent-Type: application/zip; name=x.zip\n"
        b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(out.getvalue()) + b"--b--\n"
    )


def test_several_files_become_several_parts() -> None:
    """Their folders are gone."""
    found = mime_of("decompress", data=zipped(("../a.txt", b"one"), ("d/b.pdf", b"two")))
    parts = [part for part in email.message_from_bytes(found).walk() if part.get_filename()]
    assert [(part.get_filename(), part.get_content_type()) for part in parts] == [
        ("a.txt", "text/plain"),
        ("b.pdf", "application/pdf"),
    ]
    assert bodies(found)[1:] == [b"one", b"two"]


def test_bombs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be too large or too many, is broken or locked stays packed, and that is said."""
    monkeypatch.setattr(packing, "_SMALL", 1000)
    lie = bytearray(base64.decodebytes(zipped(("a", b"x" * 5000)).partition(b"base64\n\n")[2].partition(b"--b")[0]))
    at = lie.index(b"PK\x01\x02")
    lie[at + 24 : at + 28] = (10).to_bytes(4, "little")
    lying = zipped(("a", b"x")).partition(b"base64\n\n")[0] + b"base64\n\n" + base64.encodebytes(lie) + b"--b--\n"
    bombs = [
        zipped(("a", bytes(10_000_000))),
        zipped(*((f"{number}", b"") for number in range(200))),
        zipped(("a", b"x")).replace(b"UEsDB", b"UEsDC"),
        lying,
    ]
    for bomb in bombs:
        said: list[bytes] = []
        assert mime_of("decompress", data=bomb, said=said) == bomb
        assert b"left as it is" in b"".join(said)
    assert mime_of("decompress", "--limit", "10", data=zipped(("a", b"x" * 11))) == zipped(("a", b"x" * 11))


# -- clamd -----------------------------------------------------------------------------------------


EICAR = PLAIN + b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*\n"


def test_scan(clamd: Clamd) -> None:
    """0 is clean, 1 is infected, and clamd has seen the whole mail."""
    large = MAIL + b"x" * 1_000_000
    assert mime_of("scan", "--socket", clamd.path, data=large) == b""
    assert clamd.got == large
    said: list[bytes] = []
    assert mime_of("scan", "--socket", clamd.path, data=EICAR, expect=1, said=said) == b""
    assert said == [b"pyprocmail mime scan: infected: Eicar-Signature\n"]


def test_scan_marks(clamd: Clamd) -> None:
    """What a stranger says of his mail is taken away."""
    lying = b"X-Virus-Status: clean\n" + EICAR
    found = mime_of("scan", "--mark", "--socket", clamd.path, data=lying)
    assert found == EICAR.replace(b"\n\n", b"\nX-Virus-Status: infected; Eicar-Signature\n\n", 1)
    found = mime_of("scan", "--mark", "--socket", clamd.path, data=PLAIN)
    assert found == PLAIN.replace(b"\n\n", b"\nX-Virus-Status: clean\n\n", 1)


def test_who_cannot_ask_does_not_say_clean(clamd: Clamd, tmp_path: Path) -> None:
    """75 in every case."""
    assert mime_of("scan", "--mark", "--socket", tmp_path / "nobody", expect=75) == b""
    assert mime_of("scan", "--socket", "nonsense", expect=75) == b""
    for clamd.mode in ("silent", "too much"):
        assert mime_of("scan", "--socket", clamd.path, expect=75) == b""


# -- gpg -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keys() -> Iterator[Path]:
    """A keyring of its own, with one key; its path is short, as the sockets of gpg's agent want it."""
    import shutil
    import tempfile

    if shutil.which("gpg") is None:
        pytest.skip("gpg is not installed")
    home = Path(tempfile.mkdtemp(prefix="gpg.", dir="/tmp"))
    home.chmod(0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
    subprocess.run([*gpg, "--quick-gen-key", "Bob <bob@y.example>", "default", "default", "never"], check=True)
    yield home
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)
    shutil.rmtree(home, ignore_errors=True)


GPG_MAILS = (MAIL, crlf(MAIL), PLAIN, b"Subject: x\nMIME-Version: 1.0\nContent-Type: text/html\n\n<p>\xe9\n")


@pytest.mark.slow
@pytest.mark.parametrize("data", GPG_MAILS)
def test_encrypted_and_decrypted_it_is_the_same(keys: Path, data: bytes) -> None:
    """To the byte."""
    found = mime_of("encrypt", "--to", "bob@y.example", "--home", keys, data=data)
    assert b"multipart/encrypted" in found
    assert b"one" not in found.replace(b"None", b"") or data is not PLAIN
    assert PDF not in found
    assert mime_of("decrypt", "--home", keys, data=found) == data
    assert mime_of("encrypt", "--to", "bob@y.example", "--home", keys, data=found) == found


@pytest.mark.slow
@pytest.mark.parametrize("data", GPG_MAILS[:3])
def test_signed_and_verified(keys: Path, data: bytes) -> None:
    """A good signature is 0; a mail that was changed, or has none, is 1."""
    found = mime_of("sign", "--home", keys, data=data)
    parsed = email.message_from_bytes(found)
    assert parsed.get_content_type() == "multipart/signed"
    said: list[bytes] = []
    assert mime_of("verify", "--home", keys, data=found, said=said) == b""
    assert b"good; " in said[0]
    assert b"bob@y.example" in said[0]
    assert (
        mime_of("verify", "--home", keys, data=found.replace(b"two", b"tw0").replace(b"bye", b"by3"), expect=1) == b""
    )
    assert mime_of("verify", "--home", keys, data=data, expect=1) == b""
    marked = mime_of("verify", "--mark", "--home", keys, data=found)
    assert b"X-PGP-Signature: good; " in marked


@pytest.mark.slow
def test_without_the_key_it_is_for_later(keys: Path, tmp_path: Path) -> None:
    """75, and no mail is written."""
    assert mime_of("encrypt", "--to", "nobody@y.example", "--home", keys, expect=75) == b""
    found = mime_of("encrypt", "--to", "bob@y.example", "--home", keys)
    (tmp_path / "empty").mkdir(mode=0o700)
    assert mime_of("decrypt", "--home", tmp_path / "empty", data=found, expect=75) == b""
    subprocess.run(["gpgconf", "--homedir", tmp_path / "empty", "--kill", "all"], check=False)


# -- as a filter of rules ----------------------------------------------------------------------------


def test_in_rules(launchers: Path, tmp_path: Path) -> None:
    """It runs without a process of its own, as a filter, as a condition and in a filter file."""
    (tmp_path / "rc").write_text(
        f"MAILDIR={tmp_path}\nDEFAULT=rest\nSHELL=/bin/sh\nPATH={launchers}:/usr/bin:/bin\nVERBOSE=yes\n"
        ":0 fw\n| pyprocmail mime strip\n:0 fw\n* ! ? pyprocmail mime scan --socket /nobody\n"
        "| pyprocmail mime compress\n"
    )
    done = subprocess.run([launchers / "procmail", "-m", tmp_path / "rc"], input=MAIL, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"An attachment was removed here" in (tmp_path / "rest").read_bytes()
    assert b'Non-zero exitcode (75) from "pyprocmail"' in done.stderr
