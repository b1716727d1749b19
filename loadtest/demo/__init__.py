"""`make demo`: a region in network namespaces, an earthquake, a cut duct, and what becomes of the traffic while nobody touches a thing."""
