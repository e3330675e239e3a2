"""Reading fields of files: samples, conditions, levels, roll-outs, grids."""
