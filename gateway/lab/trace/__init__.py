"""Traces: what crossed a wire, read from whatever format somebody has it in, joined to conversations, and drawn."""
