"""From_ lines, Content-Length and mailbox splitting, against cases in tests/cases/message."""

from __future__ import annotations

import io
import time
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyprocmail.message import content_length, header, mailbox, postmark
from pyprocmail.message.model import Message, field_places

CASES = tomllib.loads(Path(__file__).with_name("cases").joinpath("message", "message.toml").read_text())
WHEN = time.struct_time((2026, 11, 20, 7, 17, 44, 4, 324, 0))


def case_id(case: dict[str, str]) -> str:
    return case["about"]


def raw(text: str) -> bytes:
    return text.encode("latin-1")


@pytest.mark.parametrize("case", CASES["postmark"], ids=case_id)
def test_postmark(case: dict[str, str]) -> None:
    assert str(postmark.is_postmark(raw(case["line"]))) == case["holds"]


@pytest.mark.parametrize("case", CASES["refresh"], ids=case_id)
def test_refresh(case: dict[str, str]) -> None:
    assert postmark.refresh(raw(case["mail"]), b"root", WHEN) == raw(case["result"])


@pytest.mark.parametrize("case", CASES["replace"], ids=case_id)
def test_replace(case: dict[str, str]) -> None:
    assert postmark.replace(raw(case["mail"]), raw(case["who"]), WHEN) == raw(case["result"])


@pytest.mark.parametrize("case", CASES["untrusted"], ids=case_id)
def test_mark_untrusted(case: dict[str, str]) -> None:
    assert postmark.mark_untrusted(raw(case["mail"]), b"joe", WHEN) == raw(case["result"])


@pytest.mark.parametrize("case", CASES["refit"], ids=case_id)
def test_content_length(case: dict[str, str]) -> None:
    assert content_length.refit(Message(raw(case["mail"]))).data == raw(case["result"])


@pytest.mark.parametrize("size", [1, 7, 1 << 18])
@pytest.mark.parametrize("case", CASES["split"], ids=case_id)
def test_split(case: dict[str, str | list[str]], size: int) -> None:
    assert isinstance(case["mailbox"], str)
    stream = io.BytesIO(raw(case["mailbox"]))
    assert list(mailbox.split(lambda _: stream.read(size))) == [raw(mail) for mail in case["mails"]]


BODY_LINES = st.lists(st.sampled_from([b"", b"x", b">From y", b" From z", b"From a b"]), max_size=6)


@given(st.lists(BODY_LINES, max_size=5), st.integers(1, 60))
def test_split_undoes_join(bodies: list[list[bytes]], size: int) -> None:
    mails = [postmark.make(b"a@b", WHEN) + b"S: x\n\n" + b"\n".join(body) + b"\n\n" for body in bodies]
    stream = io.BytesIO(b"".join(mails))
    assert list(mailbox.split(lambda _: stream.read(size))) == mails


def test_split_holds_one_message_at_a_time() -> None:
    mail = postmark.make(b"a@b", WHEN) + b"S: x\n\n" + b"line\n" * 1000 + b"\n"
    given_out = 0

    def read(wanted: int) -> bytes:
        nonlocal given_out
        given_out += 1
        return mail[:wanted] if given_out < 100 else b""

    taken = 0
    for _ in mailbox.split(read):
        taken += 1
        assert given_out <= taken + 2
    assert taken == 99


def test_fields_with_their_places() -> None:
    """The one that wants its colon at once, and the one that takes the folds with it."""
    head = b"Subject: a\n b\nX-Subject: n\nSUBJECT : c\nsubject:d\n\n"
    found = [head[start:end] for start, _, end in field_places(head, b"subject:")]
    assert found == [b"Subject: a", b"subject:d"]
    assert [head[value:end] for _, value, end in field_places(head, b"subject:")] == [b" a", b"d"]
    assert [head[start:end] for start, end in header.places(head)] == list(header.fields(head))
    named = list(header.named(head, (b"subject",)))
    assert [value for _, _, value in named] == [b" a\n b", b" c", b"d"]
    assert [head[start:end].partition(b":")[2] for start, end, _ in named] == [value for _, _, value in named]


@settings(deadline=None)
@given(st.lists(st.sampled_from([b"a:", b"A:", b"a", b":", b"\n", b"\n\n", b" ", b"x"]), max_size=20).map(b"".join))
def test_places_of_fields(head: bytes) -> None:
    """As a reader that goes from line to line finds them."""
    expected = [line for line in head.split(b"\n") if line[:2].lower() == b"a:"]
    assert [head[start:end] for start, _, end in field_places(head, b"a:")] == expected
