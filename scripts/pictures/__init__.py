"""Pictures for check-corpus.py and fetch-corpus.py: what other programs show, and hostile files.

`display` (what a viewer shows), `png_colours` (what decoders do not obey) and `compare` (how far
two pictures are apart) serve `references`, which asks other decoders. `bombs` makes small files
that ask for much, and `running` runs a program and says what it took.
"""
