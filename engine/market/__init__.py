"""Markets as pure data: batches, instruments, books, sequencing, candles, metrics."""
