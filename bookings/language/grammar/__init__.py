"""A language of callers is a module of words and questions, and a grammar file of the same name."""
