"""What both terminals share, the guest's and the phone's: it knows neither, nor what they talk to.

``frame`` and ``lines`` need the extra ``tui``; the rest does not.
"""
