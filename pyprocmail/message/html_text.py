"""The text that people read in HTML: no tags or scripts, and entities decoded; one pass, whatever the HTML.

The addresses of links follow the text, one a line, because rules search for them.
"""

from __future__ import annotations

import re
from html.entities import html5

_MOST_LINKS = 1000

# Nothing is tried twice: each part is possessive, and an unterminated tag ends where the next one begins.
_TAG = re.compile(r"""<(/?)([a-zA-Z][^\s/>"'<]*+)((?:[^>"'<]++|"[^"]{0,2000}+"|'[^']{0,2000}+'|["'])*+)>?""")
_LINK = re.compile(
    r"""\b(?:href|src)\s*+=\s*+(?:"([^"]{1,2000}+)"|'([^']{1,2000}+)'|([^\s"'>]{1,2000}+))""", re.IGNORECASE
)
_BLANKS = re.compile(r"[ \t\r\n\f\xa0]++")
_ENTITY = re.compile(r"&(?:#([0-9]{1,7})|#[xX]([0-9a-fA-F]{1,6})|([a-zA-Z][a-zA-Z0-9]{1,31}));?")
_AROUND_LINES = re.compile(r" *+\n[ \n]*+")

_LINES = frozenset(
    (
        "p", "br", "div", "tr", "li", "ul", "ol", "dl", "dt", "dd", "table", "tbody", "thead", "h1", "h2", "h3", "h4",
        "h5", "h6", "hr", "blockquote", "pre", "address", "article", "section", "header", "footer", "form", "fieldset",
        "center", "body", "html",
    )
)  # fmt: skip
"""Tags that begin a new line."""
_CELLS = frozenset(("td", "th"))
_HIDDEN = {name: re.compile(rf"</{name}\b", re.IGNORECASE) for name in ("script", "style", "title", "noscript")}
"""Tags whose content is not shown."""


def text_of(html: str) -> str:
    """The text, and a line `<address>` for each link."""
    out: list[str] = []
    links: dict[str, None] = {}
    at = 0
    while (begin := html.find("<", at)) >= 0:
        if begin > at:
            out.append(_plain(html[at:begin]))
        tag = _TAG.match(html, begin)
        if tag is None:
            at = _behind_other(html, begin)
            if at == begin + 1:
                out.append("<")
            continue
        at = tag.end()
        name = tag[2].lower()
        if name in _HIDDEN and not tag[1]:
            end = _HIDDEN[name].search(html, at)
            at = len(html) if end is None else end.start()
        elif name in _LINES:
            out.append("\n")
        elif name in _CELLS:
            out.append(" ")
        if name in ("a", "img", "area", "iframe") and not tag[1] and len(links) < _MOST_LINKS:
            link = _LINK.search(tag[3])
            if link is not None:
                links[_unescaped(link[1] or link[2] or link[3]).strip()] = None
    out.append(_plain(html[at:]))
    text = _AROUND_LINES.sub("\n", _doubled_blanks("".join(out))).strip()
    return "\n".join([text, *(f"<{_BLANKS.sub('', link)}>" for link in links if not link.startswith("data:"))])


def _behind_other(html: str, begin: int) -> int:
    """The end of a comment, a declaration or anything else that begins with `<` and is not a tag."""
    if html.startswith("<!--", begin):
        end = html.find("-->", begin + 4)
        return len(html) if end < 0 else end + 3
    if html.startswith(("<!", "<?", "</"), begin):
        end = html.find(">", begin)
        return len(html) if end < 0 else end + 1
    return begin + 1


def _plain(text: str) -> str:
    text = _BLANKS.sub(" ", text)
    return _unescaped(text).replace("\xa0", " ") if "&" in text else text


def _doubled_blanks(text: str) -> str:
    return re.sub(r" {2,}+", " ", text)


def _unescaped(text: str) -> str:
    return _ENTITY.sub(_letter, text)


def _letter(found: re.Match[str]) -> str:
    """The character of an entity; the entity's own text if it is unknown."""
    decimal, hexadecimal, name = found.groups()
    if name is not None:
        return html5.get(name + ";", found[0])
    code = int(decimal) if decimal is not None else int(hexadecimal, 16)
    if code in range(0x80, 0xA0):
        return bytes([code]).decode("cp1252", "replace")
    return chr(code) if 0x20 <= code <= 0x10FFFF and code not in range(0xD800, 0xE000) else " "
