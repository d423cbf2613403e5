"""The engine: market state, matching, order flow, telemetry and the thread they run on."""
