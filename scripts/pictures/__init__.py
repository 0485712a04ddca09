"""Pictures for the checks: how they are made, how other programs show them, how far apart they are.

`display` (what a viewer shows) and `compare` (how far two pictures are apart) serve both
before-after.py and check-corpus.py. The others make the sources of before-after.py: `scene` draws
samples, `profiles` and `writers` put them into files, `moving` makes animations, `recipes` the
kinds that are no row of before-after.toml, and `kinds` reads that table.
"""
