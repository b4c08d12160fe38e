"""The way of a question: when a caller would like to come, and which real times are offered. Changes nothing."""
