"""The program of a filter file: plain nested tuples, which `marshal` stores and engine/maildrop runs.

A program is a tuple of statements.  Only int, float, bytes, bool, None and tuples stand in it.

    The statements, each (kind, offset, line, ...): the byte offset of its text, and the line that messages name:
    (EVALUATE, offset, line, expression)
    (ECHO, offset, line, expression), and the same for LOG, TO, CC, XFILTER, SYSTEM, LOGFILE, INCLUDE,
        IMPORT, UNSET
    (EXIT, offset, line)
    (IF, offset, line, ((line, condition, statement), ...), statement or None)
    (WHILE, offset, line, condition, statement)
    (FOREACH, offset, line, subject or None, pattern, statement)
        Without subject the message is searched.
    (BLOCK, offset, line, statements)
    (TRAP, offset, line, statements)
    (DOTLOCK, offset, line, expression, statements), and the same for FLOCK

    The expressions, each (kind, line, ...):
    (LITERAL, line, value)
    (TEXT, line, pieces)
    (SEARCH, line, pattern)
    (MATCH, line, subject, pattern)
    (ASSIGN, line, name, value)
    (NOT, line, operand), (COMPLEMENT, line, operand)
    (AND, line, left, right), (OR, line, left, right)
    (BINARY, line, operator, left, right)     operator as bytes, such as `+` and `lt`
    (CALL, line, name, arguments)             name as bytes

    A pattern is (pieces, area, fold, weights): area HEADER, BODY or WHOLE; fold False for option D; weights None or
    (first, factor).

    A piece is bytes as they stand, or
    (VARIABLE, name)         its value
    (COMMAND, text)          what the command says
    (UNTERMINATED, text, line)    `${` without its brace: text, and a complaint each time
"""

from __future__ import annotations

EVALUATE, EXIT, IF, WHILE, FOREACH, BLOCK, TRAP, DOTLOCK, FLOCK = 1, 2, 3, 4, 5, 6, 7, 8, 9
ECHO, LOG, TO, CC, XFILTER, SYSTEM, LOGFILE, INCLUDE, IMPORT, UNSET = 10, 11, 12, 13, 14, 15, 16, 17, 18, 19
"""The kinds of statement."""

LITERAL, TEXT, SEARCH, MATCH, ASSIGN, NOT, COMPLEMENT, AND, OR, BINARY, CALL = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
"""The kinds of expression."""

VARIABLE, COMMAND, UNTERMINATED = 1, 2, 3
"""The kinds of piece."""

HEADER, BODY, WHOLE = 1, 2, 3
"""What a pattern is searched in."""
