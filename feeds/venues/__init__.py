"""One module a venue: its wire format to batches, nothing else."""
