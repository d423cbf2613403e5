"""The streams of one poll: pure functions from a frozen view and the page's cursor to what is new.

Each takes `(view, cursor)` and returns `(stream, cursor)`; `dashboards/transport.py` has the contract. A
cursor holds `k`, what the stream was of: when that changes, the stream begins anew.
"""
