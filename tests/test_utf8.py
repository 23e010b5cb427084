r"""Patterns over UTF-8: letters are whole, case folds as Unicode has it, MATCH and scores count letters.

The standard library's `re` on the decoded text is the judge of everything that both dialects mean alike.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocmail.matching import utf8
from pyprocmail.matching.regex import Area, Regex

LETTERS = "aAbKs \näÄöÖßẞσςΣжЖ中—🎉Åµ\u0301"


def matched(pattern: str, text: str, *, fold: bool = True) -> str | None:
    """What MATCH becomes; None if nothing matches."""
    area = Area(text.encode(), b"MIME_TEXT", unicode=True)
    found = Regex(pattern.encode(), fold, unicode=True).match(area)
    return None if found is None or found.none else area.text[found.start : found.end].decode()


def found(pattern: str, text: str, *, fold: bool = True) -> bool:
    """Whether the pattern matches."""
    return Regex(pattern.encode(), fold, unicode=True).search(Area(text.encode(), unicode=True))


def count(pattern: str, text: str) -> int:
    """How many matches a score counts."""
    return len(list(Regex(pattern.encode(), True, unicode=True).count(Area(text.encode(), unicode=True))))


def cased() -> list[int]:
    """The letters outside ASCII that some method of str makes another one of."""
    letters = map(chr, range(0x80, 0x110000))
    return [ord(one) for one in letters if not one == one.lower() == one.upper() == one.casefold()]


def test_case_folds_as_unicode_has_it() -> None:
    """Every letter, in all its forms, but the long s and the Kelvin sign, which stay apart from ASCII."""
    forms: dict[str, set[int]] = defaultdict(set)
    for code in cased():
        folded = chr(code).casefold()
        if len(folded) == 1:
            forms[folded] |= {code, *(ord(one) for one in folded if ord(one) >= 0x80)}
    for folded, codes in forms.items():
        if folded not in "ks":
            assert all(utf8._forms(code) == codes for code in codes), folded


def test_blocks_with_case() -> None:
    """A letter that has several forms lies in a block that classes look through."""
    for code in cased():
        if len(utf8._forms(code)) > 1:
            assert any(low <= code <= high for low, high in utf8._CASED), hex(code)


def test_what_is_no_part_of_a_word() -> None:
    r"""No letter and no digit is a `\<`, and no byte of one either."""
    for low, high in utf8._NO_WORD:
        for code in range(low, high + 1):
            category = unicodedata.category(chr(code))
            assert category[0] not in "LM" or code >= 0x1F000, hex(code)
            assert category != "Nd" or code >= 0x1F000, hex(code)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (r"gr\/..e", "die Größe", "öße"),
        (r"gr\/..e", "die Gräße", "äße"),
        (r"GRÜ\/.*", "Grüße aus", "ße aus"),
        (r"^Betreff: \/.+", "Betreff: Ünïcode", "Ünïcode"),
        (r"x.+\/y?", "xäöy", "öy"),
        (r".+\/.", "äö", "ö"),
        (r"\/[^ä]+", "ööäö", "öö"),
        (r"\/[а-я]+", "при ПРИВЕТ", "при"),
        (r"x\/ä*", "xÄäÄ", "ÄäÄ"),
        (r"a\/ä?b", "aÄb", "Äb"),
        (r"\/(ä|ö)+x", "aÖÄx", "ÖÄx"),
        (r"\<über\/.", "„über“", "“"),
        (r"\<ber", "über", None),
        (r"中\/.", "前中国", "国"),
        (r"\/🎉+", "🎉🎉!", "🎉🎉"),
        (r"ΟΔΟΣ\/.", "οδος,", ","),
    ],
)
def test_match(pattern: str, text: str, expected: str | None) -> None:
    """What MATCH becomes is whole letters."""
    assert matched(pattern, text) == expected


def test_scores_count_letters() -> None:
    """One match a letter, not a byte."""
    assert count("ä", "äÄaä") == 3
    assert count(".", "äöü中🎉") == 5
    assert count("[^a]", "aäbc") == 3


def test_a_pattern_in_latin_1() -> None:
    """Bytes of a rcfile that are no UTF-8 are Latin-1."""
    area = Area("Grüße".encode(), unicode=True)
    assert Regex("GRÜSSE|grÜß".encode("latin-1"), True, unicode=True).search(area)


def test_case_counts_when_asked() -> None:
    """As with flag D."""
    assert found("ä", "Ä")
    assert not found("ä", "Ä", fold=False)
    assert not found("[ä]", "Ä", fold=False)
    assert found("[^ä]", "Ä", fold=False)


@st.composite
def patterns(draw: st.DrawFn) -> str:
    """Patterns that mean the same to `re`."""
    atom = st.one_of(
        st.sampled_from([letter for letter in LETTERS if letter != "\n"] + ["."]),
        st.lists(st.sampled_from("aäößςжЖ中🎉"), min_size=1, max_size=3).map(lambda some: f"[{''.join(some)}]"),
        st.lists(st.sampled_from("aäöςжЖ中🎉"), min_size=1, max_size=3).map(lambda some: f"[^{''.join(some)}\n]"),
        st.sampled_from(["[а-я]", "[À-ÿ]", "(äö|ж)"]),
    )
    return "".join(draw(st.lists(st.tuples(atom, st.sampled_from(["", "", "*", "+", "?"])).map("".join), max_size=5)))


@given(patterns(), st.text(LETTERS, max_size=12), st.booleans())
def test_same_as_re(pattern: str, text: str, fold: bool) -> None:
    """Whether it matches is what `re` says, and the automaton agrees with RE2."""
    # A dot matches no newline in both; ours sees one more before and behind the text.
    flags = re.IGNORECASE if fold else 0
    ours = pattern.replace("\n", "")
    want = re.search(pattern, text, flags) is not None
    if fold and set("ßẞ") & set(pattern + text):
        return  # `re` does not take these for one letter
    assert found(ours, text, fold=fold) == want
    if ours:
        regex = Regex(ours.encode(), fold, unicode=True)
        assert (next(regex.count(Area(text.encode(), unicode=True)), None) is not None) == want


@given(st.text(max_size=8), st.text(max_size=30), st.booleans())
def test_never_half_a_letter(pattern: str, text: str, fold: bool) -> None:
    r"""Whatever is written, MATCH is valid UTF-8."""
    area = Area(text.encode("utf-8", "ignore"), unicode=True)
    regex = Regex(b"(" + pattern.encode("utf-8", "ignore") + rb").+\/.?", fold, unicode=True)
    match = regex.match(area)
    if match is not None and not match.none:
        area.text[match.start : match.end].decode()
