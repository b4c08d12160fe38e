"""The commands of the README; the Python behind them is in `lib`."""
