"""95 % confidence intervals: how far a count on the files at hand may be from the truth."""

from __future__ import annotations

import math

from scipy.stats import chi2, norm

CONFIDENCE = 0.95
Interval = tuple[float, float]


def wilson(count: int, total: int) -> Interval | None:
    """Return the Wilson score interval of a proportion; None for a total of 0."""
    if not total:
        return None
    z = float(norm.ppf((1 + CONFIDENCE) / 2))
    share = count / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    half /= 1 + z * z / total
    return max(0.0, centre - half), min(1.0, centre + half)


def poisson(count: int, hours: float) -> Interval | None:
    """Return the exact (Garwood) interval of a rate per hour; None for 0 hours."""
    if not hours:
        return None
    tail = (1 - CONFIDENCE) / 2
    low = float(chi2.ppf(tail, 2 * count)) / 2 if count else 0.0
    return low / hours, float(chi2.ppf(1 - tail, 2 * count + 2)) / 2 / hours


def poisson_limit(count: int, hours: float) -> float:
    """Return the rate per hour that the truth stays below with this confidence (one-sided)."""
    return float(chi2.ppf(CONFIDENCE, 2 * count + 2)) / 2 / hours


def hours_needed(target_per_hour: float) -> float:
    """Return the hours of negatives without a false accept that would show the target."""
    return -math.log(1 - CONFIDENCE) / target_per_hour
