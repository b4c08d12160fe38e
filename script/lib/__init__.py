"""The stage on which demo, tests and benchmarks play: embedded servers, child processes, the call."""
