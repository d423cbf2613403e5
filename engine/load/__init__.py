"""Load on the built-in exchange: many clients, a schedule, and how long each answer took."""
