"""The mail of a run, and what was asked of it."""

from __future__ import annotations

from pyprocmail.matching.regex import DIRECT
from pyprocmail.procmail.areas import Areas

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyprocmail.matching.regex import Questions
    from pyprocmail.message.model import Message
    from pyprocmail.procmail.ahead import Recalling, Recording


class Mail:
    """The mail as it stands, with its areas.

    `questions` answers what is asked of patterns; `answers` is what the plans know: for a stretch of recipes, those
    that may match.  `header_joined`: the header was searched after the last recipe that was executed, and the last
    backquotes.  `note` hears what of the mail is not searched.
    """

    __slots__ = ("message", "areas", "answers", "questions", "header_joined", "_note")

    def __init__(self, message: Message, note: Callable[..., None]) -> None:
        self._note = note
        self.header_joined = False
        self.replace(message)

    def replace(self, message: Message) -> None:
        """The mail is another one from now on."""
        self.message = message
        self.areas = Areas(message, self._note)
        self.answers: dict[int, list[int]] = {}
        self.questions: Questions | Recording | Recalling = DIRECT

    def copy(self, note: Callable[..., None]) -> Mail:
        """The same, for a clone."""
        other = Mail(self.message, note)
        other.areas = self.areas.copy(note)
        other.answers, other.questions = self.answers.copy(), self.questions
        other.header_joined = self.header_joined
        return other
