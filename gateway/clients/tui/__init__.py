"""A terminal for the invited person. Needs the extra ``tui``."""
