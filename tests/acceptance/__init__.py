"""Real clients of voice platforms as judges. They live in an environment of their own: requirements.txt."""
