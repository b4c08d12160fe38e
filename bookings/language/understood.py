"""What was understood of a question, so that an agent can notice a misunderstanding."""

from dataclasses import dataclass
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from bookings.availability.criteria import PartOfDay, Wanted, Window
from bookings.language.dates import dated, joined
from bookings.language.languages import LANGUAGES, Tongue
from bookings.language.phrases import Phrases

_MIDNIGHT = time()


def understood(wanted: Wanted, zone: ZoneInfo, today: date, language: str) -> str:
    """Return what was asked for, such as Dienstag, erster Dezember, vormittags ab neun Uhr."""
    listener = _Listener(*LANGUAGES[language], zone, today)
    if wanted.start is not None:
        return listener.start(wanted.start)
    # More than two windows are told by where they begin and end.
    few = wanted.windows if len(wanted.windows) <= 2 else (Window(wanted.windows[0].first, wanted.windows[-1].last),)
    return joined([listener.window(window, wanted.part) for window in few], listener.tongue.OR)


@dataclass(frozen=True)
class _Listener:
    """Understands one language, in one zone, on one day."""

    tongue: Tongue
    phrases: Phrases
    zone: ZoneInfo
    today: date

    def start(self, minute: int) -> str:
        start = self._local(minute)
        return f"{self._days(start, start)}, {self.tongue.at_clocks([start.time()], self.tongue.OR)}"

    def window(self, window: Window, part: PartOfDay | None) -> str:
        first, last, phrases = self._local(window.first), self._local(window.last), self.phrases
        opens = time(part.hours[0]) if part else _MIDNIGHT
        bounds = [
            phrases.parts[part] if part else "",
            phrases.since.format(clock=self.tongue.clock(first.time())) if first.time() != opens else "",
            phrases.until.format(clock=self.tongue.clock(last.time())) if not part and last.time() != _MIDNIGHT else "",
        ]
        days = self._days(first, self._local(window.last - 1))
        return ", ".join(filter(None, (days, " ".join(filter(None, bounds)))))

    def _days(self, first: datetime, last: datetime) -> str:
        days = sorted({first.date(), last.date()})
        return f" {self.phrases.to} ".join(self.tongue.alone(dated(day, self.today)) for day in days)

    def _local(self, minute: int) -> datetime:
        return datetime.fromtimestamp(minute * 60, self.zone)
