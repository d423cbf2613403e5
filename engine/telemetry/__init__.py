"""What pages read: rings, histograms, counters, the event log and the board."""
