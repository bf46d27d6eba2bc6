"""Names and numbers as the page shows them: escaped, with four decimals, "n/a" where there is no value."""

from __future__ import annotations

import html
import math
import unicodedata

NOT_AVAILABLE = "n/a"
MINUS = "−"


def clean(value: object) -> str:
    """A string that every encoder and parser accepts: control characters and lone surrogates become "�".

    >>> clean("toys\\x00 and games")
    'toys� and games'
    """
    return "".join("�" if unicodedata.category(c) in ("Cc", "Cs") else c for c in str(value))


def escape(value: object) -> str:
    """A name made safe for element text and for attributes in double quotes.

    >>> escape('<script>alert("x")</script>')
    '&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;'
    """
    return html.escape(clean(value), quote=True)


def missing(value: float | None) -> bool:
    """Whether there is no number to show (absent or NaN)."""
    return value is None or math.isnan(value)


def decimal(value: float | None, digits: int = 4) -> str:
    """A plain number.

    >>> decimal(0.73456), decimal(float("nan")), decimal(None)
    ('0.7346', 'n/a', 'n/a')
    """
    if value is None or math.isnan(value):
        return NOT_AVAILABLE
    shown = f"{value:.{digits}f}"
    return f"{MINUS}{shown[1:]}" if shown.startswith("-") and float(shown) else shown.lstrip("-")


def signed(value: float | None, digits: int = 4) -> str:
    """A number that always shows its sign, with a real minus; zero has none.

    >>> signed(0.0155), signed(-0.0155), signed(-0.00001), signed(None)
    ('+0.0155', '−0.0155', '0.0000', 'n/a')
    """
    shown = decimal(value, digits)
    if shown == NOT_AVAILABLE or shown.startswith(MINUS) or not float(shown):
        return shown
    return f"+{shown}"


def interval(low: float | None, high: float | None, digits: int = 4) -> str:
    """A 95 % interval; "n/a" when either end is absent.

    >>> interval(-0.001, 0.02)
    '[−0.0010, +0.0200]'
    """
    if missing(low) or missing(high):
        return NOT_AVAILABLE
    return f"[{signed(low, digits)}, {signed(high, digits)}]"


def own(value: float | None) -> str:
    """A share or a round of a domain's own, as short as it can be said.

    >>> own(0.5), own(1.0), own(7.0), own(None)
    ('0.5', '1', '7', 'none')
    """
    return "none" if value is None or math.isnan(value) else f"{round(value, 4):g}"


def count(value: int) -> str:
    """A whole number with its thousands marked.

    >>> count(69102)
    '69,102'
    """
    return f"{int(value):,}"


def plural(value: int, word: str) -> str:
    """A count and its noun.

    >>> plural(1, "domain"), plural(69102, "domain")
    ('1 domain', '69,102 domains')
    """
    return f"{count(value)} {word}{'' if value == 1 else 's'}"


def duration(seconds: float | None) -> str:
    """A time a person can read.

    >>> duration(4.21), duration(75), duration(7380), duration(None)
    ('4.2 s', '1 min 15 s', '2 h 03 min', 'n/a')
    """
    if seconds is None or math.isnan(seconds):
        return NOT_AVAILABLE
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
