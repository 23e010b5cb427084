"""The parts of the gateway: the table, the marks against loops, what is sent to whom, and how it is passed on."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from next_hop import NextHop

from pyprocmail.servers.gateway import checking, plan, table
from pyprocmail.servers.gateway.hop import Hop
from pyprocmail.servers.gateway.mail import Mail, Marks, Recipient
from pyprocmail.servers.gateway.plan import Plan
from pyprocmail.servers.gateway.relay import Relay
from pyprocmail.servers.listening import Address
from pyprocmail.servers.outcome import Kind, Outcome, Sending

TABLE = b"""\
# sender            recipient        rules
*                   postmaster@*     pass
<>                  *                pass       # bounces
*@example.org       *@*.example.net  /rc/a
*-owner@?.example   *                /rc/b      maildrop each
*                   *                /rc/rest   procmail
"""


@pytest.mark.parametrize(
    ("sender", "recipient", "line"),
    [
        (b"a@example.org", b"Postmaster@example.net", 2),
        (b"", b"x@y", 3),
        (b"A@EXAMPLE.ORG", b"x@mx.example.net", 4),
        (b"a@example.org", b"x@example.net", 6),
        (b"list-owner@b.example", b"x", 5),
        (b"list-owner@bb.example", b"x", 6),
        (b"a@example.org.example", b"x@mx.example.net", 6),
        (b"new\nline@example.org", b"x@mx.example.net", 4),
    ],
)
def test_the_first_row_that_fits(sender: bytes, recipient: bytes, line: int) -> None:
    assert table.read(TABLE, "t").find(sender, recipient).line == line


def test_a_row() -> None:
    row = table.read(TABLE, "t").rows[3]
    assert (row.rules, row.maildrop, row.each) == (b"/rc/b", True, True)
    assert table.read(TABLE, "t").rows[0].rules == b""


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"", "t: the last row must be for all other mail, such as * * pass"),
        (b"* a@b pass\n", "t: the last row must be for all other mail, such as * * pass"),
        (b"* *\n* * pass\n", "t:1: a row has a sender, a recipient and rules"),
        (b"* * rc\n", "t:1: 'rc' is neither a path from the root nor pass"),
        (b"\n* * /rc each some\n", "t:2: 'some' is not one of procmail, maildrop and each"),
    ],
)
def test_what_is_no_table(text: bytes, complaint: str) -> None:
    with pytest.raises(table.TableError, match="^" + complaint.replace("*", r"\*") + "$"):
        table.read(text, "t")


def naive(pattern: str, text: str) -> bool:
    """A glob, by definition."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return naive(pattern[1:], text) or (bool(text) and naive(pattern, text[1:]))
    return bool(text) and pattern[0] in ("?", text[0]) and naive(pattern[1:], text[1:])


@settings(deadline=None)
@given(st.text("ab?*", min_size=1, max_size=8), st.text("ab", max_size=8))
def test_patterns(pattern: str, text: str) -> None:
    """A pattern is what a naive matcher says."""
    row = table.read(f"{pattern} * /x\n* * pass\n".encode(), "t").rows[0]
    assert (row.sender.fullmatch(text.encode()) is not None) == naive(pattern, text)


def test_a_pattern_costs_no_more_than_the_address_is_long() -> None:
    row = table.read(b"*a" * 30 + b"b * /x\n* * pass\n", "t").rows[0]
    begun = time.process_time()
    assert row.sender.fullmatch(b"a" * 1000) is None
    assert time.process_time() - begun < 5


# -- marks -----------------------------------------------------------------------------------


def test_marks() -> None:
    """A mail that comes by too often is one that goes in circles; so is one with too many servers behind it."""
    marks = Marks(b"gate.example", passes=3, hops=10)
    mail = Mail(b"a@b", [Recipient(b"x@y")], b"Subject: x\n\nbody\n", greeting=b"me (\n)", peer=b"::1")
    text = mail.text
    for _ in range(3):
        assert marks.loop(text) == b""
        text = marks.received(mail) + text
    assert text.startswith(b"Received: from me   (::1)\n\tby gate.example (pyprocmail gateway) with ESMTP; ")
    assert marks.loop(text) == b"The mail has passed here 3 times already"
    assert Marks(b"other.example", passes=3, hops=10).loop(text) == b""
    assert marks.loop(b"Subject: x\n\n" + text) == b""
    assert marks.loop(b"Received: by x\n" * 9 + text) == b"The mail has passed here 3 times already"
    assert marks.loop(b"received: by x\n" * 10 + b"\n") == b"The mail has passed 10 servers"
    assert marks.loop(b"Received: by x\n" * 9) == b""


# -- plans -----------------------------------------------------------------------------------

MAIL = Mail(
    b"s@a",
    [Recipient(b"x@y", (b"NOTIFY=NEVER", b"ORCPT=rfc822;x")), Recipient(b"z@y", (b"NOTIFY=NEVER",)), Recipient(b"w@y")],
    b"Subject: x\n\nbody\n",
)


def passed(*sendings: Sending) -> Outcome:
    return Outcome(Kind.PASSED, sendings)


def listed(made: Plan) -> list[tuple[bytes, bytes, list[tuple[bytes, list[int], bool]]]]:
    return [
        (leg.sender, leg.text, [(each.address, sorted(each.wanted), each.copy) for each in leg.targets])
        for leg in made.legs
    ]


def test_who_gets_the_same_is_in_one_transaction() -> None:
    """Different rules that leave the mail alike need one transaction; others one each."""
    same, other = Sending(b"s@a", None, MAIL.text), Sending(b"s@a", None, b"other\n")
    made = plan.make(MAIL, [([0], passed(same)), ([1], passed(other)), ([2], passed(same))])
    assert listed(made) == [
        (b"s@a", MAIL.text, [(b"x@y", [0], False), (b"w@y", [2], False)]),
        (b"s@a", b"other\n", [(b"z@y", [1], False)]),
    ]
    assert made.legs[0].targets[0].parameters == (b"NOTIFY=NEVER", b"ORCPT=rfc822;x")


def test_copies_and_new_recipients() -> None:
    """A copy is for all whose rules made it, and sent first; what all asked for holds for new recipients."""
    copy = Sending(b"s@a", (b"archive@y",), b"copy\n", copy=True)
    new = Sending(b"s@a", (b"n@y", b"x@y"), MAIL.text)
    made = plan.make(MAIL, [([0, 1], passed(new, copy)), ([2], passed(Sending(b"s@a", None, MAIL.text)))])
    assert listed(made) == [
        (b"s@a", b"copy\n", [(b"archive@y", [0, 1], True)]),
        (b"s@a", MAIL.text, [(b"n@y", [0, 1], False), (b"x@y", [0, 1], False), (b"w@y", [2], False)]),
    ]
    assert [target.parameters for target in made.legs[0].targets] == [(b"NOTIFY=NEVER",)]
    assert made.legs[1].targets[0].parameters == (b"NOTIFY=NEVER",)
    assert listed(Plan(made.without([0, 1]))) == [(b"s@a", MAIL.text, [(b"w@y", [2], False)])]


def test_plans_that_have_nothing_to_do_with_each_other() -> None:
    """A copy keeps those together who made it."""
    same = Sending(b"s@a", (b"archive@y",), b"copy\n", copy=True)
    texts = [Sending(b"s@a", None, b"text %d\n" % number) for number in range(3)]
    made = plan.make(MAIL, [([0], passed(texts[0], same)), ([1], passed(texts[1])), ([2], passed(texts[2], same))])
    assert [[leg.text for leg in part.legs] for part in plan.apart(made)] == [
        [b"text 1\n"],
        [b"copy\n", b"text 0\n", b"text 2\n"],
    ]


def test_fates_that_need_no_server() -> None:
    """Discarded, refused and held back."""
    refused = Outcome(Kind.REFUSED, reply=b"550 5.7.1 no")
    made = plan.make(MAIL, [([0], refused), ([1], Outcome(Kind.DISCARDED)), ([2], Outcome(Kind.QUARANTINED))])
    assert made.legs == []
    assert [made.fates[number][:9] for number in range(3)] == [b"550 5.7.1", b"250 2.0.0", b"550 5.7.1"]


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ([b"250 a", b"451 b", b"550 c"], b"451 b"),
        ([b"250 a", b"550 c"], b"550 c"),
        ([b"250 a", b"250 b"], b"250 a"),
    ],
)
def test_one_reply_for_several(replies: Sequence[bytes], expected: bytes) -> None:
    assert plan.worst(replies) == expected


# -- passing on ------------------------------------------------------------------------------


def pass_on(hop: NextHop, made: Plan, *, together: bool, mail: Mail = MAIL) -> list[bytes]:
    relay = Relay(lambda: Hop(Address(host="127.0.0.1", port=hop.port), "here", timeout_s=60))
    try:
        return relay.pass_on(made, range(len(mail.recipients)), mail.parameters, b"Received: x\n", together=together)
    finally:
        relay.close()


def split() -> Plan:
    """A copy for an archive, and two texts."""
    copy = Sending(b"s@a", (b"archive@y",), b"copy\n", copy=True)
    return plan.make(
        MAIL,
        [
            ([0], passed(copy, Sending(b"s@a", None, b"one\n"))),
            ([1, 2], passed(Sending(b"s@a", None, b"two\n"))),
        ],
    )


def texts(hop: NextHop) -> list[tuple[bytes, list[bytes]]]:
    return [(mail.text.removeprefix(b"Received: x\r\n"), mail.recipients) for mail in hop.mails]


WHOLE = [
    (b"copy\r\n", [b"<archive@y> NOTIFY=NEVER"]),
    (b"one\r\n", [b"<x@y> NOTIFY=NEVER ORCPT=rfc822;x"]),
    (b"two\r\n", [b"<z@y> NOTIFY=NEVER", b"<w@y>"]),
]


@pytest.mark.parametrize("offers", [NextHop().offers, (b"DSN",)])
@pytest.mark.parametrize("together", [False, True])
def test_all_is_well(together: bool, offers: tuple[bytes, ...]) -> None:
    with NextHop(offers=offers) as hop:
        replies = pass_on(hop, split(), together=together)
        assert replies == [b"250 2.0.0 Passed on: 250 2.0.0 Queued"] * 3
        assert texts(hop) == WHOLE


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"250", b"half a reply"),
        (b"250-one\r\n250 tw", b"half a reply"),
        (b"2\r\n", b"the server sent a line that is not a reply"),
        (b"2500 ok\r\n", b"the server sent a line that is not a reply"),
        (b"250-ok\r\n550 no\r\n", b"the server sent a line that is not a reply"),
        (b"well done\r\n", b"the server sent a line that is not a reply"),
        (b"250-" + b"x" * 70_000 + b"\r\n", b"the reply of the server has no end"),
        (b"250-more\r\n" * 10_000, b"the reply of the server has no end"),
    ],
)
def test_what_is_no_word_that_it_has_the_mail(answer: bytes, why: bytes) -> None:
    """A reply that is cut off, has no code or no end: the mail stays with the client."""
    one = plan.make(MAIL, [([0, 1, 2], passed(Sending(b"s@a", None, b"one\n")))])
    with NextHop(answers=[b"raw" + answer]) as hop:
        assert pass_on(hop, one, together=False) == [b"451 4.4.2 The next server closed the connection: " + why] * 3
        assert hop.mails == []
        assert {reply[:3] for reply in pass_on(hop, one, together=False)} == {b"250"}


def test_few_connections_at_once() -> None:
    """With a reply each, what is independent goes one after the other, on one connection."""
    mail = Mail(b"s@a", [Recipient(b"r%d@y" % number) for number in range(30)], b"")
    made = plan.make(mail, [([number], passed(Sending(b"s@a", None, b"%d\n" % number))) for number in range(30)])
    with NextHop() as hop:
        assert {reply[:3] for reply in pass_on(hop, made, together=False, mail=mail)} == {b"250"}
        assert len(hop.mails) == 30
        assert [command[:4].upper() for command in hop.commands].count(b"EHLO") == 1


def test_a_recipient_who_is_refused() -> None:
    """With a reply each the others get the mail; with one reply nobody does."""
    with NextHop(replies={b"RCPT TO:<z@y>": b"550 5.1.1 Unknown"}) as hop:
        replies = pass_on(hop, split(), together=False)
        assert [reply[:9] for reply in replies] == [b"250 2.0.0", b"550 5.1.1", b"250 2.0.0"]
        assert texts(hop) == [*WHOLE[:2], (b"two\r\n", [b"<w@y>"])]
        hop.mails.clear()
        assert pass_on(hop, split(), together=True) == [b"550 5.1.1 Unknown"] * 3
        assert hop.mails == []


def test_nothing_is_sent_for_a_recipient_who_fails() -> None:
    """A recipient whose own text is not wanted now has not sent a copy either."""
    with NextHop(replies={b"RCPT TO:<x@y>": b"452 4.2.2 Full"}) as hop:
        replies = pass_on(hop, split(), together=False)
        assert [reply[:9] for reply in replies] == [b"452 4.2.2", b"250 2.0.0", b"250 2.0.0"]
        assert texts(hop) == WHOLE[2:]


def test_a_copy_that_is_refused_for_good_is_tried_again() -> None:
    """Nobody who sends a mail has to do with an archive that is not there."""
    with NextHop(replies={b"RCPT TO:<archive@y>": b"550 5.1.1 Unknown"}) as hop:
        replies = pass_on(hop, split(), together=False)
        assert [reply[:9] for reply in replies] == [b"451 4.3.0", b"250 2.0.0", b"250 2.0.0"]
        assert texts(hop) == WHOLE[2:]


@pytest.mark.parametrize(
    "replies",
    [
        {b"": b"421 4.3.2 Not now"},
        {b"": b"554 5.3.2 Never"},
        {b"MAIL": b"451 4.3.0 Not now"},
        {b"DATA": b"451 4.3.0 Not now"},
        {b"DATA": b"250 What"},
        {b"RCPT": b"999"},
        {b"RCPT": b"nonsense"},
    ],
)
@pytest.mark.parametrize("together", [False, True])
def test_a_server_that_does_not_want(replies: dict[bytes, bytes], together: bool) -> None:
    """Whatever it says before the dots, nothing was sent, and the client keeps the mail."""
    with NextHop(replies=replies) as hop:
        said = pass_on(hop, split(), together=together)
        assert {reply[:1] for reply in said} == {b"4"}
        assert hop.mails == []


def test_no_server() -> None:
    with NextHop() as hop:
        pass
    assert {reply[:9] for reply in pass_on(hop, split(), together=False)} == {b"451 4.4.1"}


def test_a_server_that_refuses_the_mail() -> None:
    """5xx to MAIL is the recipients' fate."""
    with NextHop(replies={b"MAIL": b"550 5.7.1 Not from you"}) as hop:
        alone = plan.make(MAIL, [([0, 1, 2], passed(Sending(b"s@a", None, b"x\n")))])
        assert pass_on(hop, alone, together=False) == [b"550 5.7.1 Not from you"] * 3


@pytest.mark.parametrize("answer", [b"", b"451 4.3.0 Disk full"])
def test_the_last_moment(answer: bytes) -> None:
    """A dot that has no 250: what follows for the same recipients is not sent, with one reply nothing at all."""
    with NextHop(answers=[answer]) as hop:
        replies = pass_on(hop, split(), together=False)
        assert [reply[:1] for reply in replies] == [b"4", b"2", b"2"]
        assert texts(hop) == WHOLE[2:]
    with NextHop(answers=[answer]) as hop:
        assert {reply[:1] for reply in pass_on(hop, split(), together=True)} == {b"4"}
        assert hop.mails == []
    with NextHop(answers=[b"250 2.0.0 Queued", answer]) as hop:
        assert plan.worst(pass_on(hop, split(), together=True)).startswith(b"4")
        assert texts(hop) == WHOLE[:1]


ENVELOPE = (b"BODY=8BITMIME", b"SMTPUTF8", b"RET=HDRS", b"ENVID=QQ314159")


def test_parameters_stay() -> None:
    """All of the envelope, in bytes."""
    mail = Mail("ä@a".encode(), [Recipient("ü@b".encode(), (b"ORCPT=utf-8;x",))], b"A: b\n\n\xff\n", ENVELOPE)
    made = plan.make(mail, [([0], passed(Sending(mail.sender, None, mail.text)))])
    with NextHop() as hop:
        assert pass_on(hop, made, together=True, mail=mail)[0].startswith(b"250")
        assert hop.mails[0].sender == "<ä@a> SIZE=24 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ314159".encode()
        assert hop.mails[0].recipients == ["<ü@b> ORCPT=utf-8;x".encode()]
        assert hop.mails[0].text == b"Received: x\r\nA: b\r\n\r\n\xff\r\n"


@pytest.mark.parametrize(
    ("text", "parameters", "expected"),
    [
        (b"A: b\n\nc\n", ENVELOPE, b"250 2.0.0"),
        (b"A: b\n\n\xff\n", ENVELOPE, b"554 5.6.3"),
        (b"A: b\n\n\xff\n", (), b"250 2.0.0"),
        (b"A: \xc3\xa4\n\nc\n", (b"SMTPUTF8",), b"550 5.6.7"),
    ],
)
def test_a_server_that_offers_nothing(text: bytes, parameters: tuple[bytes, ...], expected: bytes) -> None:
    """What the mail does not need is left out; what it needs and cannot have returns it."""
    mail = Mail(b"s@a", [Recipient(b"x@y", (b"NOTIFY=NEVER",))], text, parameters)
    made = plan.make(mail, [([0], passed(Sending(mail.sender, None, mail.text)))])
    with NextHop(offers=()) as hop:
        assert pass_on(hop, made, together=True, mail=mail)[0][:9] == expected
        assert [(each.sender, each.recipients) for each in hop.mails] == [(b"<s@a>", [b"<x@y>"])] * len(hop.mails)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([b".", b"\n", b"\r", b"a", b"x" * 70_000, b"\0\xff"]), max_size=8).map(b"".join))
def test_bytes_arrive(text: bytes) -> None:
    """Every text arrives as it is, but for the line end that a mail has at its end."""
    mail = Mail(b"", [Recipient(b"x@y")], text)
    made = plan.make(mail, [([0], passed(Sending(b"", None, text)))])
    with NextHop() as hop:
        assert pass_on(hop, made, together=True, mail=mail)[0].startswith(b"250")
        whole = b"Received: x\n" + text
        arrived = hop.mails[0].text
        expected = whole if whole.endswith(b"\n") else whole + b"\n"
        assert arrived == expected.replace(b"\n", b"\r\n")


# -- what is seen at the start ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (b":0\naccept\n:0\n/dev/null\n:0\n$DEFAULT\n:0\n! x\n:0 c\n| cat\n:0\n$MATCH\n", []),
        (b":0\n* ^A\n{\n:0:\nmbox\n}\n\n:0 c\narchive/\n", [5, 9]),
        (b":0\nquarantine:bad\n", [2]),
    ],
)
def test_folders_in_rcfiles(text: bytes, lines: list[int]) -> None:
    found = checking.complaints(text, "rc", maildrop=False)
    assert [int(complaint.split(":")[1]) for complaint in found] == lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (b'to "/dev/null"\nto "!x"\ncc "|cat"\nto "accept"\nto "$DEFAULT"\n', []),
        (b'if (/^A/)\n{\nexception {\nto "mbox"\n}\n}\nelse\n{\ncc "archive/"\n}\n', [4, 9]),
        (b'dotlock "x" {\nto "quarantine:bad"\n}\nwhile (1)\n{\nto "y"\n}\n', [2, 6]),
        (b"if (\n", [1]),
    ],
)
def test_folders_in_filter_files(text: bytes, lines: list[int]) -> None:
    found = checking.complaints(text, "rc", maildrop=True)
    assert [int(complaint.split(":")[1]) for complaint in found] == lines
