"""The options that change the fields of a header."""

from __future__ import annotations

from pyprocmail.tools.formail.header import Field, Names, is_complete, last, with_blank

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyprocmail.tools.formail.options import Insertion, Options

_KEPT_IN_REPLY = b"x-loop:"


def revise(fields: list[Field], options: Options) -> list[Field]:
    """The fields after -i, -I, -R, -c and -z."""
    revised = fields
    if options.changed_names:
        revised = []
        for field in fields:
            changed = _change(field, options) if options.changed_names.match(field.name) else field
            if changed is not None:
                revised.append(changed)
    if options.joined:
        revised = [field.joined() for field in revised]
    if options.trimmed:
        revised = [field.trimmed() for field in revised if not field.is_blank()]
    return revised


def _change(field: Field, options: Options) -> Field | None:
    """What -i, -I and -R make of a field, None if they remove it; the first option that names the field applies.

    For an auto-reply -i renames nothing here: there it names the fields to keep.
    """
    replacing = _content(field, options.replace_names, options.replace)
    if options.supersede_names.match(field.name):
        if not options.reply:
            return field.renamed(b"Old-" + field.name)
        # An answer keeps such a field, or gets a new one later.
        return None if replacing == b"" else field
    if replacing is not None:
        return field if options.reply and replacing else None
    return _rename(field, options)


def _rename(field: Field, options: Options) -> Field:
    """-R: replace the beginning of a name by another beginning, or the whole name by a whole name."""
    index = options.rename_old.find(field.name)
    if index < 0:
        return field
    old, new = options.renames[index]
    if is_complete(new):
        return field.renamed(new)
    return Field(new + field.name[len(old) :], field.unquoted())


def unique(fields: list[Field], first: Names, final: Names) -> list[Field]:
    """The fields without the repetitions that -u (`first` stays) and -U (`final` stays) remove."""
    if not first and not final:
        return fields
    counts: dict[bytes, int] = {}
    for field in fields:
        counts[field.name.lower()] = counts.get(field.name.lower(), 0) + 1
    seen: dict[bytes, int] = {}
    kept = []
    for field in fields:
        name = field.name.lower()
        seen[name] = seen.get(name, 0) + 1
        by_first, by_final = first.match(name), final.match(name)
        if not (by_first or by_final) or (by_first and seen[name] == 1) or (by_final and seen[name] == counts[name]):
            kept.append(field)
    return kept


def additions(fields: list[Field], options: Options, make_id: Callable[[], bytes]) -> list[Field]:
    """The fields to append: those of -a that are missing, then those of -A, -i and -I."""
    present = {field.name.lower() for field in fields} if options.add_if_absent else ()
    added = []
    for insertion in options.add_if_absent:
        name = insertion.name.lower()
        if name not in present:
            content = insertion.content
            if not content and name in (b"message-id:", b"resent-message-id:"):
                content = b" " + make_id()
            added.append(Field(insertion.name, content))
    for insertions in (options.add_always, options.supersede, options.replace):
        added += [Field(insertion.name, insertion.content) for insertion in insertions if insertion.content]
    return added


def reply(fields: list[Field], options: Options, address: bytes, *, repeat_re: bool) -> list[Field]:
    """The header of an answer to a mail with `fields`: the fields that are kept, then those of the answer.

    With `repeat_re` a subject that begins with `Re:` gets a second `Re:`.
    """
    kept = []
    for field in fields:
        superseding = _content(field, options.supersede_names, options.supersede)
        keeping = superseding == b"" or (superseding is None and field.name.lower() == _KEPT_IN_REPLY)
        if keeping and not options.replace_names.match(field.name) and _rename(field, options) is field:
            kept.append(field)
    answer = [Field(b"To:", b" " + address)]
    subject = last(fields, b"subject:")
    if subject is not None and subject.content:
        content = with_blank(subject.content)
        answered = not repeat_re and content.lstrip(b" \t\n")[:3].lower() == b"re:"
        answer.append(Field(b"Subject:", content if answered else b" Re:" + content))
    references, identity = (_filled(last(fields, name)) for name in (b"references:", b"message-id:"))
    if references or identity:
        answer.append(Field(b"References:", references + identity))
    if identity:
        answer.append(Field(b"In-Reply-To:", identity))
    revised = []
    for field in answer:
        if _content(field, options.supersede_names, options.supersede):
            revised.append(field.renamed(b"Old-" + field.name))
        elif not options.replace_names.match(field.name):
            revised.append(_rename(field, options))
    return kept + revised


def _content(field: Field, names: Names, insertions: list[Insertion]) -> bytes | None:
    """The replacement in the first -i or -I that names the field; None if no option does."""
    index = names.find(field.name)
    return None if index < 0 else insertions[index].content


def _filled(field: Field | None) -> bytes:
    return with_blank(field.content) if field is not None and field.content else b""
