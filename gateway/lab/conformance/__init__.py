"""Conformance tests for SIP and MSRP elements: cases, a bench that they run on, and the reports of what came out.

A case is a function with a purpose (:mod:`.case`); it gets a :class:`.bench.Bench` with raw sockets and says what is
wrong. :mod:`.runner` runs a selection of them against a :mod:`.target`. The command is ``rcsgw conformance``.
"""
