"""The built-in exchange's face: a local server that speaks real venues' protocols, with their limits and faults."""
