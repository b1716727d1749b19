"""The region: areas, sites, carriers, shared lines, devices, gateways and traffic classes, and how they depend on each other."""
