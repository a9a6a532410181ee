"""The screen of A's phone. Needs the extra ``tui``."""
