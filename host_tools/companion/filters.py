"""What a browser asked the timeline for: read strictly, and written back into links and forms."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from host_tools.receiver.history_rows import Filter, day_bounds_s

_AFTER = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)-([0-9]{1,15})")
_MAX_TEXT = 64
_KEPT = {"": None, "yes": True, "no": False}


@dataclass(frozen=True)
class Query:
    """The fields of the filter's form, as text; "" does not matter."""

    device: str = ""
    day: str = ""
    word: str = ""
    kept: str = ""

    @staticmethod
    def of(fields: Mapping[str, object]) -> Query:
        """Return what a form or a link carries; raises ValueError for what makes no sense."""
        texts = {}
        for name in ("device", "day", "word", "kept"):
            text = fields.get(name, "")
            if not isinstance(text, str) or len(text) > _MAX_TEXT or not text.isprintable():
                raise ValueError(name)
            texts[name] = text.strip()
        query = Query(**texts)
        query.filter()
        return query

    def filter(self) -> Filter:
        """Return what the history is asked for; raises ValueError."""
        since_s = until_s = None
        if self.day:
            day = datetime.date.fromisoformat(self.day)
            if not 1971 <= day.year <= 9000:
                raise ValueError("day")
            since_s, until_s = day_bounds_s(day)
        if self.kept not in _KEPT:
            raise ValueError("kept")
        return Filter(
            device=self.device or None,
            wake_word=self.word or None,
            kept=_KEPT[self.kept],
            since_s=since_s,
            until_s=until_s,
        )

    def link(self, after: tuple[float, int] | None = None) -> str:
        """Return the address of the timeline with this filter, behind a cursor."""
        fields = {name: text for name, text in vars(self).items() if text}
        if after is not None:
            fields["after"] = f"{after[0]!r}-{after[1]}"
        return "/timeline" + ("?" + urlencode(fields) if fields else "")


def cursor(text: str) -> tuple[float, int] | None:
    """Return the cursor that a link carries, None without one; raises ValueError."""
    if not text:
        return None
    match = _AFTER.fullmatch(text)
    if match is None or not math.isfinite(float(match[1])):
        raise ValueError("after")
    return float(match[1]), int(match[2])
