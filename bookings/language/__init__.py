"""What is said to callers: times, dates and answers in plain words, for a speech engine to read."""
