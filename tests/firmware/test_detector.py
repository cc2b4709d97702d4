"""The decision rule, at its limits and against a plain retelling of it."""

from wakeword.detector import Detector

WINDOWS = (1, 5, 255)
CUTOFFS = (0, 1, 216, 254, 255)


class Rule:
    """ESPHome's rule as a list of the last probabilities; slow and plain."""

    def __init__(self, window, step_ms, refractory_ms):
        self.window, self.step_ms, self.refractory_ms = window, step_ms, refractory_ms
        self.recent = []
        self.pause_ms = 0

    def update(self, probability, cutoff):
        self.recent = (self.recent + [probability])[-self.window :]
        if self.pause_ms > 0 and probability < cutoff:
            self.pause_ms -= self.step_ms
        if self.pause_ms > 0 or sum(self.recent) <= cutoff * self.window:
            return False
        self.recent = []
        self.pause_ms = self.refractory_ms
        return True


def noise(seed):
    """An endless stream of numbers 0..2**16 - 1."""
    while True:
        seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
        yield seed >> 15


def fill(detector, total, window):
    """Feed `window` probabilities of this sum, as even as can be; the last update's answer."""
    each, more = divmod(total, window)
    answer = False
    for i in range(window):
        assert not answer, "detected before the window was full"
        answer = detector.update(each + (1 if i >= window - more else 0))
    return answer


def test_at_the_cutoff_is_no_detection_and_one_past_it_is():
    for window in WINDOWS:
        for cutoff in CUTOFFS:
            assert not fill(Detector(cutoff, window, 30), cutoff * window, window), cutoff
            if cutoff < 255:
                detector = Detector(cutoff, window, 30)
                assert fill(detector, cutoff * window + 1, window), (window, cutoff)
                assert detector.mean == (cutoff * window + 1) // window


def test_the_largest_cutoff_never_detects():
    for window in WINDOWS:
        detector = Detector(255, window, 30)
        assert not any([detector.update(255) for _ in range(2 * window + 3)])


def test_the_smallest_cutoff_wants_one_probability_above_0():
    detector = Detector(0, 5, 30)
    assert not any([detector.update(0) for _ in range(20)])
    assert detector.update(1) and detector.mean == 0


def test_old_probabilities_leave_the_window():
    for window in (1, 2, 5, 255):
        detector = Detector(100, window, 30)
        # One high value counts for exactly `window` steps.
        assert not detector.update(100)
        for i in range(3 * window):
            assert not detector.update(100), i
        assert not detector.update(99)
        for i in range(window - 1):
            assert not detector.update(100), i
        if window > 1:
            assert not detector.update(100)
            assert detector.update(101)
        else:
            assert detector.update(101)


def steps_of_pause(detector, probability=0):
    """Feed `probability`, then one 255 in a window of 1: how many steps until that detects."""
    assert detector.update(255)
    steps = 0
    while True:
        pause = detector._pause_ms
        answer = detector.update(255)
        assert pause == detector._pause_ms or answer
        if answer:
            return steps
        assert not detector.update(probability), "the window was not emptied"
        steps += 1
        assert steps < 2000


def test_refractory_counts_its_steps_exactly():
    for step_ms, refractory_ms, steps in (
        (30, 1000, 34),
        (20, 1000, 50),
        (10, 1000, 100),
        (30, 30, 1),
        (30, 31, 2),
        (30, 29, 1),
        (30, 1, 1),
        (160, 1000, 7),
        (30, 0, 0),
    ):
        got = steps_of_pause(Detector(200, 1, step_ms, refractory_ms))
        assert got == steps, (step_ms, refractory_ms, got)
    assert steps_of_pause(Detector(200, 1, 30)) == 34, "a second is the default"


def test_a_probability_at_the_cutoff_does_not_count_down_and_one_below_does():
    detector = Detector(200, 1, 30, 60)
    assert detector.update(201)
    for _ in range(100):
        assert not detector.update(200)
        assert not detector.update(255)
    assert not detector.update(199)
    assert not detector.update(255)
    assert not detector.update(199)
    assert detector.update(201)


def test_the_step_that_ends_the_pause_may_detect():
    detector = Detector(100, 2, 30, 60)
    assert detector.update(255)
    assert not detector.update(255)
    assert not detector.update(99)
    assert detector.update(99) is False
    detector = Detector(100, 2, 30, 30)
    assert detector.update(255)
    assert not detector.update(255)
    assert detector.update(99), "mean 177 over the window, and the pause is over"
    assert detector.mean == 177


def test_the_window_is_empty_after_a_detection():
    for window in (2, 5, 255):
        detector = Detector(100, window, 30, 0)
        while not detector.update(255):
            pass
        assert detector._sum == 0 and not any(detector._recent)
        needed = 1
        while not detector.update(255):
            needed += 1
        assert needed == 100 * window // 255 + 1, (window, needed)


def test_the_cutoff_can_change_at_any_time():
    detector = Detector(255, 5, 30)
    for _ in range(5):
        assert not detector.update(150)
    detector.cutoff = 150
    assert not detector.update(150)
    detector.cutoff = 149
    assert detector.update(150)
    detector = Detector(100, 1, 30, 30)
    assert detector.update(101)
    detector.cutoff = 120
    assert not detector.update(120)
    assert not detector.update(119)
    assert detector.update(121)


def test_it_is_the_rule():
    numbers = noise(1)
    for window in (1, 2, 5, 10, 255):
        for refractory_ms in (0, 100, 1000):
            detector = Detector(0, window, 30, refractory_ms)
            rule = Rule(window, 30, refractory_ms)
            detections = 0
            for i in range(2500):
                if i % 97 == 0:
                    cutoff = CUTOFFS[next(numbers) % 5] if i % 2 else next(numbers) & 255
                    detector.cutoff = cutoff
                kind = next(numbers) % 4
                probability = (cutoff, 255, 0, next(numbers) & 255)[kind]
                got = detector.update(probability)
                assert got == rule.update(probability, cutoff), (window, refractory_ms, i)
                detections += got
            assert detections > 3, (window, refractory_ms)


def test_reset_is_a_new_detector_and_keeps_the_cutoff():
    numbers = noise(2)
    used = Detector(80, 5, 30)
    for _ in range(777):
        used.update(next(numbers) & 255)
    assert used.update(255) or used._pause_ms
    used.cutoff = 90
    used.reset()
    new = Detector(90, 5, 30)
    assert used.mean == new.mean == 0
    for _ in range(300):
        probability = next(numbers) & 255
        assert used.update(probability) == new.update(probability)
        assert used.mean == new.mean


def test_wrong_arguments_are_refused():
    for arguments in ((-1, 5, 30), (256, 5, 30), (9, 0, 30), (9, 5, 0), (9, 5, 30, -1)):
        try:
            Detector(*arguments)
        except ValueError:
            continue
        raise AssertionError(arguments)
    Detector(0, 1, 1, 0)
    Detector(255, 255, 1000, 100000)


def test_update_allocates_nothing():
    import micropython

    detector = Detector(100, 255, 30)
    probabilities = (bytes(100) + b"\xff" * 200) * 3
    micropython.heap_lock()
    try:
        for probability in probabilities:
            detector.update(probability)
    finally:
        micropython.heap_unlock()
    assert detector.mean
