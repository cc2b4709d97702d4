"""Prints 42 where MicroPython compiles viper functions; a SyntaxError where it does not."""

import micropython


@micropython.viper
def answer(x: int) -> int:
    return x + 1


print(answer(41))
