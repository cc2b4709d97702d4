"""What other projects take: the engine as packages for mip, and the models, built.

Place: beside the commands; `make release` runs it.  Imports board.build and models.
"""
