"""Fuzzers: whatever a caller gives, what comes back is an answer or a typed error, soon.

`python -m tests.fuzz NAME --seconds 600` (see `__main__`); inputs that broke something are kept in
corpus/NAME and tried first the next time, and by the ordinary tests.
"""
