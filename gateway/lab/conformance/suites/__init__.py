"""The cases that come with the runner, a module a suite."""
