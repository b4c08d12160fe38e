"""What is said to callers, in German and English: times, dates and results, for a speech engine to read."""
