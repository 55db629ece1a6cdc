"""Metrics of texts against one or several reference texts per row.

Letters: N rows, K numbers kept of each row, R resamples. What a corpus metric needs of a row is a row of an (N, K)
array whose weighted sum gives the metric, so that a thousand resamples are one matrix product.
"""
