"""The model kernels' meaning in plain Python, from TFLite's reference code and gemmlowp.

Written on int8 values and bit-exact definitions (reference_integer_ops/conv.h, depthwise_conv.h,
gemmlowp fixedpoint.h), not on the offset-binary tricks of firmware/wakeword/kernels.py.
"""


def int8(byte):
    """The value that an offset-binary byte stands for."""
    return byte - 128


def accumulators(rows, weights):
    """Sums of the rows' stored bytes times int8 weights, one for each output channel.

    The kernels leave the input's offset of 128 in: it is folded into the bias.
    """
    return [
        sum(x * int8(w) for x, w in zip(row, channel, strict=True))
        for row, channel in zip(rows, weights, strict=True)
    ]


def saturating_rounding_doubling_high_mul(a, b):
    """gemmlowp: round(a * b / 2**31), with nudges of opposite sign and truncation towards zero."""
    if a == b == -(1 << 31):
        return (1 << 31) - 1
    product = a * b
    total = product + ((1 << 30) if product >= 0 else 1 - (1 << 30))
    return total // (1 << 31) if total >= 0 else -(-total // (1 << 31))


def rounding_divide_by_pot(x, exponent):
    """gemmlowp: x / 2**exponent rounded to nearest, ties away from zero."""
    mask = (1 << exponent) - 1
    threshold = (mask >> 1) + (1 if x < 0 else 0)
    return (x >> exponent) + (1 if (x & mask) > threshold else 0)


def requantise(acc, multiplier, left, right, zero, low, high):
    """TFLite MultiplyByQuantizedMultiplier (double rounding), then offset and clamp to a byte."""
    scaled = saturating_rounding_doubling_high_mul(acc << left, multiplier)
    return min(max(rounding_divide_by_pot(scaled, right) + zero, low), high)
