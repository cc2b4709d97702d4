"""The front end's arithmetic as viper kernels: one call for each stage of a step.

Place in the pipeline: called by frontend.Frontend, in the order of this file.  Imports micropython
only.  kernels_xtensa.py holds the same functions in assembler; these are their reference.

All integers stay within int32 at every intermediate, so that the 32-bit chip and a 64-bit host
agree; 64-bit quantities of the C code are kept in two limbs.  Viper keeps the first two arguments
in registers: they are the ones used most.  ptr16 and ptr32 loads are zero-extended on one of the
two machines, hence `(v ^ 0x8000) - 0x8000`.  "Energy" is |bin|**2, "signal" its filtered square
root.

Notation of the reference formulas: // floors, round(x / 2**n) is (x + 2**(n-1)) >> n, int16(x)
wraps as a C cast does.  No kernel allocates or fails; buffers must have the stated sizes, be
aligned to their elements and not overlap (Frontend guarantees both).
"""

import micropython


@micropython.viper
def window(history: ptr16, chunk: ptr16, table: ptr16, windowed: ptr16) -> int:
    """Apply the Hann window; return the shift that scales its output to full int16.

        x = history + chunk                                     # 480 samples
        windowed[i] = (x[i] * hann[i]) >> 12
        peak = max(0, *(int16(abs(v)) for v in windowed))       # int16(32768) == -32768
        shift = 15 - peak.bit_length()
        if shift: windowed[i] = 0 where it is -32768            # as int16(-32768 << shift) is
        history = x[160:]

    Source: window.c WindowProcessSamples, frontend.c (input_shift), fft.cc FftCompute (the wrap).
    Shapes: history int16[320], oldest first; chunk int16[160]; table uint16[480] as
    tables.WINDOW; windowed int16[512], of which the first 480 are written.
    Formats: samples any int16; table Q12, 0..4096.
    Bound: 2**15 * 2**12 = 2**27.  The samples move up by one chunk in place: 320 stores, less than
    the second kernel call that a ring of chunks would need.
    """
    coefficients = int(table)
    start = int(windowed)
    magnitudes = 0  # the OR of all magnitudes has the bit length of the largest
    count = 80
    while count:
        w = ptr16(coefficients)
        out = ptr16(start)
        v = ((history[0] ^ 0x8000) - 0x8000) * w[0] >> 12
        out[0] = v
        if v < 0:
            v = 0 - v
        magnitudes |= v
        v = ((history[1] ^ 0x8000) - 0x8000) * w[1] >> 12
        out[1] = v
        if v < 0:
            v = 0 - v
        magnitudes |= v
        v = history[160]
        history[0] = v
        v = ((v ^ 0x8000) - 0x8000) * w[2] >> 12
        out[160] = v
        if v < 0:
            v = 0 - v
        magnitudes |= v
        v = history[161]
        history[1] = v
        v = ((v ^ 0x8000) - 0x8000) * w[3] >> 12
        out[161] = v
        if v < 0:
            v = 0 - v
        magnitudes |= v
        out = ptr16(start + 640)
        v = chunk[0]
        history[160] = v
        v = ((v ^ 0x8000) - 0x8000) * w[4] >> 12
        out[0] = v
        if v < 0:
            v = 0 - v
        magnitudes |= v
        v = chunk[1]
        history[161] = v
        v = ((v ^ 0x8000) - 0x8000) * w[5] >> 12
        out[1] = v
        if v < 0:
            v = 0 - v
        magnitudes |= v
        history = ptr16(int(history) + 4)
        chunk = ptr16(int(chunk) + 4)
        coefficients += 12
        start += 4
        count -= 1
    if magnitudes >> 15:  # there is a -32768: the C code does not count it as a peak
        magnitudes = 0
        history = windowed
        count = 480
        while count:
            v = history[0]
            if v & 0x8000:
                v = 0x10000 - v
            if v != 0x8000:
                magnitudes |= v
            history = ptr16(int(history) + 2)
            count -= 1
        if magnitudes >> 14 == 0:
            history = windowed
            count = 480
            while count:
                if history[0] == 0x8000:
                    history[0] = 0
                history = ptr16(int(history) + 2)
                count -= 1
    shift = 15
    while magnitudes:
        magnitudes >>= 1
        shift -= 1
    return shift


@micropython.viper
def fft(spectrum: ptr16, windowed: ptr16, twiddles: ptr16, shift: int):
    """256-point complex FFT, radix 4, of the real samples taken as pairs (re, im).

        x = [int16(v << shift) for v in windowed]
        x = [(x[2 * i], x[2 * i + 1]) for i in range(256)]
        def f(x, stride=1):
            if len(x) == 1: return x
            m = len(x) // 4
            out = f(x[0::4], 4 * stride) + f(x[1::4], 4 * stride) + ...
            for k in range(m):
                f0, f1, f2, f3 = (round(out[k + j * m] * 8191 / 2**15) for j in range(4))
                w = twiddle[k * stride]
                s0, s1, s2 = (round(f * w / 2**15) for f, w in (f1, w), (f2, w**2), (f3, w**3))
                s5, f0, s3, s4 = f0 - s1, f0 + s1, s0 + s2, s0 - s2
                out[k], out[k + 2 * m] = int16(f0 + s3), int16(f0 - s3)
                out[k + m] = int16(s5.re + s4.im), int16(s5.im - s4.re)
                out[k + 3 * m] = int16(s5.re - s4.im), int16(s5.im + s4.re)
            return out
        spectrum = f(x)

    Source: kiss_fft.c kf_bfly4, kf_work; _kiss_fft_guts.h C_FIXDIV, C_MUL (FIXED_POINT=16).
    Shapes: spectrum int16[512] (re, im), all written; windowed int16[512], the last 32 zero;
    twiddles int16[506] as tables.TWIDDLES; shift 0..15 with |v << shift| <= 32768 (window).
    Formats: int16.  Between the stages values are stored as v + 32768, so that loads need no sign
    extension: the offset vanishes in the constant of round(v * 8191 / 2**15).
    Bounds: (v + 32768) * 8191 < 2**29; then |f| <= 8191, so that |f.re * w.re - f.im * w.im| is
    below 8191 * 2**0.5 * 2**15 < 2**29; |f0 +- s1 +- s3| < 2**16 wraps in the 16-bit store, which
    is int16() and can happen.  With k = 0 the twiddle 32767 changes nothing, since |f| < 2**14.
    """
    # Stage 1: 64 butterflies without twiddles, input in digit-reversed order.
    end = int(spectrum) + 1024
    first = int(windowed)
    factor = 8191 << shift
    high = 0
    while high < 4:
        middle = 0
        while middle < 4:
            windowed = ptr16(first + 16 * middle + 4 * high)
            low = 4
            while low:
                f0r = ((((windowed[0] ^ 0x8000) - 0x8000) * factor + 16384) >> 15) + 0x8000
                f0i = ((((windowed[1] ^ 0x8000) - 0x8000) * factor + 16384) >> 15) + 0x8000
                s1r = (((windowed[256] ^ 0x8000) - 0x8000) * factor + 16384) >> 15
                s1i = (((windowed[257] ^ 0x8000) - 0x8000) * factor + 16384) >> 15
                s5r = f0r - s1r
                s5i = f0i - s1i
                f0r += s1r
                f0i += s1i
                s1r = (((windowed[128] ^ 0x8000) - 0x8000) * factor + 16384) >> 15
                s1i = (((windowed[129] ^ 0x8000) - 0x8000) * factor + 16384) >> 15
                tr = (((windowed[384] ^ 0x8000) - 0x8000) * factor + 16384) >> 15
                ti = (((windowed[385] ^ 0x8000) - 0x8000) * factor + 16384) >> 15
                s3r = s1r + tr
                s3i = s1i + ti
                s1r -= tr
                s1i -= ti
                spectrum[0] = f0r + s3r
                spectrum[1] = f0i + s3i
                spectrum[2] = s5r + s1i
                spectrum[3] = s5i - s1r
                spectrum[4] = f0r - s3r
                spectrum[5] = f0i - s3i
                spectrum[6] = s5r - s1i
                spectrum[7] = s5i + s1r
                spectrum = ptr16(int(spectrum) + 16)
                windowed = ptr16(int(windowed) + 64)
                low -= 1
            middle += 1
        high += 1
    # Stages 2 to 4: the four inputs are `distance` bytes apart, groups 4 * distance.
    distance = 16
    offset = 0x8000
    while distance <= 256:
        if distance == 256:
            offset = 0
        k = 0
        while k < distance:
            windowed = twiddles
            w1r = (windowed[0] ^ 0x8000) - 0x8000
            w1i = (windowed[1] ^ 0x8000) - 0x8000
            w2r = (windowed[2] ^ 0x8000) - 0x8000
            w2i = (windowed[3] ^ 0x8000) - 0x8000
            w3r = (windowed[4] ^ 0x8000) - 0x8000
            w3i = (windowed[5] ^ 0x8000) - 0x8000
            twiddles = ptr16(int(windowed) + 12)
            spectrum = ptr16(end - 1024 + k)
            while int(spectrum) < end:
                # 268386304 = 32768 * 8191 - 16384
                f0r = ((spectrum[0] * 8191 - 268386304) >> 15) + offset
                f0i = ((spectrum[1] * 8191 - 268386304) >> 15) + offset
                windowed = ptr16(int(spectrum) + 2 * distance)
                tr = (windowed[0] * 8191 - 268386304) >> 15
                ti = (windowed[1] * 8191 - 268386304) >> 15
                s1r = (tr * w2r - ti * w2i + 16384) >> 15
                s1i = (tr * w2i + ti * w2r + 16384) >> 15
                s5r = f0r - s1r
                s5i = f0i - s1i
                f0r += s1r
                f0i += s1i
                windowed = ptr16(int(spectrum) + distance)
                tr = (windowed[0] * 8191 - 268386304) >> 15
                ti = (windowed[1] * 8191 - 268386304) >> 15
                s1r = (tr * w1r - ti * w1i + 16384) >> 15
                s1i = (tr * w1i + ti * w1r + 16384) >> 15
                windowed = ptr16(int(spectrum) + 3 * distance)
                tr = (windowed[0] * 8191 - 268386304) >> 15
                ti = (windowed[1] * 8191 - 268386304) >> 15
                s3r = (tr * w3r - ti * w3i + 16384) >> 15
                s3i = (tr * w3i + ti * w3r + 16384) >> 15
                tr = s1r - s3r
                ti = s1i - s3i
                s3r += s1r
                s3i += s1i
                spectrum[0] = f0r + s3r
                spectrum[1] = f0i + s3i
                windowed[0] = s5r - ti
                windowed[1] = s5i + tr
                windowed = ptr16(int(spectrum) + distance)
                windowed[0] = s5r + ti
                windowed[1] = s5i - tr
                windowed = ptr16(int(windowed) + distance)
                windowed[0] = f0r - s3r
                windowed[1] = f0i - s3i
                spectrum = ptr16(int(windowed) + 2 * distance)
            k += 4
        distance *= 4


@micropython.viper
def energies(low: ptr16, high: ptr16, table: ptr16, energy: ptr32):
    """Turn the FFT of 256 pairs into that of 512 real samples and take the energy of bins 5..251.

        for k in range(5, 129):
            a = round(t[k] * 16383 / 2**15)
            b = round((t[256 - k].re, int16(-t[256 - k].im)) * 16383 / 2**15)
            p, w = a + b, int16(round((a - b) * super_twiddle[k] / 2**15))
            bin[k] = (p.re + w.re) >> 1, (p.im + w.im) >> 1
            bin[256 - k] = (p.re - w.re) >> 1, (w.im - p.im) >> 1
        energy[k - 5] = bin[k].re**2 + bin[k].im**2

    Source: kiss_fftr.c kiss_fftr; filterbank.c FilterbankConvertFftComplexToEnergy.
    Shapes: low and high both int16[512], t = the spectrum of fft (twice the same buffer: one
    pointer rises, one falls); table uint16[250] as tables.SUPER_TWIDDLES, -re and -im, 0..32767;
    energy uint32[247], all written.
    Bounds: (v + 32768) * 16383 < 2**30; |a|, |b| <= 16383; |a - b| <= 32766; a product with a unit
    vector < 32766 * 2**0.5 * 2**15 < 1.52e9 < 2**31, its int16() can happen; p >= -32766 and
    w >= -32768 make |bin| <= 32767, so an energy is at most 2 * 32767**2 < 2**31.
    """
    low = ptr16(int(low) + 20)
    high = ptr16(int(high) + 1004)
    count = 124
    down = int(energy) + 984
    up = int(energy)
    while count:
        # v + 32768 is v ^ 0x8000 on 16 bits, that of int16(-v) is 0x8000 - v;
        # 536821760 = 32768 * 16383 - 16384
        pr = ((low[0] ^ 0x8000) * 16383 - 536821760) >> 15
        pi = ((low[1] ^ 0x8000) * 16383 - 536821760) >> 15
        qr = ((high[0] ^ 0x8000) * 16383 - 536821760) >> 15
        qi = ((0x8000 - high[1] & 0xFFFF) * 16383 - 536821760) >> 15
        xr = pr - qr
        xi = pi - qi
        pr += qr
        pi += qi
        qr = table[0]
        qi = table[1]
        wr = ((((xi * qi - xr * qr + 16384) >> 15) & 0xFFFF) ^ 0x8000) - 0x8000
        wi = (((16384 - xr * qi - xi * qr >> 15) & 0xFFFF) ^ 0x8000) - 0x8000
        xr = pr + wr >> 1
        xi = pi + wi >> 1
        ptr32(up)[0] = xr * xr + xi * xi
        xr = pr - wr >> 1
        xi = wi - pi >> 1
        ptr32(down)[0] = xr * xr + xi * xi
        table = ptr16(int(table) + 4)
        low = ptr16(int(low) + 4)
        high = ptr16(int(high) - 4)
        up += 4
        down -= 4
        count -= 1


@micropython.viper
def filter_bank(energy: ptr32, table: ptr16, channels: ptr32, shift: int):
    """Sum the energies in overlapping mel bands; the signal of a channel is the root of its sum.

        for c in range(41):                                     # the first band has no channel
            sums[c] += sum(w * e for w, e in band[c])           # uint64
            sums[c + 1] = sum((4096 - w) * e for w, e in band[c])
        signal[c] = nearest_root(sums[c + 1]) >> shift          # channels[40 + c]
        nearest_root(v) = isqrt(v) + (v - isqrt(v)**2 > isqrt(v) and isqrt(v) != 0xFFFF)

    Source: filterbank.c FilterbankAccumulateChannels, Sqrt64, Sqrt32, FilterbankSqrt. Shapes:
    energy uint32[236 or more], bins 5..240; table uint16[661] as tables.FILTER_BANK; channels
    uint32[80], of which 40..79 are written; shift 0..15. Formats: energy < 2**31 (energies);
    weights Q12, 0..4096. Sums are two limbs, high * 2**16 + low.  With E = high * 2**16 + low, w *
    low < 2**28; the weights of a band total at most 31623 (either kind), so a limb sum is below
    31623 * 65535 + 2**16 < 2**31 (tight: 3 %), both kinds together below 56900 * 2**15 < 2**31 in
    the high limb; a sum is < 2**47.

    Root: m = sum * 4**-j in [2**28, 2**30); a seed s (1/256 near) from the table and one Newton
    step with its reciprocal y = 2**29 / s give sqrt(m) within 2; for j > 0 one more step at full
    width.  |m - s * s| < 2**23, >> 6, times y <= 2**15 is < 2**31.  The rest sum - root**2, below
    2**29, is then computed modulo 2**30, and the root moved by ones until it is exact.
    """
    weights = int(table) + 82
    out = int(channels) + 160
    seeds = int(table) + 554
    carried_low = 0
    carried_high = 0
    band = 0
    while band < 41:
        n = ptr16(int(table) + 2 * band)[0]
        sum_low = carried_low
        sum_high = carried_high
        total_low = 0
        total_high = 0
        carried_low = sum_low
        carried_high = sum_high
        while n:
            e = energy[0]
            w = ptr16(weights)[0]
            low = e & 0xFFFF
            e >>= 16
            sum_low += w * low
            sum_high += w * e
            total_low += low
            total_high += e
            energy = ptr32(int(energy) + 4)
            weights += 2
            n -= 1
        # 4096 * total minus the new part of the sums, kept as limbs: low in -65535..61440
        low = sum_low - carried_low
        e = sum_high - carried_high
        carried_low = ((total_low & 15) << 12) - (low & 0xFFFF)
        carried_high = (total_high << 12) - e + (total_low >> 4) - (low >> 16)
        if band:
            high = sum_high + (sum_low >> 16)
            low = sum_low & 0xFFFF
            # Normalise to m in [2**28, 2**30).
            j = 0
            if high >> 14:
                e = high
                while e >> 14:
                    e >>= 2
                    j += 2
                if j <= 16:
                    m = (high << 16 - j) | (low >> j)
                else:
                    m = high >> j - 16
            else:
                m = (high << 16) | low
                if m:
                    while m >> 28 == 0:
                        m <<= 2
                        j -= 2
            root = 0
            if m:
                w = m >> 22
                n = int(ptr16(seeds)[w - 64])
                y = int(ptr16(seeds)[w + 128])
                root = n + ((m - n * n >> 6) * y >> 24)
                if j <= 0:
                    root >>= 0 - j >> 1
                else:
                    j >>= 1
                    e = (m - root * root) << j
                    root = (root << j) + ((e >> 10) * y >> 20)
                # The rest modulo 2**30: root = n * 2**12 + w
                n = root >> 12
                w = root & 0xFFF
                e = ((n * n & 63) << 24) + ((2 * n * w & 0x3FFFF) << 12) + w * w
                e = (((((high & 0x3FFF) << 16) | low) - e & 0x3FFFFFFF) ^ 0x20000000) - 0x20000000
                while e < 0:
                    root -= 1
                    e += 2 * root + 1
                while e > 2 * root:
                    e -= 2 * root + 1
                    root += 1
                if e > root:
                    if root != 0xFFFF:
                        root += 1
            ptr32(out)[0] = root >> shift
            out += 4
        band += 1


@micropython.viper
def compress(channels: ptr16, table: ptr16, features: ptr16, out: ptr8):
    """Noise reduction, gain control and logarithm of each channel; then the model's input.

        smoothing = (409, 983)[c & 1]                           # Q14
        scaled = uint32(signal << 10)
        estimate[c] = (scaled * smoothing + estimate[c] * (16384 - smoothing)) >> 14
        s = max((scaled - min(estimate[c], scaled)) >> 10, signal * 819 >> 14)
        y0, a1, a2 = gains[estimate[c].bit_length()]
        fraction = the 10 bits below the leading bit of estimate[c]
        gain = y0 + round(((a2 * fraction >> 5) + (a1 << 5)) * fraction / 2**15)
        snr = s * gain >> 6
        x = snr**2 >> 20 if snr < 8192 else (snr >> 6) - 64
        n, fraction = leading bit of 8 * x, the 16 bits below it
        c0, c1 = log_table[fraction >> 9], log_table[(fraction >> 9) + 1]
        log2 = (n << 16) + fraction + c0 + ((c1 - c0) * (fraction & 511) >> 16)
        features[c] = round(round(45426 * log2 / 2**16) / 2**10) if x else 0
        out[c] = min((features[c] * 256 + 333) // 666, 255)

    Source: noise_reduction.c NoiseReductionApply; pcan_gain_control.c WideDynamicFunction,
    PcanShrink, PcanGainControlApply; log_scale.c Log2FractionPart, Log; ESPHome micro_wake_word
    (the last line: int8 value + 128). Shapes: channels uint16[160], four times 40 pairs (low,
    high): estimates, read and written, then signals; table uint16[228] as tables.GAINS; features
    uint16[40]; out uint8[40]. Formats: signal < 2**24 (root of a sum < 2**47); estimate Q10, any
    uint32. Bounds: limbs times smoothing or its complement: 65535 * 16384 < 2**30; the estimate is
    a mean of two uint32.  s < 2**22, since scaled < 2**32; every gain of the table lies in
    0..32636, so snr < 2**31 and neither wraps as in C; in limbs (s & 4095) * gain < 2**27.  |a1|,
    |a2| < 7459 make the quadratic's product < 2**28.  log2 < 29 << 16: times 45426 in two parts,
    45426 * 32767 < 2**31. Features stay below 1250; (f * 25191 + 32768) >> 16 equals (f * 256 +
    333) // 666 up to 700.
    """
    c = 0
    smoothing = 409
    while c < 40:
        # NoiseReductionApply, on limbs of 16 bits
        signal = channels[80] | channels[81] << 16
        low = (signal & 63) << 10
        high = (signal >> 6) & 0xFFFF
        t = low * smoothing + channels[0] * (16384 - smoothing)
        e = high * smoothing + channels[1] * (16384 - smoothing) + (t >> 16)
        t = ((e & 0x3FFF) << 2) | ((t >> 14) & 3)
        e >>= 14
        channels[0] = t
        channels[1] = e
        s = (high - e << 6) + (low - t >> 10)
        low = (signal >> 14) * 819 + ((signal & 0x3FFF) * 819 >> 14)
        if s < low:
            s = low
        # WideDynamicFunction: t is moved up until bit 30 is set; n = 3 * estimate.bit_length()
        if e:
            t = e << 15 | t >> 1
            n = 3 * 32
        else:
            n = 3 * 16
            if t == 0:
                n = 3 * 31
            t <<= 15
        if t >> 15 == 0:
            t <<= 16
            n -= 48
        if t >> 23 == 0:
            t <<= 8
            n -= 24
        if t >> 27 == 0:
            t <<= 4
            n -= 12
        if t >> 29 == 0:
            t <<= 2
            n -= 6
        if t >> 30 == 0:
            t <<= 1
            n -= 3
        t = (t >> 20) & 0x3FF
        e = (table[n + 2] ^ 0x8000) - 0x8000
        e = ((e * t >> 5) - (table[n + 1] << 5)) * t
        e = table[n] + (e + 16384 >> 15)
        # PcanShrink of s * e >> 6
        t = (s & 0xFFF) * e
        s = (s >> 12) * e + (t >> 12)
        if s < 128:
            s = (s << 6) + (t >> 6 & 63)
            s = s * s >> 20
        else:
            s -= 64
        if s:
            # Log: t = s moved up until bit 30 is set
            n = 28
            t = s << 5
            if t >> 15 == 0:
                t <<= 16
                n -= 16
            if t >> 23 == 0:
                t <<= 8
                n -= 8
            if t >> 27 == 0:
                t <<= 4
                n -= 4
            if t >> 29 == 0:
                t <<= 2
                n -= 2
            if t >> 30 == 0:
                t <<= 1
                n -= 1
            t = (t >> 14) & 0xFFFF
            e = t >> 9
            low = table[e + 99]
            t += (n << 16) + low + ((table[e + 100] - low) * (t & 511) >> 16)
            t = 22713 * (t >> 15) + (45426 * (t & 0x7FFF) + 32768 >> 16)
            s = t + 512 >> 10
        features[0] = s
        features = ptr16(int(features) + 2)
        s = s * 25191 + 32768 >> 16
        if s > 255:
            s = 255
        out[c] = s
        channels = ptr16(int(channels) + 4)
        smoothing = 1392 - smoothing
        c += 1
