"""Alerts: rules over what is seen, when they come true, and who is told."""
