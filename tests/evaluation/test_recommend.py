"""A recommendation is never bolder than the recordings behind it allow."""

from __future__ import annotations

import json
import math

import pytest
from scipy.stats import binom
from scipy.stats import poisson as poisson_law

from firmware.satellite import config
from host_tools.evaluation.detections import CUTOFFS
from host_tools.evaluation.grid import WINDOWS, Grid, Point
from host_tools.evaluation.intervals import hours_needed, poisson, poisson_limit, wilson
from host_tools.evaluation.recommend import (
    INSTALLABLE,
    install_command,
    manifest_value,
    recommend,
)

OWN = 5, 242


def grid_of(settings, hours, positives=173, own=OWN) -> Grid:
    """A grid of {(window, cutoff): (false accepts, missed)}."""
    points = {key: Point(*key, missed, accepts) for key, (accepts, missed) in settings.items()}
    return Grid(points, points[own], positives, hours)


#: The measurement that the search is for: hey_mycroft on 2.70 h of negatives and 173 positives.
MYCROFT = {(5, 242): (14, 83), (12, 229): (4, 85), (12, 242): (1, 90)}


def test_window_and_cutoff_are_searched_together():
    best = recommend(grid_of(MYCROFT, 2.7), 4.0)
    assert (best.point.window, best.point.cutoff) == (12, 229)
    assert best.text == ""
    assert (
        install_command("hey_mycroft", best.point)
        == "earnest install --model hey_mycroft --cutoff 0.9 --window 12"
    )


def test_on_too_few_hours_nothing_is_more_sensitive_than_the_model_itself():
    settings = {(5, 242): (0, 40), (5, 200): (0, 10), (3, 242): (0, 20), (8, 242): (0, 35)}
    settings[8, 250] = (0, 36)
    assert hours_needed(0.5) == pytest.approx(5.99, abs=0.01)
    bound = recommend(grid_of(settings, 5.9), 0.5)
    assert (bound.point.window, bound.point.cutoff) == (8, 242)
    assert "5.90 h of negatives cannot show 0.5 FA/h (6.0 h" in bound.text
    free = recommend(grid_of(settings, 6.0), 0.5)
    assert (free.point.window, free.point.cutoff) == (5, 200) and free.text == ""


def test_a_more_sensitive_setting_must_be_shown_to_be_within_the_target():
    settings = {(5, 242): (2, 40), (20, 100): (3, 10), (12, 200): (0, 25)}
    best = recommend(grid_of(settings, 6.25), 0.5)
    assert (best.point.window, best.point.cutoff) == (12, 200), "none in 6.25 h shows it"
    assert best.text == (
        "window 20, cutoff 0.393 missed fewer (10), but is more sensitive than the model's own, "
        "and its 3 false accepts in 6.25 h do not show 0.5 FA/h"
    )
    limit = poisson_limit(3, 6.25)
    assert poisson_law.cdf(3, limit * 6.25) == pytest.approx(0.05)
    best = recommend(grid_of(settings, 6.25), limit + 0.01)
    assert (best.point.window, best.text) == (20, "")
    settings[12, 200] = (1, 25)
    assert recommend(grid_of(settings, 6.25), 0.5).point == Point(5, 242, 40, 2)


def test_a_setting_that_misses_most_words_is_never_recommended():
    settings = {(5, 242): (9, 10), (12, 242): (0, 51)}
    best = recommend(grid_of(settings, 10.0, positives=100), 0.5)
    assert best.point is None
    assert best.text == (
        "no setting reaches 0.5 FA/h and hears at least half of the words; nearest: window 5, "
        "cutoff 0.95 with 0.90 FA/h, 10 of 100 missed"
    )
    settings[12, 242] = (0, 50)
    assert recommend(grid_of(settings, 10.0, positives=100), 0.5).point.window == 12


def test_no_setting_reaches_it_on_few_hours_says_both():
    best = recommend(grid_of(MYCROFT, 2.7), 0.5)
    assert best.point is None
    first, second = best.text.split("\n")
    assert first.startswith("no setting reaches 0.5 FA/h") and "nearest: window 5" in first
    assert "2.70 h of negatives cannot show" in second
    deaf = recommend(grid_of({OWN: (0, 100)}, 10.0, positives=100), 0.5)
    assert deaf.point is None and "nearest" not in deaf.text


def test_among_equals_the_own_setting_then_the_smaller_window_then_the_middle():
    settings = {(w, c): (0, 3) for w in (4, 5, 8) for c in range(230, 251)}
    assert recommend(grid_of(settings, 100.0), 0.5).point == Point(5, 242, 3, 0)
    settings[5, 242] = (0, 4)
    best = recommend(grid_of(settings, 100.0), 0.5).point
    assert (best.window, best.cutoff) == (4, 240)


@pytest.mark.parametrize("positives, hours", ((0, 3.0), (10, 0.0)))
def test_both_kinds_of_recordings_are_needed(positives, hours):
    best = recommend(grid_of({OWN: (0, 0)}, hours, positives), 0.5)
    assert best.point is None and "needs positives and negatives" in best.text


def test_every_cutoff_comes_back_from_its_manifest_value():
    assert [int(manifest_value(cutoff) * 255) for cutoff in CUTOFFS] == list(range(256))
    assert (manifest_value(216), manifest_value(229), manifest_value(242)) == (0.85, 0.9, 0.95)


def test_names_with_spaces_are_quoted():
    command = install_command("my model.tflite", Point(5, 216, 0, 0))
    assert command.endswith("--model 'my model.tflite' --cutoff 0.85 --window 5")


def test_the_command_has_only_what_install_takes():
    settings = {(5, 216): (0, 9), (5, 24): (0, 1), (5, 253): (0, 0)}
    assert recommend(grid_of(settings, 100.0, own=(5, 216)), 0.5).point.cutoff == 216
    for cutoff in INSTALLABLE:
        value = manifest_value(cutoff)
        setting = {"probability_cutoff": value, "sliding_window_size": max(WINDOWS)}
        fields = {"models": ["word"], "sensitivity": {"word": setting}}
        config.Config.from_json(json.dumps(fields))
        assert config.cutoff_of(value) == cutoff, "what the board makes of it"


def test_the_intervals_have_their_confidence():
    """Garwood's ends make the count just 2.5 % likely; Wilson's are near to that."""
    for count, hours in ((0, 2.0), (1, 2.7), (14, 2.7), (300, 10.0)):
        low, high = poisson(count, hours)
        assert poisson_law.cdf(count, high * hours) == pytest.approx(0.025)
        if count:
            assert poisson_law.sf(count - 1, low * hours) == pytest.approx(0.025)
        else:
            assert low == 0
    low, high = wilson(83, 173)
    assert (round(low, 3), round(high, 3)) == (0.407, 0.554)
    assert binom.cdf(83, 173, high) == pytest.approx(0.025, abs=0.01)
    assert wilson(0, 20)[0] == 0 and wilson(20, 20)[1] == 1
    assert wilson(0, 324)[1] == pytest.approx(0.0117, abs=1e-4)
    assert wilson(0, 0) is None and poisson(0, 0.0) is None
    assert hours_needed(1.0) == pytest.approx(-math.log(0.05))
