"""What demo, tests and benchmarks share: embedded servers, the process supervisor, environments, an API client."""
