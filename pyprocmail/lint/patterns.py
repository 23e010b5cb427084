"""Checks for conditions: patterns that mean something else, or match always or never, and slips around them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pyprocmail.diagnostics import Severity
from pyprocmail.lint.finding import Check, Edit, Finding
from pyprocmail.lint.view import NAME, Rule, Test, View
from pyprocmail.matching import egrep, macros
from pyprocmail.procmail.compiled.conditions import EXPAND, LARGER, REGEX, SMALLER
from pyprocmail.procmail.compiled.start_line import BODY
from pyprocmail.source import Span

FIELDS = (
    rb"From|To|Cc|Bcc|Subject|Sender|Reply-To|Date|Message-ID|Received|Return-Path|List-[A-Za-z]+|Precedence|"
    rb"Content-[A-Za-z-]+|X-[A-Za-z-]+|Delivered-To|Mailing-List|In-Reply-To|References|Auto-Submitted|Errors-To"
)
DOMAIN = re.compile(rb"(?:@|[a-z0-9]-?[a-z0-9])[a-z0-9-]*(\.)(?:com|org|net|edu|gov|info|example|de|fr|nl|uk|it)\b")
"""A domain whose dot has no backslash; the dot is the group."""

_CLASS = rb"(?<!\\)\[\^?\]?[^]]*\]"


def _outside_classes(text: bytes) -> bytes:
    """`text` with its classes blanked; offsets stay the same."""
    return re.sub(_CLASS, lambda found: b"\0" * len(found[0]), text) if b"[" in text else text


def _searches_header(rule: Rule, test: Test) -> bool:
    return test.area in (None, b"H") and not rule.has(BODY)


def variable_without_dollar(view: View) -> Iterator[Finding]:
    """`$NAME` in a condition that does not begin with `$`: it is not expanded.

    In a pattern `$` is the end of a line, and a name right after it is never found there.

    Example:
        LIST=exmh
        :0
        * ^Subject:.*$LIST
        lists/

    Instead:
        LIST=exmh
        :0
        * $ ^Subject:.*$LIST
        lists/
    """
    for _, test in view.tests(REGEX):
        for found in re.finditer(rb"(?<!\\)\$(?:\{([A-Za-z_]\w*)[}:+-]|([A-Za-z_]\w*)|\\([A-Z_]+))", test.text):
            name = found[1] or found[2] or found[3]
            if name in view.values or name in view.others or name in _USUAL or found[1] or found[3]:
                at = test.node.span.end - len(test.node.raw)
                place = test.place(found.start(), len(found[0]))
                hint = "begin the condition with '$ '"
                sentence = f"'{found[0].decode(errors='replace')}' is not expanded here"
                yield Finding(place, sentence, hint, (Edit(Span(at, at), b"$ "),))
                break


_USUAL = frozenset(b"MATCH HOME LOGNAME HOST USER DEFAULT MAILDIR ORGMAIL LASTFOLDER SENDMAIL".split())
_PCRE = re.compile(
    rb"(?<![\\$])(?:\\\\)*(\\[dDwWsStnbB](?![A-Za-z])|\\[dDwWsS]|(?<=[:*+\])])\\[tnb]|\(\?[imsx:=!<]|\{[0-9]+(?:,[0-9]*)?\}|(?<=[\w)\].])[*+?][?+])"
)


def foreign_dialect(view: View) -> Iterator[Finding]:
    """Perl's pattern syntax, which procmail reads as plain letters: `\\d`, `\\s`, `(?i)`, `{2,3}`, `*?`.

    `\\d` is the letter d to procmail.  Case is ignored without `(?i)`, unless the recipe has `D`.

    Example:
        :0
        * ^Subject:.*\\d\\d
        numbers/

    Instead:
        :0
        * ^Subject:.*[0-9][0-9]
        numbers/
    """
    instead = {b"d": "[0-9]", b"w": "[a-z0-9_]", b"s": "[ 	]", b"b": "\\< or \\>", b"n": "$", b"t": "a tab"}
    for _, test in view.patterns():
        # A backslash at the beginning protects the pattern, and is not part of it.
        taken = test.plain and view.data[test.at - 1 : test.at] == b"\\"
        found = _PCRE.search(b"\\" * taken + _outside_classes(test.text))
        if found:
            shown = found[1].decode()
            hint = instead.get(found[1][1:], "")
            yield Finding(
                test.place(found.start(1) - taken, len(found[1])),
                f"procmail's patterns have no '{shown}'",
                f"write {hint}" if hint else "it stands for these characters",
            )


def mistyped_macro(view: View) -> Iterator[Finding]:
    """A slip in `^TO_`, `^TO`, `^FROM_DAEMON` or `^FROM_MAILER`, which are replaced only as they are written here.

    They need their `^`, their capitals, and no blank or colon where an address is to follow.

    Example:
        :0
        * TO_pat@home\\.example
        mine/

    Instead:
        :0
        * ^TO_pat@home\\.example
        mine/
    """
    slips = (
        (rb"(?<![\^A-Za-z_])(?:TO_|FROM_DAEMON|FROM_MAILER)", "this macro begins with '^'"),
        (rb"\^[ \t]+(?:TO_?|FROM_DAEMON|FROM_MAILER)\b", "no blank after the '^' of a macro"),
        (rb"\^(?!TO_|FROM_)(?i:TO_|FROM_(?:DAEMON|MAILER))", "a macro is written in capitals"),
        (rb"\^TO_?[:*]", "this macro has its own ':'"),
        (rb"\^TO_?[ \t]+[^ \t]", "a blank after this macro is looked for before the address"),
        (rb"\^FROM_?(?:DEAMON|DAEMONS|MAILERS|DAEMONE)\b|\^FROMDAEMON|\^FROMMAILER", "FROM_DAEMON or FROM_MAILER?"),
    )
    for rule, test in view.patterns():
        if not _searches_header(rule, test):
            continue
        for pattern, hint in slips:
            found = re.search(pattern, _outside_classes(test.text))
            if found:
                shown = found[0].decode(errors="replace")
                yield Finding(test.place(found.start(), len(found[0])), f"'{shown}' is not a macro", hint)
                break


def header_without_caret(view: View) -> Iterator[Finding]:
    """A field's name without `^`: it is found in the middle of lines, too.

    `Sender:` finds `X-Sender:`, and `From:` what somebody wrote into the subject.

    Example:
        :0
        * From:.*anna@
        anna/

    Instead:
        :0
        * ^From:.*anna@
        anna/
    """
    pattern = re.compile(rb"\(?(" + FIELDS + rb"):", re.IGNORECASE)
    for rule, test in view.patterns():
        found = pattern.match(test.text)
        if found and _searches_header(rule, test):
            edits = (Edit(Span(test.at, test.at), b"^"),) if test.plain else ()
            name = found[1].decode()
            yield Finding(test.place(0, found.end()), f"'{name}:' without '^' is found anywhere", "add '^'", edits)


def needless_end(view: View) -> Iterator[Finding]:
    """`.*` at the end of a pattern: it changes nothing.

    Example:
        :0
        * ^Subject:.*spam.*
        spam/

    Instead:
        :0
        * ^Subject:.*spam
        spam/
    """
    for _, test in view.tests(REGEX):
        text = test.text
        if (
            text.endswith(b".*")
            and not text.endswith(b"\\.*")
            and len(text) > 2
            and not test.weighted
            and b"\\/" not in text
            and b"|" not in text
            and not text.endswith((b"^.*", b"[.*"))
        ):
            edits = (Edit(Span(test.at + len(text) - 2, test.at + len(text)), b""),) if test.plain else ()
            yield Finding(test.place(len(text) - 2, 2), "'.*' at the end changes nothing", "leave it out", edits)


def unescaped_dot(view: View) -> Iterator[Finding]:
    """A dot in a domain without a backslash: it stands for any character.

    `example.com` finds `examplescom.net`, too.

    Example:
        :0
        * ^From:.*@example.com
        friends/

    Instead:
        :0
        * ^From:.*@example\\.com
        friends/
    """
    for _, test in view.patterns():
        dots = [found.start(1) for found in DOMAIN.finditer(_outside_classes(test.text))]
        if dots:
            spans = [Span(test.at + at, test.at + at) for at in dots] if test.plain else []
            edits = tuple(Edit(span, b"\\") for span in spans)
            yield Finding(test.place(dots[0], 1), "this '.' stands for any character", "\\.", edits)


def broken_pattern(view: View) -> Iterator[Finding]:
    """Parentheses that do not pair, or a class that is never closed.

    procmail gives no message; the pattern matches something else than you intended, or nothing.

    Example:
        :0
        * ^Subject:.*(spam|junk
        spam/

    Instead:
        :0
        * ^Subject:.*(spam|junk)
        spam/
    """
    for _, test in view.patterns():
        text = test.text
        if test.kind == EXPAND:
            text = NAME.sub(lambda found: view.value(found[1]) or b"x", text).replace(b'\\"', b"")
            if text.lstrip(b"! ").startswith((b"?", b"<", b">")) or b"`" in text or b"${" in test.text:
                continue
        if not text:
            continue
        pattern = egrep.parse(macros.expand(text)[0])
        if re.search(rb"(?<!\\)\[\^?\]?[^]]*$", re.sub(_CLASS, b"", text)):
            yield Finding(test.place(), "a '[' in this pattern is never closed", "']', or \\[ for itself")
        elif re.search(rb"(?<!\\)\[\^?\]?[^]]*[)*+?|.]+\(?\[[^]]+\]", text):
            yield Finding(test.place(), "this class contains a '['", "is a ']' missing before it?")
        elif not pattern.valid:
            yield Finding(
                test.place(), "the parentheses of this pattern are not balanced", "\\( and \\) for themselves"
            )


def pattern_matches_always(view: View) -> Iterator[Finding]:
    """A pattern that can match the empty text, so it matches any mail: `x*`, `(a|)`, or an empty one.

    The recipe does not depend on it, or never runs if it is negated.

    Example:
        :0
        * ^Subject:.*spam|
        spam/

    Instead:
        :0
        * ^Subject:.*spam
        spam/
    """
    for _, test in view.tests(REGEX):
        if test.weighted or b"\\/" in test.text or test.text in (b"()", b"(.*)"):
            continue
        if not test.text and test.area is None:
            yield Finding(test.node.span, "this condition is empty, and always true", "a pattern, or no condition")
        elif not test.text or may_be_empty(egrep.parse(macros.expand(test.text)[0])):
            verdict = "never" if test.negated else "always"
            yield Finding(test.place() if test.text else test.node.span, f"this condition is {verdict} true")


def may_be_empty(pattern: egrep.Pattern) -> bool:
    """Whether the pattern can match the empty text."""
    stack: list[tuple[bool, bool]] = []
    so_far, any_branch, last = True, False, True
    before = True
    for token in pattern.tokens:
        if token == egrep.OPEN:
            stack.append((so_far, any_branch))
            so_far, any_branch = True, False
        elif token == egrep.OR:
            any_branch, so_far = any_branch or so_far, True
        elif token == egrep.CLOSE:
            last = any_branch or so_far
            before, any_branch = stack.pop() if stack else (True, False)
            so_far = before and last
        elif token in (egrep.STAR, egrep.OPTIONAL):
            so_far = before
        elif token != egrep.PLUS:
            before, last = so_far, token == egrep.SPLIT
            so_far = so_far and last
    return any_branch or so_far


def two_blanks_in_class(view: View) -> Iterator[Finding]:
    """`[  ]`: a class with two blanks.  One of them was a tab before somebody pasted it.

    Example:
        :0
        * ^Subject:[  ]*urgent
        urgent/

    Instead:
        :0
        * ^Subject:[ 	]*urgent
        urgent/
    """
    for _, test in view.patterns():
        found = re.search(rb"\[\^?[^]\t]*  [^]\t]*\]", test.text)
        if found and b"\t" not in found[0]:
            place = test.place(found.start(), len(found[0]))
            yield Finding(place, "two blanks in a class are one", "a blank and a tab")


def comment_in_condition(view: View) -> Iterator[Finding]:
    """`# text` after a condition: it is a part of the pattern, which then never matches.

    Example:
        :0
        * ^Subject:.*spam   # the usual
        spam/

    Instead:
        # the usual
        :0
        * ^Subject:.*spam
        spam/
    """
    for _, test in view.patterns():
        found = re.search(rb"[ \t]+#(?:[ \t]|[A-Za-z]+ ).*$", _outside_classes(test.text))
        if found and found.start():
            sentence = "this comment is a part of the pattern"
            yield Finding(test.place(found.start(), len(found[0])), sentence, "comments have lines of their own")


def star_in_continuation(view: View) -> Iterator[Finding]:
    """A `*` at the beginning of a line that a backslash joins to the one before: it belongs to the pattern.

    Example:
        :0
        * ^Subject:.*spam|\\
        * ^Subject:.*junk
        spam/

    Instead:
        :0
        * ^Subject:.*spam|\\
          ^Subject:.*junk
        spam/
    """
    for _, test in view.patterns():
        found = re.search(rb"\\\r?\n[ \t]*\*[ \t]", test.node.raw)
        if found:
            at = test.node.span.end - len(test.node.raw)
            place = Span(at + found.end() - 2, at + found.end() - 1)
            yield Finding(place, "this '*' is a part of the pattern", "no '*' after a continued line")


def encoded_text(view: View) -> Iterator[Finding]:
    """A pattern for encoded words (`=?utf-8?`), or letters that mail carries encoded.

    Header fields have letters other than ASCII in an encoding (RFC 2047) that can split a word anywhere.  The pattern
    searches the encoded text: it finds some of the mails, or none.

    Example:
        :0
        * ^Subject:.*Müll
        spam/

    Instead:
        :0
        * ^Subject:.*spam
        spam/
    """
    for rule, test in view.patterns():
        found = re.search(rb"[\x80-\xff]+|=\\?\?[a-z0-9-]+\\\?[bq]\\\?[a-z0-9+/=_]{3,}", test.text, re.IGNORECASE)
        if found and _searches_header(rule, test):
            place = test.place(found.start(), len(found[0]))
            sentence = "fields have such letters encoded, so this does not match them"
            if found[0].startswith(b"="):
                sentence = "the same words may be encoded in another way, or cut elsewhere: this sees some of them"
            yield Finding(place, sentence)


def doubled_dollar(view: View) -> Iterator[Finding]:
    """`* $ $NAME ?? pattern`: the value of NAME is used as the name of a variable.

    A name belongs before `??`.  The `$` at the beginning of the condition is for the pattern.

    Example:
        WHO=anna
        :0
        * $ $WHO ?? anna
        anna/

    Instead:
        WHO=anna
        :0
        * WHO ?? anna
        anna/
    """
    for _, test in view.tests(EXPAND):
        found = re.match(rb"\$\{?[A-Za-z_]\w*\}?[ \t]*\?\?", test.text)
        if found:
            yield Finding(test.place(0, found.end()), "'??' needs a name before it, without '$'", "leave the '$' out")


def size_is_no_number(view: View) -> Iterator[Finding]:
    """A size that is not a number of bytes: what follows the digits is ignored.

    Example:
        :0
        * > 100k
        large/

    Instead:
        :0
        * > 100000
        large/
    """
    for _, test in view.tests():
        if (
            test.kind in (SMALLER, LARGER)
            and not any(byte in test.text for byte in b"$`\"'")
            and not test.weighted
            and not re.fullmatch(rb"\s*[0-9]+\s*", test.text)
        ):
            yield Finding(test.place(), "a size is a number of bytes", "100000, not 100k")


def repeated_condition(view: View) -> Iterator[Finding]:
    """The same condition twice in one recipe.

    Example:
        :0
        * ^Subject:.*spam
        * ^Subject:.*spam
        spam/

    Instead:
        :0
        * ^Subject:.*spam
        * ^From:.*spam
        spam/
    """
    for rule in view.rules:
        seen: set[bytes] = set()
        for test in rule.tests:
            text = test.node.raw.strip()
            if text in seen and not test.weighted:
                yield Finding(test.node.span, "this condition is repeated", "leave one out")
            seen.add(text)


def impossible_negation(view: View) -> Iterator[Finding]:
    """A condition and its negation in one recipe: it never runs.

    Example:
        :0
        * ^Subject:.*spam
        * ! ^Subject:.*spam
        spam/

    Instead:
        :0
        * ^Subject:.*spam
        spam/
    """
    for rule in view.rules:
        wanted = {(test.kind, test.area, test.text) for test in rule.tests if not test.negated and not test.weighted}
        for test in rule.tests:
            if test.negated and not test.weighted and (test.kind, test.area, test.text) in wanted:
                yield Finding(test.node.span, "this is the negation of another condition: the recipe never runs")


CHECKS = (
    Check("P401", Severity.ERROR, variable_without_dollar),
    Check("P402", Severity.WARNING, foreign_dialect),
    Check("P403", Severity.ERROR, mistyped_macro),
    Check("P404", Severity.WARNING, header_without_caret),
    Check("P405", Severity.INFO, needless_end, safe=True),
    Check("P406", Severity.INFO, unescaped_dot),
    Check("P407", Severity.ERROR, broken_pattern),
    Check("P408", Severity.WARNING, pattern_matches_always),
    Check("P409", Severity.WARNING, two_blanks_in_class),
    Check("P410", Severity.WARNING, comment_in_condition),
    Check("P411", Severity.WARNING, star_in_continuation),
    Check("P412", Severity.INFO, encoded_text),
    Check("P413", Severity.ERROR, doubled_dollar),
    Check("P414", Severity.ERROR, size_is_no_number),
    Check("P415", Severity.INFO, repeated_condition),
    Check("P416", Severity.ERROR, impossible_negation),
)
