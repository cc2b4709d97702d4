"""The front end's stages in plain Python integers, from TFLM's microfrontend and kissfft.

Bit-exact definitions: window.c, kiss_fft.c and kiss_fftr.c (FIXED_POINT=16), filterbank.c,
noise_reduction.c, pcan_gain_control.c, log_scale.c. Tables follow from their formulas. Slow, meant
to be read; together these stages equal pymicro-features (test_frontend_kernels.py shows it).
"""

import math

import numpy as np

F32 = np.float32
WINDOW, FFT, CHANNELS, FIRST_BIN, BINS = 480, 512, 40, 5, 247
TURN = F32(F32(math.pi) * F32(2) / F32(WINDOW))


def _hann(i):
    return float(F32(0.5) - F32(0.5) * np.cos(F32(TURN * F32(i + 0.5))))


HANN = [math.floor(_hann(i) * 4096 + 0.5) for i in range(WINDOW)]


def int16(value):
    """C's cast to int16."""
    return ((value + 0x8000) & 0xFFFF) - 0x8000


def window(samples):
    """(windowed, shift) of 480 samples; a -32768 is no peak and vanishes when it is shifted."""
    windowed = [(x * w) >> 12 for x, w in zip(samples, HANN, strict=True)]
    shift = 15 - max(0, *(int16(abs(v)) for v in windowed)).bit_length()
    return ([int16(v << shift) and v for v in windowed] if shift else windowed), shift


# --- FFT --------------------------------------------------------------------------------------


def _q15(value):
    return int16((value + 16384) >> 15)


def _twiddle(phase):
    return math.floor(0.5 + 32767 * math.cos(phase)), math.floor(0.5 + 32767 * math.sin(phase))


TWIDDLES = [_twiddle(-2 * math.pi * i / 256) for i in range(256)]
SUPER_TWIDDLES = [_twiddle(-math.pi * (k / 256 + 0.5)) for k in range(129)]


def _times(a, b):
    return _q15(a[0] * b[0] - a[1] * b[1]), _q15(a[0] * b[1] + a[1] * b[0])


def _scaled(c, factor):
    return _q15(c[0] * factor), _q15(c[1] * factor)


def _plus(a, b):
    return int16(a[0] + b[0]), int16(a[1] + b[1])


def _minus(a, b):
    return int16(a[0] - b[0]), int16(a[1] - b[1])


def complex_fft(x, stride=1):
    """Radix 4, decimation in time, each input of a butterfly scaled by 8191 / 2**15."""
    if len(x) == 1:
        return list(x)
    m = len(x) // 4
    out = [value for q in range(4) for value in complex_fft(x[q::4], 4 * stride)]
    for k in range(m):
        f0, f1, f2, f3 = (_scaled(out[k + j * m], 8191) for j in range(4))
        s0 = _times(f1, TWIDDLES[k * stride])
        s1 = _times(f2, TWIDDLES[2 * k * stride])
        s2 = _times(f3, TWIDDLES[3 * k * stride])
        s5, f0 = _minus(f0, s1), _plus(f0, s1)
        s3, s4 = _plus(s0, s2), _minus(s0, s2)
        out[k], out[k + 2 * m] = _plus(f0, s3), _minus(f0, s3)
        out[k + m] = int16(s5[0] + s4[1]), int16(s5[1] - s4[0])
        out[k + 3 * m] = int16(s5[0] - s4[1]), int16(s5[1] + s4[0])
    return out


def fft(windowed, shift):
    """The FFT of 512 samples, shifted left, taken as 256 complex ones."""
    x = [int16(v << shift) for v in windowed]
    return complex_fft(list(zip(x[0::2], x[1::2], strict=True)))


def energies(t):
    """Energy of bins 5..251 of the real transform, from the complex FFT of the pairs."""
    bins = {}
    for k in range(FIRST_BIN, 129):
        a = _scaled(t[k], 16383)
        b = _scaled((t[256 - k][0], int16(-t[256 - k][1])), 16383)
        p, w = _plus(a, b), _times(_minus(a, b), SUPER_TWIDDLES[k])
        bins[k] = (p[0] + w[0]) >> 1, (p[1] + w[1]) >> 1
        bins[256 - k] = (p[0] - w[0]) >> 1, (w[1] - p[1]) >> 1
    return [re * re + im * im for re, im in (bins[FIRST_BIN + i] for i in range(BINS))]


# --- channels ---------------------------------------------------------------------------------


def _mel(hz):
    return F32(1127.0) * np.log1p(F32(F32(hz) / F32(700.0)))


def _bands():
    """41 bands, each a list of (weight, 4096 - weight as rounded) from FIRST_BIN upwards."""
    low, high = _mel(125), _mel(7500)
    spacing = F32(F32(high - low) / F32(CHANNELS + 1))
    centres = [F32(low + F32(spacing * F32(i + 1))) for i in range(CHANNELS + 1)]
    bands, k = [], FIRST_BIN
    for c, centre in enumerate(centres):
        left, pairs = (low if c == 0 else centres[c - 1]), []
        while _mel(F32(k) * F32(31.25)) <= centre:
            weight = F32((centre - _mel(F32(k) * F32(31.25))) / F32(centre - left))
            both = (weight, F32(F32(1) - weight))
            rounded = [math.floor(float(F32(F32(v * F32(4096)) + F32(0.5)))) for v in both]
            pairs.append(tuple(rounded))
            k += 1
        bands.append(pairs)
    return bands


BANDS = _bands()


def nearest_root(value):
    """Nearest integer square root; one below 2**32 saturates at 0xFFFF."""
    root = math.isqrt(value)
    limit = 0xFFFF if value < 1 << 32 else 0xFFFFFFFF
    return root + 1 if value - root * root > root and root != limit else root


def filter_bank(energy, shift):
    """The 40 channels' signals."""
    signals, carried, bins = [], 0, iter(energy)
    for pairs in BANDS:
        weighted, rest = carried, 0
        for weight, complement in pairs:
            value = next(bins)
            weighted += weight * value
            rest += complement * value
        signals.append(nearest_root(weighted) >> shift)
        carried = rest
    return signals[1:]


def _gain(estimate):
    gain = float(F32(1 << 21) * np.power(F32(F32(estimate) / F32(128) + F32(80)), F32(-0.95)))
    return 32767 if gain > 32767 else int(gain + 0.5)


def _gain_pieces():
    pieces = {}
    for n in range(2, 33):
        x0 = 1 << (n - 1)
        x2 = 2 * x0 - 1 if n == 32 else 2 * x0
        y0, y1, y2 = _gain(x0), _gain(x0 + (x0 >> 1)), _gain(x2)
        a1 = 4 * (y1 - y0) - (y2 - y0)
        pieces[n] = y0, int16(a1), int16(y2 - y0 - a1)
    return pieces


PIECES = _gain_pieces()
LOG2 = [round((math.log2(1 + i / 128) - i / 128) * 65536) for i in range(129)]


def gain(estimate):
    """WideDynamicFunction: a quadratic for each bit length of the noise estimate."""
    if estimate <= 2:
        return _gain(estimate)
    n = estimate.bit_length()
    y0, a1, a2 = PIECES[n]
    fraction = (estimate << 11 - n if n < 11 else estimate >> n - 11) & 0x3FF
    return int16((((((a2 * fraction) >> 5) + (a1 << 5)) * fraction + (1 << 14)) >> 15) + y0)


def log_scaled(value):
    """About 64 * ln(value), by 128 segments of log2."""
    n = value.bit_length() - 1
    fraction = value - (1 << n)
    fraction = fraction << 16 - n if n < 16 else fraction >> n - 16
    c0, c1 = LOG2[fraction >> 9 : (fraction >> 9) + 2]
    log2 = (n << 16) + fraction + c0 + (((c1 - c0) * (fraction & 511)) >> 16)
    return ((((45426 * log2 + 32768) >> 16) << 6) + 32768) >> 16


def compress(estimates, signals):
    """(new estimates, features, model input as uint8) of 40 channels."""
    new, features = [], []
    for c, (estimate, signal) in enumerate(zip(estimates, signals, strict=True)):
        smoothing = 983 if c & 1 else 409
        scaled = (signal << 10) & 0xFFFFFFFF
        estimate = ((scaled * smoothing + estimate * (16384 - smoothing)) >> 14) & 0xFFFFFFFF
        new.append(estimate)
        signal = max((scaled - min(estimate, scaled)) >> 10, (signal * 819) >> 14)
        snr = ((signal * gain(estimate)) >> 6) & 0xFFFFFFFF
        value = ((snr * snr & 0xFFFFFFFF) >> 20 if snr < 8192 else (snr >> 6) - 64) << 3
        features.append(min(log_scaled(value), 0xFFFF) if value > 1 else 0)
    return new, features, [min((f * 256 + 333) // 666, 255) for f in features]
