"""Seeded order flow that drives the built-in exchange."""
