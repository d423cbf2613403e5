"""Robots that trade on the built-in exchange over the wire, and the client they use."""
