"""Features of candles: each set is one file, one function from the candles of one series to columns, all free of the price level."""
