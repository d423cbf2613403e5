"""The price-time book: commands in, events out, compiled."""
