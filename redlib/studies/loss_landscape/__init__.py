"""Loss landscape: paths between solutions, tunnels around them, slices through them, functions behind them."""
