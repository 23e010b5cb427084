"""`pyprocmail language-server`, asked by a real client over its standard input and output; and what it answers from."""

import asyncio
import gc
import json
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from check_cases import Pat
from click import Context
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types as lsp
from pygls.lsp.client import LanguageClient

from pyprocmail.commands.cli import cli
from pyprocmail.editor import mailfilter, rcfile
from pyprocmail.editor.document import Document, Units
from pyprocmail.editor.fixes import all_safe, fixes
from pyprocmail.editor.hover import hover
from pyprocmail.editor.manual import Manual, read

PATIENCE_S = 120
MANUAL = read((ROOT / "man" / "pyprocmailrc.5").read_text())
FILTER_MANUAL = read((ROOT / "man" / "maildropfilter.7").read_text())

RCFILE = """\
MAILDIR=$HOME/Mail
FRIENDS=(anna|bert)
INCLUDERC=$HOME/pm/sub.rc

# two lines
# of comment
:0 fh
* ^TO_me@home\\.example
| formail -I X-Über:

:0
* $ ^From:.*$FRIENDS
{
    :0:
    friends
}
"""
FILTER = """\
FOLDER="friends"
include "sub"
if (/From: anna/)
{
    to "$FOLDER"
}
"""


def document(text: str, units: Units = "utf-16", *, is_filter: bool = False) -> Document:
    manual = FILTER_MANUAL if is_filter else MANUAL
    return Document("x", text.encode(), is_filter, Pat(), manual, units)


def at(text: str, part: str, more: int = 0) -> int:
    """The offset in bytes of a part of a text."""
    return len(text[: text.index(part)].encode()) + more


# What is said


def test_the_manual_is_read() -> None:
    """Each flag, macro and variable has its words; nothing of the page's own language is in them."""
    assert set(MANUAL.names("Flags")) == set("HBDAaEehbfcwWir")
    assert MANUAL.says("Flags", "D") == "`D`: Distinguish upper and lower case."
    assert {"^TO_", "^TO", "^FROM_DAEMON", "^FROM_MAILER", "\\/"} <= set(MANUAL.names("Patterns"))
    assert {"MAILDIR", "LOCKTIMEOUT", "SHELLMETAS"} <= set(MANUAL.names("Variables"))
    assert {"xfilter", "dotlock", "foreach"} <= set(FILTER_MANUAL.names("Statements"))
    assert {"escape", "lookup"} <= set(FILTER_MANUAL.names("Expressions"))
    for entry in (*MANUAL.entries.values(), *FILTER_MANUAL.entries.values()):
        assert "\\&" not in entry.text
        assert "\n." not in entry.text


HOVERS = [
    ("MAILDIR=", 2, "The directory for relative names"),
    ("MAILDIR=", 2, "`MAILDIR` is `/home/pat/Mail` in this file."),
    ("fh\n", 0, "The command is a filter"),
    (":0 fh", 0, "Feed or file the header."),
    ("^TO_", 2, "A header field that names a recipient"),
    ("^TO_", 2, "(Resent-)?(To|Cc|Bcc)"),
    ("$ ^From", 0, "Expand what follows"),
    (":0 fh", 0, "**P201** A filter (`f`) without `w` or `W`"),
    ("$FRIENDS", 3, "`FRIENDS` is `(anna|bert)` in this file."),
    ("From:.*", 2, "^From:.*(anna|bert)"),
    (":0:", 2, "The lockfile of the folder"),
]


@pytest.mark.parametrize(("part", "more", "says"), HOVERS)
def test_hover(part: str, more: int, says: str) -> None:
    found = hover(document(RCFILE), at(RCFILE, part, more))
    assert found is not None
    assert says in found[0]
    assert found[1].start <= at(RCFILE, part, more) <= found[1].end


def test_hover_over_nothing() -> None:
    for part in ("# two", "friends\n", "}", "formail"):
        assert hover(document(RCFILE), at(RCFILE, part)) is None


def test_hover_in_filter_files() -> None:
    def says(part: str, more: int = 0) -> str:
        found = hover(document(FILTER, is_filter=True), at(FILTER, part, more))
        return found[0] if found is not None else ""

    assert "Run another file" in says("include")
    assert "`FOLDER` is `friends` in this file." in says("$FOLDER", 3)
    assert "Deliver, and exit" in says("to ")
    assert "**M404** A field's name without `^`" in says("From:", 1)
    assert says("friends") == says("anna") == ""


@pytest.mark.parametrize(
    ("before", "offered", "not_offered"),
    [
        (":0 f", {"w", "h", "c"}, {"f", "MAILDIR"}),
        ("X=$", {"HOME", "FRIENDS", "MATCH"}, {"w"}),
        (":0\n* ^", {"TO_", "FROM_DAEMON", "Subject:"}, {"w"}),
        ("LOCK", {"LOCKEXT", "LOCKTIMEOUT"}, {"w"}),
        (":0\n* ^Subject:.*x", set[str](), {"TO_", "LOCKEXT"}),
    ],
)
def test_completion(before: str, offered: set[str], not_offered: set[str]) -> None:
    text = f"FRIENDS=anna\n{before}"
    labels = {label for label, _, _ in rcfile.completions(document(text), len(text))}
    assert offered <= labels
    assert not labels & not_offered


@pytest.mark.parametrize(
    ("before", "offered"),
    [
        ("    x", {"xfilter", "to", "DEFAULT"}),
        ('to "$', {"FOLDER", "HOME"}),
        ("if (/^", {"List-Id:"}),
        ("A=", {"escape"}),
    ],
)
def test_completion_in_filter_files(before: str, offered: set[str]) -> None:
    text = f'FOLDER="x"\n{before}'
    offers = mailfilter.completions(document(text, is_filter=True), len(text))
    assert offered <= {label for label, _, _ in offers}


def test_folds() -> None:
    assert set(rcfile.folds(document(RCFILE))) == {
        (4, 5, True), (6, 8, False), (10, 15, False), (12, 15, False), (13, 14, False),
    }  # fmt: skip
    assert set(mailfilter.folds(document("# a\n# b\n" + FILTER, is_filter=True))) == {(0, 1, True), (5, 7, False)}


def test_definition() -> None:
    """Variables lead to where they are set; what is not there leads nowhere."""
    assert rcfile.definition(document(RCFILE), at(RCFILE, "$FRIENDS", 3)) == ("", at(RCFILE, "FRIENDS="))
    assert rcfile.definition(document(RCFILE), at(RCFILE, "sub.rc")) is None
    assert mailfilter.definition(document(FILTER, is_filter=True), at(FILTER, "$FOLDER", 2)) == ("", 0)


def test_fixes_mend() -> None:
    """Each fix is for findings at the place, and without them afterwards."""
    shown = document(RCFILE)
    place = at(RCFILE, ":0 fh")
    found = list(fixes(shown, place, place + 5))
    assert [fix.title for fix in found] == ["P201: add 'w'", "Silence P201 here"]
    assert found[0].preferred
    for fix in found:
        (edit,) = fix.edits
        data = shown.data[: edit.span.start] + edit.text + shown.data[edit.span.end :]
        codes = [one.diagnostic.code for one in shown.changed(data).found]
        assert codes == [one.diagnostic.code for one in shown.found if one.diagnostic.code != "P201"]
    everything = all_safe(shown)
    assert everything is not None
    assert b":0 fhw\n" in everything.edits[0].text
    assert all_safe(document("A=b\n")) is None


def test_a_comment_is_not_put_where_it_means_something() -> None:
    """After a line that goes on a comment would be part of it, and between `if` and its statement be the body."""
    joined = ":0\n* ^Subject:.*a|\\\n* b\nx/\n"
    silent = 'if (/^X: y/)\n    to "~/x"\n'
    for shown in (document(joined), document(silent, is_filter=True)):
        assert shown.found
        assert not [fix for fix in fixes(shown, 0, 99) if fix.title.startswith("Silence")]


@given(st.text("aé\U0001f4e7\n", max_size=30), st.sampled_from(["utf-8", "utf-16", "utf-32"]))
def test_places_come_back(text: str, units: Units) -> None:
    """Every place between characters is the same after a way to the editor and back."""
    shown = document(text, units)
    for number in range(len(text) + 1):
        offset = len(text[:number].encode())
        line, column = shown.position(offset)
        assert shown.offset(line, column) == offset
        assert line == text[:number].count("\n")
    assert shown.offset(99, 0) == len(text.encode())


def test_columns() -> None:
    for units, column in (("utf-8", 6), ("utf-16", 3), ("utf-32", 2)):
        assert document("é\U0001f4e7x", units).position(6) == (0, column)  # type: ignore[arg-type]  # literals


# Over LSP


class Editor(LanguageClient):
    """A client that keeps what the server tells."""

    def __init__(self) -> None:
        super().__init__("tests", "1")
        self.told: asyncio.Queue[lsp.PublishDiagnosticsParams] = asyncio.Queue()
        self.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)(lambda told: self.told.put_nowait(told))

    async def codes(self) -> list[str]:
        """The codes of the next diagnostics."""
        told = await asyncio.wait_for(self.told.get(), PATIENCE_S)
        return [str(one.code) for one in told.diagnostics]

    def open(self, path: Path, text: str, language: str = "procmail") -> lsp.TextDocumentIdentifier:
        uri = path.as_uri()
        self.text_document_did_open(lsp.DidOpenTextDocumentParams(lsp.TextDocumentItem(uri, language, 1, text)))
        return lsp.TextDocumentIdentifier(uri)


UNCLOSED = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
"""The client does not close its pipes."""


def in_editor(program: Path, home: Path, act: Callable[[Editor], Awaitable[None]]) -> None:
    """Start the server as an editor does, `act`, and end it as an editor does: it ends with 0."""

    async def scene() -> None:
        editor = Editor()
        environment = {**os.environ, "HOME": str(home)}
        await editor.start_io(str(program), "language-server", "--stdio", env=environment)
        try:
            await asyncio.wait_for(editor.initialize_async(lsp.InitializeParams(lsp.ClientCapabilities())), PATIENCE_S)
            editor.initialized(lsp.InitializedParams())
            await asyncio.wait_for(act(editor), PATIENCE_S)
            await asyncio.wait_for(editor.shutdown_async(None), PATIENCE_S)
            editor.exit(None)
            server: Any = editor._server
            assert await asyncio.wait_for(server.wait(), PATIENCE_S) == 0
        finally:
            server = editor._server
            if server is not None and server.returncode is None:
                server.kill()
            await editor.stop()  # type: ignore[no-untyped-call]  # so it is in pygls

    asyncio.run(scene())
    gc.collect()  # what the client leaves open is warned of here, and not in another test


@pytest.fixture(scope="module")
def program(launchers: Path) -> Path:
    return launchers / "pyprocmail"


def apply(text: str, edits: list[lsp.TextEdit]) -> str:
    """The text with the edits, as an editor applies them; of lines of ASCII."""
    lines = text.split("\n")
    for edit in sorted(edits, key=lambda edit: (edit.range.start.line, edit.range.start.character), reverse=True):
        first, last = edit.range.start, edit.range.end
        after = lines[last.line][last.character :] if last.line < len(lines) else ""
        joined = lines[first.line][: first.character] + edit.new_text + after
        lines[first.line : last.line + 1] = joined.split("\n")
    return "\n".join(lines)


@pytest.mark.slow
@UNCLOSED
def test_a_session_with_an_rcfile(program: Path, tmp_path: Path) -> None:
    """Diagnostics, a fix that takes them away, hover, an included file, folds, layout, completion."""
    (tmp_path / "Mail").mkdir()
    (tmp_path / "pm").mkdir()
    (tmp_path / "pm" / "sub.rc").write_text(":0:\nsub\n")
    text = RCFILE.replace("Ü", "U")

    async def act(editor: Editor) -> None:
        file = editor.open(tmp_path / ".procmailrc", text)
        assert await editor.codes() == ["P201"]
        line = lsp.Range(lsp.Position(6, 0), lsp.Position(6, 5))
        actions = await editor.text_document_code_action_async(
            lsp.CodeActionParams(file, line, lsp.CodeActionContext([]))
        )
        assert actions is not None
        fix, silence, everything = (one for one in actions if isinstance(one, lsp.CodeAction))
        assert [one.kind for one in (fix, silence, everything)] == ["quickfix", "quickfix", "source.fixAll"]
        assert fix.is_preferred
        for one in (fix, everything):
            assert one.edit is not None
            assert one.edit.changes is not None
            assert apply(text, list(one.edit.changes[file.uri])) == text.replace(":0 fh", ":0 fhw")
        change = lsp.TextDocumentContentChangePartial(lsp.Range(lsp.Position(6, 5), lsp.Position(6, 5)), "w")
        version = lsp.VersionedTextDocumentIdentifier(version=2, uri=file.uri)
        editor.text_document_did_change(lsp.DidChangeTextDocumentParams(version, [change]))
        assert await editor.codes() == []

        hover = await editor.text_document_hover_async(lsp.HoverParams(file, lsp.Position(6, 5)))
        assert hover is not None
        assert isinstance(hover.contents, lsp.MarkupContent)
        assert "Wait for the program" in hover.contents.value
        there = await editor.text_document_definition_async(lsp.DefinitionParams(file, lsp.Position(2, 15)))
        assert isinstance(there, lsp.Location)
        assert there.uri == (tmp_path / "pm" / "sub.rc").as_uri()
        here = await editor.text_document_definition_async(lsp.DefinitionParams(file, lsp.Position(11, 14)))
        assert isinstance(here, lsp.Location)
        assert (here.uri, here.range.start.line) == (file.uri, 1)
        folds = await editor.text_document_folding_range_async(lsp.FoldingRangeParams(file))
        assert folds is not None
        assert (12, 15) in [(fold.start_line, fold.end_line) for fold in folds]
        offers = await editor.text_document_completion_async(lsp.CompletionParams(file, lsp.Position(6, 6)))
        assert isinstance(offers, list | tuple)
        assert {"c", "i"} <= {one.label for one in offers}

    in_editor(program, tmp_path, act)


@pytest.mark.slow
@UNCLOSED
def test_a_session_with_a_filter_file(program: Path, tmp_path: Path) -> None:
    """By its name; layout is that of `pyprocmail fmt`; what is included is opened, and looked at again when saved."""
    text = FILTER.replace('    to "', 'to "')

    async def act(editor: Editor) -> None:
        file = editor.open(tmp_path / ".mailfilter", text, "")
        assert await editor.codes() == ["M903", "M404"]
        (tmp_path / "sub").write_text('X="y"\n')
        editor.text_document_did_save(lsp.DidSaveTextDocumentParams(file))
        assert await editor.codes() == ["M404"]
        there = await editor.text_document_definition_async(lsp.DefinitionParams(file, lsp.Position(1, 3)))
        assert isinstance(there, lsp.Location)
        assert there.uri == (tmp_path / "sub").as_uri()
        options = lsp.FormattingOptions(tab_size=4, insert_spaces=True)
        edits = await editor.text_document_formatting_async(lsp.DocumentFormattingParams(file, options))
        assert edits is not None
        assert apply(text, list(edits)) == FILTER
        editor.text_document_did_close(lsp.DidCloseTextDocumentParams(file))
        assert await editor.codes() == []

    in_editor(program, tmp_path, act)


@pytest.mark.slow
@UNCLOSED
def test_faults_do_not_end_the_server(program: Path, tmp_path: Path) -> None:
    """Text that is no rcfile, and a place that is not in it."""

    async def act(editor: Editor) -> None:
        file = editor.open(tmp_path / "x.rc", "\0:0 \ud7ff{{{ `\"'\n")
        await editor.codes()
        for line in (0, 7):
            place = lsp.Position(line, 99)
            await editor.text_document_hover_async(lsp.HoverParams(file, place))
            await editor.text_document_completion_async(lsp.CompletionParams(file, place))
            await editor.text_document_definition_async(lsp.DefinitionParams(file, place))

    in_editor(program, tmp_path, act)


@pytest.mark.slow
def test_without_pygls(tmp_path: Path) -> None:
    """The extra is named if it is missing."""
    (tmp_path / "pygls").mkdir()
    (tmp_path / "pygls" / "__init__.py").write_text("raise ImportError('not here')\n")
    code = "from pyprocmail.commands.cli import cli; cli(['language-server'])"
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'pyprocmail[editor]'" in done.stderr


def test_an_empty_manual_is_enough() -> None:
    shown = Document("x", RCFILE.encode(), False, Pat(), Manual())
    assert rcfile.hover(shown, at(RCFILE, "fh\n")) is None
    assert hover(shown, at(RCFILE, "MAILDIR")) is not None
    assert list(rcfile.completions(shown, 3)) == []


def test_snippets() -> None:
    """Each of the editors is told to start what exists; what is JSON can be read."""
    text = (ROOT / "docs" / "EDITORS.md").read_text()
    snippets = re.findall(r"(?s)```(vim|lua|elisp|javascript)\n(.*?)```", text)
    assert [kind for kind, _ in snippets] == ["vim", "lua", "elisp", "javascript"]
    for _, snippet in snippets:
        assert re.search(r"(?s)['\"]pyprocmail['\"].{1,60}['\"]language-server['\"]", snippet)
        assert "mailfilter" in snippet
    (package,) = re.findall(r"(?s)```json\n(.*?)```", text)
    assert [one["id"] for one in json.loads(package)["contributes"]["languages"]] == ["procmail", "mailfilter"]
    assert "language-server" in cli.list_commands(Context(cli))
