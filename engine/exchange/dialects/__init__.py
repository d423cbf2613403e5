"""One module per venue: what it says over REST and WebSocket, as pure functions of the market served."""
