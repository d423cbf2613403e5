"""Strategies: what a robot does, as a pure function of what it sees. `base.py` says how to write one's own."""
