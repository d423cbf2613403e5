"""Who may call: keys, tokens, sessions, limits, and the door every call passes."""
