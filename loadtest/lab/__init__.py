"""Lines to be broken: real interfaces, routes and packets in network namespaces, and the prober that judges them."""
