"""Runs the chip's own machine code on a Linux host: .mpy files, a qemu machine, counts."""
