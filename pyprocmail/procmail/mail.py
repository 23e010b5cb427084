"""The mail of a run, and the results of searching it."""

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
    """The present mail, with its areas.

    `questions` answers the questions that patterns ask; `answers` has the results of the plans: for each pattern set,
    the recipes that may match.  `header_joined`: the header was searched after the last executed recipe and the last
    backquotes.  `note` is called with each part of the mail that is not searched.
    """

    __slots__ = ("message", "areas", "answers", "questions", "header_joined", "_note")

    def __init__(self, message: Message, note: Callable[..., None]) -> None:
        self._note = note
        self.header_joined = False
        self.replace(message)

    def replace(self, message: Message) -> None:
        """Replace the mail."""
        self.message = message
        self.areas = Areas(message, self._note)
        self.answers: dict[int, list[int]] = {}
        self.questions: Questions | Recording | Recalling = DIRECT

    def copy(self, note: Callable[..., None]) -> Mail:
        """A copy for a clone."""
        other = Mail(self.message, note)
        other.areas = self.areas.copy(note)
        other.answers, other.questions = self.answers.copy(), self.questions
        other.header_joined = self.header_joined
        return other
