"""How sure a model has to be of its wake word: three named levels, or numbers of one's own.

Place: below installer and provisioner, which write it into config.json for each wake word.  The
model's own probability cutoff and sliding window are the level `normal`.  `low` doubles the
window, to 12 inferences at least: the mean of more inferences has to exceed the same cutoff, so
there are fewer false accepts, and a detection takes longer.  `high` lowers the cutoff.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware.satellite.config import CUTOFF, WINDOW

LEVELS = ("low", "normal", "high")
TEXTS = {
    "low": "fewer false accepts, more false rejects, slower",
    "normal": "as the model says",
    "high": "fewer false rejects, more false accepts",
}
MIN_LOW_WINDOW = 12
MAX_WINDOW = 50
HIGH_STEP = 0.15
MIN_HIGH_CUTOFF = 0.5

#: What config.json has for a word: a probability cutoff, a sliding window, both or neither.
Setting = dict[str, float | int]


@dataclass(frozen=True)
class Own:
    """A model's own values, as its file has them: cutoff 0..255, window in inferences."""

    cutoff: int
    window: int


@dataclass(frozen=True)
class Change:
    """What the owner wants of a word; `word` None means the only one."""

    word: str | None
    level: str | None = None
    cutoff: float | None = None
    window: int | None = None

    def applied_to(self, setting: Setting, own: Own) -> Setting:
        """Return the word's new setting: the level's, then each number that is given."""
        found = dict(setting) if self.level is None else setting_of(self.level, own)
        if self.cutoff is not None:
            found[CUTOFF] = self.cutoff
        if self.window is not None:
            found[WINDOW] = self.window
        return found


def setting_of(level: str, own: Own) -> Setting:
    """Return what config.json has for a word at this level; empty for `normal`."""
    if level == "low":
        return {WINDOW: min(MAX_WINDOW, max(MIN_LOW_WINDOW, 2 * own.window))}
    if level == "high":
        return {CUTOFF: round(max(MIN_HIGH_CUTOFF, own.cutoff / 255 - HIGH_STEP), 3)}
    return {}


def text_of(setting: Setting, own: Own | None) -> str:
    """Return a setting for people: a level's name, or its numbers."""
    for level in LEVELS if own else ():
        if own and setting == setting_of(level, own):
            return level
    names = {CUTOFF: "cutoff", WINDOW: "window"}
    return ", ".join(f"{names[name]} {value}" for name, value in setting.items()) or "normal"
