"""The bundle: the modules that a delivery may import as one file of code, beside the package.

A delivery otherwise opens and reads some eighty files.  `pyprocmail links` writes the bundle.  A launcher uses it if it
belongs to the owner of the package, nobody else can write to it, and the same Python made it from the present source
files: so only a user who can change the package can change the bundle.  The next run with permission rewrites a stale
bundle.  Without a bundle everything works, more slowly.

The file has a line with the version of Python and the length of the rest; then, marshalled, the code of `bundle_finder`
and the index; then the code of each module.
"""

from __future__ import annotations

import ast
import marshal
import os
import sys

from pyprocmail.commands import bundle_finder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType

    from pyprocmail.commands.bundle_finder import Entry

HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""The folder of the package."""

_FOLDERS = (
    "",
    "message",
    "matching",
    "delivery",
    "engine",
    "procmail",
    "procmail/compiled",
    "maildrop",
    "tools/formail",
)
_LEFT_OUT = ("diagnostics", "grammars", "reading", "source", "rehearsal", "rehearsed", "events", "near")
_COMMANDS = (
    "__init__", "compiler", "descriptors", "environment", "formail", "lockfile", "maildrop", "maildrop_options",
    "maildrop_tools", "main", "options", "privileges", "procmail", "siblings", "toolbox",
)  # fmt: skip
_ABANDONED_S = _PAUSE_S = 60


def path() -> str:
    """The path of the bundle; each version of Python has its own, so that two do not overwrite each other's."""
    return f"{HOME}/start.{sys.implementation.cache_tag}.bundle"


def head(length: int) -> bytes:
    """The first line of a bundle for this Python with `length` bytes after it; a launcher compares it with its own."""
    return b"pyprocmail start 1 %d %b %d\n" % (sys.hexversion, os.fsencode(str(sys.implementation.cache_tag)), length)


def refresh() -> None:
    """Write a stale bundle anew, if the package is ours; at most once a minute, even if file times are wrong.

    Raises:
        OSError: as `write`.
    """
    import time

    try:
        if abs(time.time() - os.stat(path()).st_mtime) < _PAUSE_S:
            return
    except FileNotFoundError:
        return
    write()


def write() -> bool:
    """Write the bundle; False if the package is not ours, or another process is writing it.

    Raises:
        OSError: the folder cannot be written to, or a module cannot be read.
    """
    if os.geteuid() != os.stat(HOME).st_uid:
        return False
    temporary = path() + ".new"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        _remove_abandoned(temporary)
        return False
    try:
        with open(fd, "wb") as file:
            file.write(_made())
            file.flush()
            os.fsync(fd)
            os.fchmod(fd, 0o644)
        os.rename(temporary, path())
    except BaseException:
        os.unlink(temporary)
        raise
    return True


def remove() -> None:
    """Remove the bundle, if it exists and we may."""
    try:
        os.unlink(path())
    except OSError:
        pass


def _remove_abandoned(temporary: str) -> None:
    """Remove the temporary file of a writer that was killed."""
    import time

    try:
        if time.time() - os.stat(temporary).st_mtime > _ABANDONED_S:
            os.unlink(temporary)
    except OSError:
        pass


def _made() -> bytes:
    """The contents of the bundle.

    Raises:
        OSError: a module cannot be read.
        SyntaxError, ValueError: a module is broken.
    """
    codes = []
    index: dict[str, Entry] = {}
    size = 0
    for name, file, is_package in _modules():
        stamp = bundle_finder.stamp(HOME + file)
        code = marshal.dumps(_compiled(file))
        codes.append(code)
        index[name] = (file, is_package, stamp, size, size + len(code))
        size += len(code)
    finder = _compiled("/commands/bundle_finder.py")
    body = b"".join([marshal.dumps((finder, size, index)), *codes])
    return head(len(body)) + body


def _compiled(file: str) -> CodeType:
    """The code of a module, without the parts that a delivery does not need."""
    with open(HOME + file, "rb") as source:
        tree = _Stripped().visit(ast.parse(source.read(), HOME + file))
    return compile(tree, HOME + file, "exec", dont_inherit=True)


class _Stripped(ast.NodeTransformer):
    """A module without docstrings, annotations and code for mypy only; lines keep their numbers."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._body(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._body(node)

    def _body(self, node: ast.FunctionDef | ast.ClassDef) -> ast.AST:
        first = node.body[0]
        self.generic_visit(node)
        node.body = node.body or [ast.copy_location(ast.Pass(), first)]
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return None
        return ast.copy_location(ast.Assign([node.target], self.visit(node.value)), node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | None:
        for_mypy = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" and not node.orelse
        return None if for_mypy else self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        return None if node.module == "__future__" else node


def _modules() -> Iterator[tuple[str, str, bool]]:
    """The modules of the bundle: the name of each, its path below HOME, and whether it is a package."""
    for folder in _FOLDERS:
        for file in sorted(os.listdir(f"{HOME}/{folder}")):
            if file.endswith(".py") and file[:-3] not in _LEFT_OUT:
                yield _module(folder, file)
    for name in _COMMANDS:
        yield _module("commands", f"{name}.py")
    for name in ("__init__", "lockfile"):
        yield _module("tools", f"{name}.py")


def _module(folder: str, file: str) -> tuple[str, str, bool]:
    parts = ["pyprocmail", *(folder.split("/") if folder else ())]
    name = file.removesuffix(".py")
    whole = "/" + (f"{folder}/" if folder else "") + file
    return ".".join(parts if name == "__init__" else [*parts, name]), whole, name == "__init__"
