"""The language server: it answers an editor's LSP requests from a Document.  It needs pygls."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer
from pygls.workspace import TextDocument

from pyprocmail import __version__
from pyprocmail.diagnostics import Severity
from pyprocmail.editor import mailfilter, rcfile
from pyprocmail.editor.document import Document, Units
from pyprocmail.editor.fixes import Fix, all_safe, fixes
from pyprocmail.editor.hover import hover as tell
from pyprocmail.editor.manual import Manual
from pyprocmail.lint.finding import Edit, Found
from pyprocmail.lint.machine import Machine
from pyprocmail.source import Span

PAUSE_S = 0.2
"""How long the typing must pause before the file is checked, in seconds."""

_SEVERITIES = {
    Severity.ERROR: lsp.DiagnosticSeverity.Error,
    Severity.WARNING: lsp.DiagnosticSeverity.Warning,
    Severity.INFO: lsp.DiagnosticSeverity.Information,
}
_KINDS = {
    "flag": lsp.CompletionItemKind.EnumMember,
    "variable": lsp.CompletionItemKind.Variable,
    "macro": lsp.CompletionItemKind.Constant,
    "field": lsp.CompletionItemKind.Field,
    "statement": lsp.CompletionItemKind.Keyword,
}
_UNITS: dict[str, Units] = {"utf-8": "utf-8", "utf-16": "utf-16", "utf-32": "utf-32"}


class Server(LanguageServer):
    """The server, with the pages of the manual and the documents as last read."""

    def __init__(self, machine: Machine, manual: Manual, filter_manual: Manual) -> None:
        super().__init__("pyprocmail", __version__)
        self.machine = machine
        self.manual = manual
        self.filter_manual = filter_manual
        self.seen: dict[str, tuple[int | None, str, Document]] = {}

    def document(self, uri: str) -> Document:
        """The file as it is in the editor now; made anew only if it has changed."""
        text: TextDocument = self.workspace.get_text_document(uri)
        known = self.seen.get(uri)
        if known is not None and known[0] == text.version and known[1] == text.source:
            return known[2]
        agreed = self.workspace.position_encoding
        units: Units = _UNITS[agreed.value] if isinstance(agreed, lsp.PositionEncodingKind) else "utf-16"
        filter_file = is_filter(text.path or uri, text.language_id or "")
        manual = self.filter_manual if filter_file else self.manual
        data = text.source.encode("utf-8", "replace")
        document = Document(text.path or uri, data, filter_file, self.machine, manual, units)
        self.seen[uri] = (text.version, text.source, document)
        return document

    def publish(self, uri: str) -> None:
        """Send the editor the findings about a file."""
        document = self.document(uri)
        diagnostics = [_diagnostic(document, one) for one in document.found]
        version = self.workspace.get_text_document(uri).version
        self.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri, diagnostics, version))


def is_filter(path: str, language: str) -> bool:
    """Whether the file is maildrop's, by the editor's language or by its name."""
    name = path.rsplit("/", 1)[-1]
    if language in ("procmail", "procmailrc"):
        return False
    return language in ("maildrop", "mailfilter") or "mailfilter" in name or "maildrop" in name


def make(machine: Machine, manual: Manual, filter_manual: Manual) -> Server:
    """A server with all our features; `start_io` runs it."""
    server = Server(machine, manual, filter_manual)
    _add_checks(server)
    _add_answers(server)
    return server


def _add_checks(server: Server) -> None:
    @server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    def opened(parameters: lsp.DidOpenTextDocumentParams) -> None:
        server.publish(parameters.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    async def changed(parameters: lsp.DidChangeTextDocumentParams) -> None:
        uri, version = parameters.text_document.uri, parameters.text_document.version
        await asyncio.sleep(PAUSE_S)
        now = server.workspace.text_documents.get(uri)
        if now is not None and now.version == version:
            server.publish(uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)
    def saved(_parameters: lsp.DidSaveTextDocumentParams) -> None:
        # The changed file may be one that others include.
        server.seen.clear()
        for uri in list(server.workspace.text_documents):
            server.publish(uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    def closed(parameters: lsp.DidCloseTextDocumentParams) -> None:
        server.seen.pop(parameters.text_document.uri, None)
        server.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(parameters.text_document.uri, []))


def _add_answers(server: Server) -> None:
    kinds = [lsp.CodeActionKind.QuickFix, lsp.CodeActionKind.SourceFixAll]

    @server.feature(lsp.TEXT_DOCUMENT_CODE_ACTION, lsp.CodeActionOptions(code_action_kinds=kinds))
    def actions(parameters: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        uri = parameters.text_document.uri
        document = server.document(uri)
        only = parameters.context.only
        found: list[lsp.CodeAction] = []
        if not only or any(kind in ("", "quickfix") for kind in only):
            start, end = (_offset(document, place) for place in (parameters.range.start, parameters.range.end))
            found += [_action(document, uri, fix, lsp.CodeActionKind.QuickFix) for fix in fixes(document, start, end)]
        if not only or any(kind in ("", "source", "source.fixAll") for kind in only):
            everything = all_safe(document)
            if everything is not None:
                found.append(_action(document, uri, everything, lsp.CodeActionKind.SourceFixAll))
        return found

    @server.feature(lsp.TEXT_DOCUMENT_HOVER)
    def hover(parameters: lsp.HoverParams) -> lsp.Hover | None:
        document = server.document(parameters.text_document.uri)
        said = tell(document, _offset(document, parameters.position))
        if said is None:
            return None
        return lsp.Hover(lsp.MarkupContent(lsp.MarkupKind.Markdown, said[0]), _range(document, said[1]))

    @server.feature(lsp.TEXT_DOCUMENT_DEFINITION)
    def definition(parameters: lsp.DefinitionParams) -> lsp.Location | None:
        document = server.document(parameters.text_document.uri)
        leads = mailfilter.definition if document.is_filter else rcfile.definition
        place = leads(document, _offset(document, parameters.position))
        if place is None:
            return None
        path, offset = place
        if path:
            start = lsp.Position(0, 0)
            return lsp.Location("file://" + quote(path, errors="surrogateescape"), lsp.Range(start, start))
        return lsp.Location(parameters.text_document.uri, _range(document, Span(offset, offset)))

    @server.feature(lsp.TEXT_DOCUMENT_FOLDING_RANGE)
    def folding(parameters: lsp.FoldingRangeParams) -> list[lsp.FoldingRange]:
        document = server.document(parameters.text_document.uri)
        folds = mailfilter.folds if document.is_filter else rcfile.folds
        return [
            lsp.FoldingRange(first, last, kind=lsp.FoldingRangeKind.Comment if comment else None)
            for first, last, comment in sorted(set(folds(document)))
            if last > first
        ]

    @server.feature(lsp.TEXT_DOCUMENT_FORMATTING)
    def formatting(parameters: lsp.DocumentFormattingParams) -> list[lsp.TextEdit]:
        document = server.document(parameters.text_document.uri)
        after = document.arranged()
        whole = Span(0, len(document.data))
        return [] if after == document.data else [_edit(document, Edit(whole, after))]

    @server.feature(lsp.TEXT_DOCUMENT_COMPLETION, lsp.CompletionOptions(trigger_characters=["$", "{", "^", " "]))
    def completion(parameters: lsp.CompletionParams) -> list[lsp.CompletionItem]:
        document = server.document(parameters.text_document.uri)
        offers = mailfilter.completions if document.is_filter else rcfile.completions
        return [
            lsp.CompletionItem(label, kind=_KINDS[kind], documentation=said or None)
            for label, kind, said in offers(document, _offset(document, parameters.position))
        ]


def _offset(document: Document, place: lsp.Position) -> int:
    return document.offset(place.line, place.character)


def _range(document: Document, span: Span) -> lsp.Range:
    return lsp.Range(lsp.Position(*document.position(span.start)), lsp.Position(*document.position(span.end)))


def _edit(document: Document, edit: Edit) -> lsp.TextEdit:
    return lsp.TextEdit(_range(document, edit.span), edit.text.decode("utf-8", "replace"))


def _diagnostic(document: Document, one: Found) -> lsp.Diagnostic:
    said = one.diagnostic
    span = Span(said.span.start, max(said.span.end, said.span.start + 1))
    message = f"{said.sentence} ({said.hint})" if said.hint else said.sentence
    return lsp.Diagnostic(
        _range(document, span), message, severity=_SEVERITIES[said.severity], code=said.code, source="pyprocmail"
    )


def _action(document: Document, uri: str, fix: Fix, kind: lsp.CodeActionKind) -> lsp.CodeAction:
    edits = [_edit(document, edit) for edit in sorted(fix.edits, key=lambda edit: edit.span)]
    return lsp.CodeAction(
        fix.title,
        kind=kind,
        diagnostics=[_diagnostic(document, one) for one in fix.found] or None,
        is_preferred=fix.preferred or None,
        edit=lsp.WorkspaceEdit(changes={uri: edits}),
    )
