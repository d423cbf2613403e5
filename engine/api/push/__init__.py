"""Push: what listeners over WebSocket are told, each message encoded once for all of them."""
