"""The report of a run as a page: one file of HTML with figures, residuals, times and what is to be done."""
