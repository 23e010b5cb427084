"""The fault at the lexeme where a filter file cannot continue: in maildrop's words, and in ours."""

from __future__ import annotations

from dataclasses import dataclass

from pyprocmail.diagnostics import Diagnostic
from pyprocmail.maildrop.syntax.lexer import STRINGS, Lexeme
from pyprocmail.source import Span

GENERIC = "Syntax error."
_MANUAL = "maildropfilter(7)"
_ENDS_EXPRESSION = STRINGS | {"PATTERN", "RIGHT", "TIME", "GDBMCLOSE"}
_AFTER = {
    "IF": "Syntax error after if",
    "ELSIF": "Syntax error after if",
    "WHILE": "Syntax error after while",
    "ELSE": "Syntax error after else",
    "CLOSE": "Syntax error after }",
    "MATCHES": "Syntax error after =~",
    "SUBSTR": "Missing (",
    "LOOKUP": "Missing (",
    "GDBMOPEN": "Missing (.",
    "GDBMFETCH": "Missing (.",
    "GDBMSTORE": "Missing (.",
}
_CONDITION_ENDS = {"IF": "Syntax error after )", "ELSIF": "Syntax error after )", "WHILE": "Syntax error after else"}
_BEFORE_TARGET = {
    "LEFT", "COMMA", "SEPARATOR", "OPEN", "ECHO", "XFILTER", "SYSTEM", "LOGFILE", "LOG", "INCLUDE", "TO", "CC",
    "IMPORT", "UNSET", "DOTLOCK", "FLOCK", "FOREACH",
}  # fmt: skip


@dataclass(slots=True)
class _Parenthesis:
    """An open parenthesis: the lexeme before it, and the commas in it so far."""

    before: str
    commas: int = 0


def explain(lexemes: list[Lexeme], at: int) -> tuple[int, str]:
    """Where maildrop notices that lexeme `at` is wrong, and its message."""
    found = lexemes[at].type
    previous = lexemes[at - 1].type if at else "SEPARATOR"
    opened, closed = _parentheses(lexemes, at)
    if previous == "ASSIGN" and not _is_target(lexemes, at - 2):
        return at, "Syntax error before ="
    if previous == "RIGHT" and closed in _CONDITION_ENDS:
        return at, _CONDITION_ENDS[closed]
    if previous in _ENDS_EXPRESSION:
        if found == "ASSIGN":
            return at + 1, "Syntax error before ="
        return at, _unclosed(opened) if opened else GENERIC
    if found == "EOF" and _is_open(lexemes):
        return at, "Missing }"
    if previous == "CLOSE" or previous in _AFTER:
        return at, _AFTER[previous]
    return at, GENERIC


def _parentheses(lexemes: list[Lexeme], at: int) -> tuple[_Parenthesis | None, str]:
    """The innermost parenthesis that is open at lexeme `at`, and what was before the one closed last."""
    stack: list[_Parenthesis] = []
    closed = ""
    for index, lexeme in enumerate(lexemes[:at]):
        if lexeme.type == "LEFT":
            stack.append(_Parenthesis(lexemes[index - 1].type if index else ""))
        elif lexeme.type == "RIGHT" and stack:
            closed = stack.pop().before
        elif lexeme.type == "COMMA" and stack:
            stack[-1].commas += 1
    return (stack[-1] if stack else None), closed


def _unclosed(opened: _Parenthesis) -> str:
    if not opened.commas:
        if opened.before in ("SUBSTR", "LOOKUP"):
            return "Missing ,"
        if opened.before == "GDBMSTORE":
            return "Missing ,."
    return "Missing )"


def _is_target(lexemes: list[Lexeme], at: int) -> bool:
    """Whether the lexeme may be assigned to: one string, which begins its expression."""
    before = lexemes[at - 1].type if at else "SEPARATOR"
    return lexemes[at].type == "RIGHT" or (lexemes[at].type == "DOUBLE" and before in _BEFORE_TARGET)


def _begins_with(lexemes: list[Lexeme], at: int, keyword: str) -> bool:
    """Whether the statement before the separator `at` begins with the keyword."""
    while at and lexemes[at - 1].type not in ("SEPARATOR", "OPEN"):
        at -= 1
    return lexemes[at].type == keyword


def _is_open(lexemes: list[Lexeme]) -> bool:
    types = [lexeme.type for lexeme in lexemes]
    return types.count("OPEN") > types.count("CLOSE")


def describe(lexemes: list[Lexeme], at: int, said: str) -> Diagnostic:
    """The fault as a diagnostic for people: with the place, and a way out if there is a usual one."""
    lexeme = lexemes[at]
    previous = lexemes[at - 1].type if at else "SEPARATOR"
    span, hint = lexeme.span, ""
    if lexeme.complaint.startswith(b"'"):
        sentence = lexeme.complaint.decode("utf-8", "backslashreplace").rstrip(".")
    elif lexeme.complaint:
        sentence, hint = "this string does not end on its line", "a backslash at the end continues it"
    elif lexeme.type == "ERROR":
        sentence = "this is no word, string, pattern or operator"
        if lexeme.span.end > lexeme.span.start + 1:
            sentence = "this pattern does not end on its line"
    elif said == "Missing }":
        span = _last_open(lexemes)
        sentence = "this block has no '}'"
    elif lexeme.type == "NOT" and lexemes[at + 1 : at + 2] and lexemes[at + 1].type == "BIT_NOT":
        span = Span(span.start, lexemes[at + 1].span.end)
        sentence, hint = "there is no operator '!~'", "!(text =~ /pattern/)"
    elif said.startswith("Missing"):
        sentence = f"a '{said[8]}' is missing before this"
    elif said == "Syntax error before =":
        span = lexemes[at - 1].span
        sentence, hint = "this cannot be assigned to", "one word, or one string in double quotes"
    elif lexeme.type == "OPEN" and previous == "RIGHT":
        sentence, hint = "the block begins on the line of its condition", "a line of its own"
    elif said == "Syntax error after }":
        sentence, hint = "a statement follows '}' on its line", "a newline or ';' comes first"
    elif said == "Syntax error after =~":
        sentence, hint = "no pattern after '=~'", "/pattern/"
    elif said == "Syntax error after if" or said == "Syntax error after while":
        sentence, hint = "a condition needs parentheses", "( condition )"
    elif lexeme.type in ("ELSE", "ELSIF"):
        sentence, hint = "nothing that this belongs to", "no empty line or comment may stand before it"
    elif lexeme.type == "SEPARATOR" and previous in _ENDS_EXPRESSION and _begins_with(lexemes, at, "FOREACH"):
        sentence, hint = "foreach has no search to go through", "/pattern/, or text =~ /pattern/"
    elif lexeme.type == "SEPARATOR":
        sentence = "the line ends too early"
    elif lexeme.type == "EOF":
        sentence = "the file ends too early"
    else:
        sentence = f"unexpected '{lexeme.text.decode('utf-8', 'backslashreplace')}'"
    return Diagnostic("M101", Span(span.start, max(span.end, span.start)), sentence, hint, _MANUAL)


def _last_open(lexemes: list[Lexeme]) -> Span:
    spans: list[Span] = []
    for lexeme in lexemes:
        if lexeme.type == "OPEN":
            spans.append(lexeme.span)
        elif lexeme.type == "CLOSE" and spans:
            spans.pop()
    return spans[-1] if spans else lexemes[-1].span
