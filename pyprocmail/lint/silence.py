"""Comments that silence findings: `# pyprocmail: ignore[P301] reason`, in both languages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pyprocmail.diagnostics import Diagnostic, Severity
from pyprocmail.lint.finding import Found
from pyprocmail.lint.mailfilter.view import FilterView, expressions
from pyprocmail.maildrop.syntax.nodes import Block, Command, Empty, Evaluate, comments
from pyprocmail.procmail.syntax.nodes import Block as RecipeBlock
from pyprocmail.procmail.syntax.nodes import Comment, Rcfile, Recipe
from pyprocmail.source import Source, Span

_IGNORE = re.compile(rb"#[ \t]*pyprocmail:[ \t]*ignore\[([A-Z0-9, \t]*)\]")


def without_silenced(source: Source, found: list[Found], comments: Iterable[tuple[Span, Span]]) -> list[Found]:
    """`found` without silenced findings, and with findings about comments that silence nothing.

    Each comment comes with the part of the file to which it applies.
    """
    for comment, about in comments:
        names = _IGNORE.search(source.data[comment.start : comment.end])
        for code in [code.strip().decode() for code in (names[1] if names else b"").split(b",")]:
            silenced = [
                one
                for one in found
                if one.diagnostic.code == code and about.start <= one.diagnostic.span.start < about.end
            ]
            if silenced:
                found = [one for one in found if one not in silenced]
            else:
                sentence = f"this silences no {code}" if code else "this names no code"
                diagnostic = Diagnostic("P001", comment, sentence, "leave it out", "", Severity.WARNING)
                found = [*found, Found(source, diagnostic)]
    return found


def in_rcfile(tree: Rcfile) -> Iterator[tuple[Span, Span]]:
    """The comments that silence, each with the part to which it applies: its line, and the statement after it."""
    todo: list[tuple[object, ...]] = [tree.items]
    while todo:
        items = todo.pop()
        for index, item in enumerate(items):
            if isinstance(item, Recipe):
                inner = [part for part in item.conditions if isinstance(part, Comment) and _IGNORE.search(part.raw)]
                end = item.action.span.start + 1 if isinstance(item.action, RecipeBlock) else item.span.end
                for comment in inner:
                    yield comment.span, Span(item.span.start, end)
                if isinstance(item.action, RecipeBlock):
                    todo.append(item.action.items)
            elif isinstance(item, Comment) and _IGNORE.search(item.raw):
                yield item.span, _about(items, index, item)


def _about(items: tuple[object, ...], index: int, comment: Comment) -> Span:
    """From the statement on the same line, or else the comment, to the end of the statement after it."""
    start = comment.span.start
    before = items[index - 1] if index else None
    if before is not None and b"\n" not in getattr(before, "raw", b"") and index > 1:
        statement = items[index - 2]
        return Span(getattr(statement, "span", comment.span).start, comment.span.end)
    for item in items[index + 1 :]:
        span = getattr(item, "span", comment.span)
        if isinstance(item, Recipe) and isinstance(item.action, RecipeBlock):
            return Span(start, item.action.span.start + 1)
        if not isinstance(item, Comment) and getattr(item, "raw", b"x").strip():
            return Span(start, span.end)
    return Span(start, comment.span.end)


def in_filter(view: FilterView) -> Iterator[tuple[Span, Span]]:
    """The same for a filter file; before a statement with a body, such as `if`, a comment applies to its condition."""
    heads = sorted(
        (place.statement.span.start, _head_end(view, index))
        for index, place in enumerate(view.places)
        if not isinstance(place.statement, Empty | Block)
    )
    for comment in (one.span for one in comments(view.tree) if _IGNORE.search(one.raw)):
        line = view.data.rfind(b"\n", 0, comment.start) + 1
        if view.data[line : comment.start].strip():
            yield comment, Span(line, comment.end)
        else:
            after = next((end for start, end in heads if start >= comment.end), comment.end)
            yield comment, Span(comment.start, after)


def _head_end(view: FilterView, index: int) -> int:
    statement = view.places[index].statement
    if isinstance(statement, Command | Evaluate):
        return statement.span.end
    first = next(expressions(statement), None)
    return first.span.end if first is not None else statement.span.start + 1
