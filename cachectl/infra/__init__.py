"""Infrastructure that knows nothing of slots: any project could use it."""
