"""From a time that a caller asks for to real free times. Reads only; imports models and the Cal.com service."""
