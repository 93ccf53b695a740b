"""Tasks that cells train: a data set, a network, a loss and a metric."""
