"""TFLite's quantisation arithmetic in exact integers: multipliers, activation ranges, tables of
elementwise ops.

Sources: TensorFlow Lite quantization_util.cc, kernel_util.cc; gemmlowp fixedpoint.h; TFLite
Micro logistic.  What a double or float32 decides there is computed in the same type here.
"""

from __future__ import annotations

import math

import numpy as np

NONE, RELU, RELU_N1_TO_1, RELU6 = 0, 1, 2, 3


def _round_half_away(value: float) -> int:
    return int(math.floor(abs(value) + 0.5)) * (1 if value >= 0 else -1)


def quantise_multiplier(scale: float) -> tuple[int, int]:
    """Return a real scale >= 0 as (multiplier, shift).

    scale = multiplier * 2**(shift - 31), with a multiplier of 0 or in [2**30, 2**31).
    """
    if scale == 0.0:
        return 0, 0
    fraction, shift = math.frexp(scale)
    multiplier = _round_half_away(fraction * (1 << 31))
    if multiplier == 1 << 31:
        multiplier //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    return multiplier, shift


def doubling_high_mul(a: int, b: int) -> int:
    """SaturatingRoundingDoublingHighMul of two int32: the product's upper half, doubled, ties
    towards +infinity.
    """
    if a == b == -(1 << 31):
        return (1 << 31) - 1
    return (a * b + (1 << 30)) >> 31


def rounding_divide(value: int, exponent: int) -> int:
    """RoundingDivideByPOT: value / 2**exponent, ties away from zero."""
    half = (1 << exponent) >> 1
    return (value + half) >> exponent if value >= 0 else -((half - value) >> exponent)


def rescale(value: int, multiplier: int, shift: int) -> int:
    """MultiplyByQuantizedMultiplier with double rounding."""
    return rounding_divide(doubling_high_mul(value << max(shift, 0), multiplier), max(-shift, 0))


def activation_range(kind: int, scale: np.float32, zero_point: int) -> tuple[int, int] | None:
    """Return the int8 range of a fused activation, or None for one that is not supported."""

    def quantised(real: float) -> int:
        return zero_point + _round_half_away(float(np.float32(real) / np.float32(scale)))

    if kind == NONE:
        return -128, 127
    if kind == RELU:
        return max(-128, quantised(0.0)), 127
    if kind == RELU6:
        return max(-128, quantised(0.0)), min(127, quantised(6.0))
    if kind == RELU_N1_TO_1:
        return max(-128, quantised(-1.0)), min(127, quantised(1.0))
    return None


def rescale_table(
    in_scale: np.float32, in_zero: int, out_scale: np.float32, out_zero: int, low: int
) -> list[int]:
    """QUANTIZE from int8: the output for each input -128..127, clamped to [low, low + 255]."""
    multiplier, shift = quantise_multiplier(float(in_scale) / float(out_scale))
    return [
        min(max(rescale(q - in_zero, multiplier, shift) + out_zero, low), low + 255)
        for q in range(-128, 128)
    ]


def logistic_table(scale: np.float32, zero_point: int) -> list[int]:
    """LOGISTIC on int8 (output scale 1/256, zero point -128) of each input -128..127."""
    fraction, shift = math.frexp(float(scale) * (1 << 27))
    multiplier = _round_half_away(fraction * (1 << 31))
    if multiplier == 1 << 31:  # the reference narrows this to int32; no float32 scale gets here
        raise ValueError("scale of LOGISTIC's input")
    radius = math.floor(float((1 << 4) - 1) * (1 << 27) / (1 << shift)) if shift >= 0 else 1 << 31
    table = []
    for q in range(-128, 128):
        value = q - zero_point
        if value <= -radius:
            table.append(-128)
        elif value >= radius:
            table.append(127)
        else:
            output = _logistic_q0(rescale(value, multiplier, shift))
            table.append(min(max(rounding_divide(output, 23) - 128, -128), 127))
    return table


# gemmlowp's logistic on Q4.27, step by step.  Constants are exp(-2**k) and series coefficients in
# Q0.31.

_ONE = (1 << 31) - 1
_EXP_OF_POWERS = (
    (25, 1672461947),
    (26, 1302514674),
    (27, 790015084),
    (28, 290630308),
    (29, 39332535),
    (30, 720401),
)


def _saturated(value: int) -> int:
    return min(max(value, -(1 << 31)), _ONE)


def _exp_minus_quarter_to_zero(a: int) -> int:
    """exp(a) for a in [-1/4, 0) in Q0.31: Taylor around -1/8."""
    x = a + (1 << 28)
    x2 = doubling_high_mul(x, x)
    x3 = doubling_high_mul(x2, x)
    x4 = doubling_high_mul(x2, x2)
    third = doubling_high_mul(rounding_divide(x4, 2) + x3, 715827883)
    series = x + rounding_divide(third + x2, 1)
    return _saturated(1895147668 + doubling_high_mul(1895147668, series))


def _exp_on_negative(a: int) -> int:
    """exp(a) in Q0.31 for a <= 0 in Q4.27."""
    quarter = 1 << 25
    modulo = (a & (quarter - 1)) - quarter
    result = _exp_minus_quarter_to_zero(modulo << 4)
    remainder = modulo - a
    for bit, factor in _EXP_OF_POWERS:
        if remainder & (1 << bit):
            result = doubling_high_mul(result, factor)
    return _ONE if a == 0 else result


def _one_over_one_plus(a: int) -> int:
    """1 / (1 + a) in Q0.31 for a in [0, 1] in Q0.31: three Newton-Raphson steps in Q2.29."""
    total = a + _ONE
    half_denominator = (
        (total + (1 if total >= 0 else -1)) // 2 if total >= 0 else -((1 - total) // 2)
    )
    x = 1515870810 + doubling_high_mul(half_denominator, -1010580540)
    for _ in range(3):
        error = (1 << 29) - doubling_high_mul(half_denominator, x)
        x += _saturated(doubling_high_mul(x, error) << 2)
    return _saturated(x << 1)


def _logistic_q0(value: int) -> int:
    """1 / (1 + exp(-value)) in Q0.31 for a value in Q4.27."""
    if value == 0:
        return 1 << 30
    positive = _one_over_one_plus(_exp_on_negative(-abs(value)))
    return positive if value > 0 else _ONE - positive
