"""What a sentence wants: matches words with sentences that are known, through hassil.

A match takes a few milliseconds; no model and no network.  What is matched is text that somebody
said or a server sent: at most MAX_TEXT_CHARACTERS of it are looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from host_tools.answers import sentences
from host_tools.errors import missing_module

#: What people say to a speaker is shorter; a longer text has no meaning here.
MAX_TEXT_CHARACTERS = 200


@dataclass(frozen=True)
class Intent:
    """What is wanted: one of the names in `sentences`, and its slots: numbers and names."""

    name: str
    slots: dict[str, int | str] = field(default_factory=dict)

    def number(self, slot: str) -> int:
        """Return a slot's number; 0 where the sentence had none."""
        value = self.slots.get(slot, 0)
        return value if isinstance(value, int) else 0

    @property
    def timer_name(self) -> str:
        """The name of a timer, or nothing."""
        return str(self.slots.get("name", ""))


class Recogniser:
    """Knows the sentences; loading them takes 0.2 s, once."""

    def __init__(self) -> None:
        try:
            import hassil
            import home_assistant_intents
        except ModuleNotFoundError as error:
            raise missing_module(error.name or "hassil") from error
        theirs = home_assistant_intents.get_intents(sentences.LANGUAGE)
        if theirs is None:
            raise missing_module("home_assistant_intents")
        self._recognise = hassil.recognize_best
        self._intents = hassil.Intents.from_dict(sentences.merged(theirs))

    def recognise(self, text: str) -> Intent | None:
        """Return what `text` wants, or None where no sentence fits."""
        if not text.strip() or len(text) > MAX_TEXT_CHARACTERS:
            return None
        found = self._recognise(text, self._intents)
        if found is None:
            return None
        slots = {name: _slot(entity.value) for name, entity in found.entities.items()}
        return Intent(found.intent.name, slots)


def _slot(value: object) -> int | str:
    if isinstance(value, int | float):
        return round(value)
    return " ".join(str(value).split()).strip(" .,!?").lower()
