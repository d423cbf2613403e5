"""Inputs from outside: recorded captures and venues' wire formats."""
