"""The commands of the README. The Python behind them is in `stage`."""
