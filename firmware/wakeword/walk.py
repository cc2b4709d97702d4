"""Run a model's kernels one after another.

Place in the pipeline: `model.Model` calls `walk` once a feature slice; the kernels of all its ops
are called in here.  On the chip `walk_xtensa.walk` takes its place, which does the same without
the interpreter.
"""

import micropython


@micropython.native
def walk(program, arena, model, values):
    """Run `program`, ((kernel, at), ...), on an arena: the first kernel takes the feature slice
    `values` in, the others read `model`.  Native, as it is a loop over every kernel call;
    allocates nothing.
    """
    source = values
    for kernel, at in program:
        kernel(arena, source, at)
        source = model
